package engine

import (
	"fmt"

	"waxwing/store/kv"
)

// A Budget adds up what one transaction writes.
type Budget struct {
	Limits kv.Limits
	keys   int
	octets int
	err    error // the first overrun
}

// Spend accounts for one write and tells whether it is within the limits. A
// write that is not must not be carried out, nor those after it.
func (b *Budget) Spend(key, value []byte) bool {
	b.keys++
	b.octets += len(key) + len(value)
	switch {
	case b.err != nil:
	case len(key) > b.Limits.Key:
		b.err = fmt.Errorf("key of %d octets: %w", len(key), kv.ErrTooLarge)
	case len(value) > b.Limits.Value:
		b.err = fmt.Errorf("value of %d octets: %w", len(value), kv.ErrTooLarge)
	case b.keys > b.Limits.Keys:
		b.err = fmt.Errorf("more than %d keys: %w", b.Limits.Keys, kv.ErrTooLarge)
	case b.octets > b.Limits.Txn:
		b.err = fmt.Errorf("more than %d octets: %w", b.Limits.Txn, kv.ErrTooLarge)
	}
	return b.err == nil
}

// SpendRange accounts for the deletion of a range.
func (b *Budget) SpendRange(lo, hi []byte) bool {
	return b.Spend(lo, nil) && (len(hi) == 0 || b.checkEnd(hi))
}

// checkEnd accounts for the end of a range, which may be one octet longer than
// a key: the successor of the longest one.
func (b *Budget) checkEnd(hi []byte) bool {
	if len(hi) > b.Limits.Key+1 {
		b.err = fmt.Errorf("end of a range of %d octets: %w", len(hi), kv.ErrTooLarge)
	}
	b.octets += len(hi)
	return b.err == nil
}

// Spent tells whether anything has been written.
func (b *Budget) Spent() bool { return b.keys > 0 }

// Err gives the first overrun, or nil.
func (b *Budget) Err() error { return b.err }

// Octets gives the octets of keys and values so far.
func (b *Budget) Octets() int { return b.octets }
