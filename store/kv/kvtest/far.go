package kvtest

import (
	"context"
	"iter"
	"time"

	"waxwing/store/kv"
)

// Far gives s as an engine on another machine would be: every call that can
// need a round trip takes so long, and every transaction is run twice, as
// after a conflict, the first time in vain. Users that read in loops or have
// side effects in a transaction show up.
func Far(s kv.Store, delay time.Duration) kv.Store { return far{Store: s, delay: delay} }

type far struct {
	kv.Store
	delay time.Duration
}

func (f far) wait() { time.Sleep(f.delay) }

func (f far) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	return f.Store.View(ctx, p, func(r kv.Reader) error { return fn(farReader{r, f}) })
}

// A conflict ends the first run of a transaction.
type conflict struct{}

func (conflict) Error() string { return "conflict" }

func (f far) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	_, err := f.Store.Update(ctx, p, func(tx kv.Txn) error {
		if err := fn(farTxn{farReader{tx, f}, tx}); err != nil {
			return err
		}
		return conflict{}
	})
	if err != (conflict{}) {
		return nil, err
	}
	return f.Store.Update(ctx, p, func(tx kv.Txn) error {
		defer f.wait()
		return fn(farTxn{farReader{tx, f}, tx})
	})
}

type farReader struct {
	kv.Reader
	far far
}

func (r farReader) Get(key []byte) ([]byte, error) {
	r.far.wait()
	return r.Reader.Get(key)
}

func (r farReader) GetMany(keys [][]byte) ([][]byte, error) {
	r.far.wait()
	return r.Reader.GetMany(keys)
}

func (r farReader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		r.far.wait()
		r.Reader.Scan(lo, hi, o)(yield)
	}
}

type farTxn struct {
	farReader
	writes kv.Txn
}

func (t farTxn) Put(key, value []byte)     { t.writes.Put(key, value) }
func (t farTxn) Delete(key []byte)         { t.writes.Delete(key) }
func (t farTxn) DeleteRange(lo, hi []byte) { t.writes.DeleteRange(lo, hi) }
