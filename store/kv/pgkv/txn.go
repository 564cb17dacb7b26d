package pgkv

import (
	"bytes"
	"context"
	"iter"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A txn is one function's run in a session. It sees what those before it in
// the session have written, and adds its own writes, which the session takes
// over when the function has ended well.
type txn struct {
	ctx    context.Context
	of     *session
	over   overlay
	budget engine.Budget
}

func newTxn(ctx context.Context, of *session) *txn {
	tx := &txn{ctx: ctx, of: of, over: of.over, budget: engine.Budget{Limits: kv.DefaultLimits}}
	tx.over.grow()
	return tx
}

func (tx *txn) Get(key []byte) ([]byte, error) {
	values, err := tx.getMany([][]byte{key})
	if err != nil {
		return nil, explain(tx.ctx, "read key", err)
	}
	if values[0] == nil {
		return nil, kv.ErrNotFound
	}
	return values[0], nil
}

func (tx *txn) GetMany(keys [][]byte) ([][]byte, error) {
	values, err := tx.getMany(keys)
	if err != nil {
		return nil, explain(tx.ctx, "read keys", err)
	}
	return values, nil
}

// getMany asks the database only for what the session does not know.
func (tx *txn) getMany(keys [][]byte) ([][]byte, error) {
	if err := tx.ctx.Err(); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	var missing [][]byte
	var places []int
	for i, key := range keys {
		value, known := tx.over.get(key)
		if !known {
			value, known = tx.of.recalled(key)
		}
		if known {
			values[i] = value
		} else {
			missing, places = append(missing, key), append(places, i)
		}
	}
	got, err := tx.of.getMany(tx.ctx, missing)
	if err != nil {
		return nil, err
	}
	for j, i := range places {
		values[i] = got[j]
		tx.of.known.add(missing[j], got[j])
	}
	return values, nil
}

// Scan shows the state at the time when the loop begins.
func (tx *txn) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		over := tx.over
		tx.over.grow()
		m := merge{ctx: tx.ctx, over: over, limit: o.Limit, keysOnly: o.KeysOnly, reverse: o.Reverse, yield: yield}
		if err := m.run(tx.of, tx.of.p, lo, hi); err != nil {
			yield(kv.Item{}, explain(tx.ctx, "scan", err))
		}
	}
}

func (tx *txn) Put(key, value []byte) {
	if tx.budget.Spend(key, value) {
		tx.over.put(key, value)
	}
}

func (tx *txn) Delete(key []byte) {
	if tx.budget.Spend(key, nil) {
		tx.over.delete(key)
	}
}

func (tx *txn) DeleteRange(lo, hi []byte) {
	if tx.budget.SpendRange(lo, hi) {
		tx.over.deleteRange(lo, hi)
	}
}

// A merge gives what an overlay and the database hold as one.
type merge struct {
	ctx      context.Context
	over     overlay
	limit    int
	keysOnly bool
	reverse  bool
	yield    func(kv.Item, error) bool
	given    int
	stopped  bool
}

// run gives nil also when the loop has been left.
func (m *merge) run(from source, p kv.Partition, lo, hi []byte) error {
	s := span{p: p, lo: lo, hi: hi, o: kv.ScanOptions{Reverse: m.reverse, KeysOnly: m.keysOnly}}
	if m.over.empty() {
		s.o.Limit = m.limit
	}
	next, stop := iter.Pull(m.over.table.Items(lo, hi, m.reverse))
	defer stop()
	own, ok := next()
	err := s.scan(m.ctx, from, func(item kv.Item) bool {
		for ok && m.precedes(own.Key, item.Key) {
			if m.give(own); m.stopped {
				return false
			}
			own, ok = next()
		}
		switch {
		case ok && bytes.Equal(own.Key, item.Key):
			m.give(own)
			own, ok = next()
		case !m.over.hides(item.Key):
			if m.keysOnly {
				item.Value = []byte{} // is there
			}
			m.give(item)
		}
		return !m.stopped
	})
	for err == nil && ok && !m.stopped {
		if err = m.ctx.Err(); err == nil {
			m.give(own)
			own, ok = next()
		}
	}
	return err
}

func (m *merge) precedes(a, b []byte) bool {
	if m.reverse {
		return bytes.Compare(a, b) > 0
	}
	return bytes.Compare(a, b) < 0
}

// give hands an item to the loop, unless it is a deleted one.
func (m *merge) give(item kv.Item) {
	if item.Value == nil {
		return
	}
	if m.keysOnly {
		item.Value = nil
	}
	m.given++
	if !m.yield(item, nil) || m.given == m.limit {
		m.stopped = true
	}
}

// A memory is what a session has read and will find again: nobody else writes.
type memory struct {
	values map[string][]byte // nil: there is no such key
	asked  []string          // its keys, in the order in which they were asked for
	octets int
}

// What a memory holds at most; large values are not kept.
const (
	memorySize  = 1 << 20
	memoryValue = 4 << 10
)

func (m *memory) get(key []byte) (value []byte, known bool) {
	value, known = m.values[string(key)]
	return value, known
}

func (m *memory) add(key, value []byte) {
	if len(value) > memoryValue || m.octets > memorySize {
		return
	}
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	k := string(key)
	if _, known := m.values[k]; !known {
		m.asked = append(m.asked, k)
		m.octets += memoryCost(k, value)
	}
	m.values[k] = value
}

func memoryCost(key string, value []byte) int { return len(key) + len(value) + 80 }
