package memkv

import (
	"bytes"
	"context"
	"iter"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A reader reads one table, which for a txn is its own working copy.
type reader struct {
	ctx   context.Context
	table *table
}

func (r *reader) Get(key []byte) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	value, ok := r.table.get(key)
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
		values[i], _ = r.table.get(key)
	}
	return values, nil
}

func (r *reader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		scan(r.ctx, *r.table, lo, hi, o, yield)
	}
}

// scan walks through a table that does not change meanwhile.
func scan(ctx context.Context, t table, lo, hi []byte, o kv.ScanOptions, yield func(kv.Item, error) bool) {
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return
	}
	end := place{page: len(t.pages)}
	if hi != nil {
		end.page, end.item = t.seek(hi)
	}
	var at place
	at.page, at.item = t.seek(lo)
	step := at.next
	if o.Reverse {
		at, end = end, at
		step = at.previous
	}
	for n := 0; at != end && (o.Limit <= 0 || n < o.Limit); n++ {
		if err := ctx.Err(); err != nil {
			yield(kv.Item{}, err)
			return
		}
		if o.Reverse {
			step(t)
		}
		item := t.pages[at.page].items[at.item]
		if o.KeysOnly {
			item.Value = nil
		}
		if !yield(item, nil) {
			return
		}
		if !o.Reverse {
			step(t)
		}
	}
}

// A place is where an item stands in a table, or the end of the table.
type place struct{ page, item int }

func (p *place) next(t table) {
	if p.item++; p.item == len(t.pages[p.page].items) {
		p.page, p.item = p.page+1, 0
	}
}

func (p *place) previous(t table) {
	if p.item == 0 {
		p.page--
		p.item = len(t.pages[p.page].items)
	}
	p.item--
}

// A txn changes its own working copy of the partition's table.
type txn struct {
	reader
	budget engine.Budget
}

// Scan shows the state at the time when the loop begins.
func (tx *txn) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		scan(tx.ctx, tx.table.freeze(), lo, hi, o, yield)
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
	tx.table.put(both[:n:n], both[n:])
}

func (tx *txn) Delete(key []byte) {
	if tx.budget.Spend(key, nil) {
		tx.table.delete(key)
	}
}

func (tx *txn) DeleteRange(lo, hi []byte) {
	if tx.budget.SpendRange(lo, hi) {
		tx.table.deleteRange(lo, hi)
	}
}
