package kvtest

import (
	"context"
	"iter"
	"time"

	"waxwing/store/kv"
)

// Far gives s as an engine on another machine would be: every call that can
// need a round trip takes so long, and every transaction is run twice, as
// after a conflict, the first time in vain. What was read is overwritten as soon
// as the contract allows it. Users that read in loops, have side effects in a
// transaction, or keep what they were lent show up.
func Far(s kv.Store, delay time.Duration) kv.Store { return far{Store: s, delay: delay} }

type far struct {
	kv.Store
	delay time.Duration
}

func (f far) wait() { time.Sleep(f.delay) }

func (f far) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	return f.Store.View(ctx, p, func(r kv.Reader) error {
		lent := &loans{}
		defer lent.end()
		return fn(farReader{r, f, lent})
	})
}

// loans are the values that a function has been given, until it returns.
type loans struct{ values [][]byte }

// lend gives a copy, with nothing behind it.
func (l *loans) lend(value []byte) []byte {
	if value == nil {
		return nil
	}
	own := append(make([]byte, 0, len(value)), value...)
	l.values = append(l.values, own)
	return own
}

func (l *loans) end() {
	for _, value := range l.values {
		overwrite(value)
	}
}

// overwrite makes octets that nothing can be mistaken for.
func overwrite(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// A conflict ends the first run of a transaction.
type conflict struct{}

func (conflict) Error() string { return "conflict" }

func (f far) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	_, err := f.Store.Update(ctx, p, func(tx kv.Txn) error {
		lent := &loans{}
		defer lent.end()
		if err := fn(farTxn{farReader{tx, f, lent}, tx}); err != nil {
			return err
		}
		return conflict{}
	})
	if err != (conflict{}) {
		return nil, err
	}
	return f.Store.Update(ctx, p, func(tx kv.Txn) error {
		defer f.wait()
		lent := &loans{}
		defer lent.end()
		return fn(farTxn{farReader{tx, f, lent}, tx})
	})
}

type farReader struct {
	kv.Reader
	far  far
	lent *loans
}

func (r farReader) Get(key []byte) ([]byte, error) {
	r.far.wait()
	value, err := r.Reader.Get(key)
	return r.lent.lend(value), err
}

func (r farReader) GetMany(keys [][]byte) ([][]byte, error) {
	r.far.wait()
	values, err := r.Reader.GetMany(keys)
	own := make([][]byte, len(values))
	for i, value := range values {
		own[i] = r.lent.lend(value)
	}
	return own, err
}

// Scan lends its items until the next step.
func (r farReader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		r.far.wait()
		for item, err := range r.Reader.Scan(lo, hi, o) {
			var step loans
			own := kv.Item{Key: step.lend(item.Key), Value: step.lend(item.Value)}
			more := yield(own, err)
			step.end()
			if !more {
				return
			}
		}
	}
}

type farTxn struct {
	farReader
	writes kv.Txn
}

func (t farTxn) Put(key, value []byte)     { t.writes.Put(key, value) }
func (t farTxn) Delete(key []byte)         { t.writes.Delete(key) }
func (t farTxn) DeleteRange(lo, hi []byte) { t.writes.DeleteRange(lo, hi) }
