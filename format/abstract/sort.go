package abstract

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// An Item is a message of a mailbox that is to be sorted or threaded.
type Item struct {
	Place    int32 // in the mailbox: what is equal otherwise stays in its order
	Size     uint32
	Internal int64  // INTERNALDATE in Unix seconds
	Row      Row    // nil where there is none
	prefix   uint64 // of what is sorted by first
}

// Sent gives when a message was sent: its Date, or else when it arrived.
// RFC 5256 §2.2
func (i *Item) Sent() int64 {
	if i.Row != nil {
		if sent, ok := i.Row.Sent(); ok {
			return sent
		}
	}
	return i.Internal
}

// A SortField is what messages are sorted by.
type SortField uint8

// The fields. RFC 5256 §3, RFC 5957 §2
const (
	SortArrival SortField = iota
	SortCc
	SortDate
	SortFrom
	SortSize
	SortSubject
	SortTo
	SortDisplayFrom
	SortDisplayTo
)

// A SortKey is one criterion of an order.
type SortKey struct {
	Field   SortField
	Reverse bool
}

// number gives what a field that is a number sorts by.
func (i *Item) number(f SortField) (uint64, bool) {
	n := int64(i.Size)
	switch f {
	case SortArrival:
		n = i.Internal
	case SortDate:
		n = i.Sent()
	case SortSize:
	default:
		return 0, false
	}
	return uint64(n) ^ 1<<63, true
}

func (i *Item) text(f SortField) []byte {
	if i.Row == nil {
		return nil
	}
	switch f {
	case SortSubject:
		return i.Row.Base()
	case SortFrom:
		return i.Row.Key(KeyFrom)
	case SortTo:
		return i.Row.Key(KeyTo)
	case SortCc:
		return i.Row.Key(KeyCc)
	case SortDisplayFrom:
		return i.Row.Key(DisplayFrom)
	}
	return i.Row.Key(DisplayTo)
}

// Prepare makes an item ready for Compare with the same keys.
func (i *Item) Prepare(keys []SortKey) {
	if len(keys) == 0 {
		return
	}
	n, ok := i.number(keys[0].Field)
	if !ok {
		var b [8]byte
		copy(b[:], i.text(keys[0].Field))
		n = binary.BigEndian.Uint64(b[:])
	}
	i.prefix = n
}

// Compare tells which of two items comes first.
func Compare(a, b *Item, keys []SortKey) int {
	for k, key := range keys {
		c := 0
		if k == 0 {
			c = cmp.Compare(a.prefix, b.prefix)
		}
		if c == 0 {
			if x, ok := a.number(key.Field); ok {
				y, _ := b.number(key.Field)
				c = cmp.Compare(x, y)
			} else {
				c = bytes.Compare(a.text(key.Field), b.text(key.Field))
			}
		}
		if c != 0 && key.Reverse {
			return -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Place, b.Place)
}

// Sort sorts items. RFC 5256 §3
func Sort(items []Item, keys []SortKey) {
	for i := range items {
		items[i].Prepare(keys)
	}
	slices.SortFunc(items, func(a, b Item) int { return Compare(&a, &b, keys) })
}
