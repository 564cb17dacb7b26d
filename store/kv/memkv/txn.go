package memkv

import (
	"context"
	"iter"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A reader reads one table, which for a txn is its own working copy.
type reader struct {
	ctx   context.Context
	table *engine.Table
}

func (r *reader) Get(key []byte) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	value, ok := r.table.Get(key)
	if !ok {
		return nil, kv.ErrNotFound
	}
	return value, nil
}

func (r *reader) GetMany(keys [][]byte) ([][]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i], _ = r.table.Get(key)
	}
	return values, nil
}

func (r *reader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		scan(r.ctx, *r.table, lo, hi, o, yield)
	}
}

// scan walks through a table that does not change meanwhile.
func scan(ctx context.Context, t engine.Table, lo, hi []byte, o kv.ScanOptions, yield func(kv.Item, error) bool) {
	n := 0
	for item := range t.Items(lo, hi, o.Reverse) {
		if err := ctx.Err(); err != nil {
			yield(kv.Item{}, err)
			return
		}
		if o.KeysOnly {
			item.Value = nil
		}
		if !yield(item, nil) {
			return
		}
		if n++; n == o.Limit {
			return
		}
	}
}

// A txn changes its own working copy of the partition's table.
type txn struct {
	reader
	budget engine.Budget
}

// Scan shows the state at the time when the loop begins.
func (tx *txn) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		scan(tx.ctx, tx.table.Freeze(), lo, hi, o, yield)
	}
}

func (tx *txn) Put(key, value []byte) {
	if !tx.budget.Spend(key, value) {
		return
	}
	// One allocation for both; the value is never nil, as a missing one is.
	both := make([]byte, len(key)+len(value))
	n := copy(both, key)
	copy(both[n:], value)
	tx.table.Put(both[:n:n], both[n:])
}

func (tx *txn) Delete(key []byte) {
	if tx.budget.Spend(key, nil) {
		tx.table.Delete(key)
	}
}

func (tx *txn) DeleteRange(lo, hi []byte) {
	if tx.budget.SpendRange(lo, hi) {
		tx.table.DeleteRange(lo, hi)
	}
}
