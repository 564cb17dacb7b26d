package pebblekv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A reader reads one partition from a snapshot, or for a txn the newest state.
type reader struct {
	ctx    context.Context
	source pebble.Reader
	prefix [8]byte
	end    []byte // the first key behind the partition; nil for none
	key    []byte // the last key made by at
	arena  []byte // room for values that have been read
}

func (r *reader) setPartition(p kv.Partition) {
	binary.BigEndian.PutUint64(r.prefix[:], uint64(p))
	r.end = kv.PrefixEnd(r.prefix[:])
}

// at gives key as Pebble has it, until the next call.
func (r *reader) at(key []byte) []byte {
	r.key = append(append(r.key[:0], r.prefix[:]...), key...)
	return r.key
}

// copied gives a copy of value that lives as long as the reader. It is never
// nil, as a missing value is.
func (r *reader) copied(value []byte) []byte {
	if cap(r.arena)-len(r.arena) < len(value) || r.arena == nil {
		r.arena = make([]byte, 0, max(1<<10, min(2*cap(r.arena), 64<<10), len(value)))
	}
	n := len(r.arena)
	r.arena = append(r.arena, value...)
	return r.arena[n:len(r.arena):len(r.arena)]
}

func (r *reader) Get(key []byte) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	value, closer, err := r.source.Get(r.at(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, kv.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	value = r.copied(value)
	return value, closer.Close()
}

// manyKeys is from how many keys on GetMany sorts them and goes through them
// with one iterator. That is cheaper where the keys lie close to each other in
// the same tables. A search for each stops at the newest table that has the
// key, where an iterator looks into all of them: for the few rows that every
// change of an account reads and writes again, it reads blocks in vain.
const manyKeys = 17

func (r *reader) GetMany(keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if len(keys) >= manyKeys {
		return values, r.getSorted(keys, values)
	}
	for i, key := range keys {
		value, err := r.Get(key)
		if err != nil && err != kv.ErrNotFound {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

func (r *reader) getSorted(keys, values [][]byte) (err error) {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		slices.SortFunc(order, func(i, j int) int { return bytes.Compare(keys[i], keys[j]) })
	}
	it, err := r.source.NewIterWithContext(r.ctx, &pebble.IterOptions{LowerBound: r.prefix[:], UpperBound: r.end})
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = fmt.Errorf("read keys: %w", e)
		}
	}()
	for _, i := range order {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		// All of a key is its prefix, so this asks the filters of the tables.
		if !it.SeekPrefixGE(r.at(keys[i])) {
			if err := it.Error(); err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		values[i] = r.copied(value)
	}
	return nil
}

func (r *reader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		if err := r.scan(lo, hi, o, yield); err != nil {
			yield(kv.Item{}, err)
		}
	}
}

// scan gives nil also when yield wants no more.
func (r *reader) scan(lo, hi []byte, o kv.ScanOptions, yield func(kv.Item, error) bool) (err error) {
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	bounds := pebble.IterOptions{LowerBound: append(r.prefix[:], lo...), UpperBound: r.end}
	if hi != nil {
		bounds.UpperBound = append(r.prefix[:], hi...)
	}
	it, err := r.source.NewIterWithContext(r.ctx, &bounds)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	stopped := false
	defer func() {
		if e := it.Close(); e != nil && err == nil && !stopped {
			err = fmt.Errorf("scan: %w", e)
		}
	}()
	first, next := it.First, it.Next
	if o.Reverse {
		first, next = it.Last, it.Prev
	}
	n := 0
	for ok := first(); ok; ok = next() {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		item := kv.Item{Key: it.Key()[len(r.prefix):]}
		if !o.KeysOnly {
			if item.Value, err = it.ValueAndErr(); err != nil {
				return fmt.Errorf("scan: %w", err)
			}
			if item.Value == nil { // an empty one, at times
				item.Value = []byte{}
			}
		}
		if !yield(item, nil) {
			stopped = true
			return nil
		}
		if n++; n == o.Limit {
			return nil
		}
	}
	return nil // Close gives the iterator's error
}

// A txn gathers its writes in a batch. The batch is indexed only when the
// transaction reads after it has written; most read first, then write.
type txn struct {
	reader
	db      *pebble.DB
	batch   *pebble.Batch
	indexed bool
	budget  engine.Budget
	err     error // the first failure of a write
}

func newTxn(ctx context.Context, db *pebble.DB, p kv.Partition) *txn {
	tx := &txn{db: db, batch: db.NewBatch(), budget: engine.Budget{Limits: kv.DefaultLimits}}
	tx.ctx, tx.source = ctx, db
	tx.setPartition(p)
	return tx
}

// take gives the batch away.
func (tx *txn) take() *pebble.Batch {
	b := tx.batch
	tx.batch = nil
	return b
}

func (tx *txn) close() {
	if tx.batch != nil {
		tx.batch.Close()
	}
}

// see makes the transaction's own writes visible to the reader.
func (tx *txn) see() error {
	if tx.err != nil {
		return tx.err
	}
	if tx.indexed || tx.batch.Empty() {
		return nil
	}
	b := tx.db.NewIndexedBatch()
	if err := b.Apply(tx.batch, nil); err != nil {
		tx.err = errors.Join(fmt.Errorf("index writes: %w", err), b.Close())
		return tx.err
	}
	tx.batch.Close()
	tx.batch, tx.source, tx.indexed = b, b, true
	return nil
}

func (tx *txn) Get(key []byte) ([]byte, error) {
	if err := tx.see(); err != nil {
		return nil, err
	}
	return tx.reader.Get(key)
}

func (tx *txn) GetMany(keys [][]byte) ([][]byte, error) {
	if err := tx.see(); err != nil {
		return nil, err
	}
	return tx.reader.GetMany(keys)
}

// Scan shows the state at the time when the loop begins.
func (tx *txn) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		err := tx.see()
		if err == nil {
			err = tx.reader.scan(lo, hi, o, yield)
		}
		if err != nil {
			yield(kv.Item{}, err)
		}
	}
}

func (tx *txn) Put(key, value []byte) {
	if !tx.budget.Spend(key, value) {
		return
	}
	op := tx.batch.SetDeferred(len(tx.prefix)+len(key), len(value))
	copy(op.Key[copy(op.Key, tx.prefix[:]):], key)
	copy(op.Value, value)
	tx.note(op.Finish())
}

func (tx *txn) Delete(key []byte) {
	if tx.budget.Spend(key, nil) {
		tx.note(tx.batch.Delete(tx.at(key), nil))
	}
}

// fewKeys is how many keys are deleted one by one where a range is meant.
// Pebble's tombstones of ranges are dear to its readers when there are many.
const fewKeys = 64

func (tx *txn) DeleteRange(lo, hi []byte) {
	if !tx.budget.SpendRange(lo, hi) || hi != nil && bytes.Compare(lo, hi) >= 0 {
		return
	}
	var few [][]byte
	for item, err := range tx.Scan(lo, hi, kv.ScanOptions{KeysOnly: true, Limit: fewKeys + 1}) {
		if err != nil {
			tx.note(err)
			return
		}
		few = append(few, append(tx.prefix[:], item.Key...))
	}
	if len(few) <= fewKeys {
		for _, key := range few {
			tx.note(tx.batch.Delete(key, nil))
		}
		return
	}
	start, end := append(tx.prefix[:], lo...), tx.end
	if hi != nil {
		end = append(tx.prefix[:], hi...)
	}
	if end == nil { // the last partition of all: behind its longest key
		end = append(tx.prefix[:], bytes.Repeat([]byte{0xff}, tx.budget.Limits.Key+1)...)
	}
	tx.note(tx.batch.DeleteRange(start, end, nil))
}

func (tx *txn) note(err error) {
	if tx.err == nil && err != nil {
		tx.err = fmt.Errorf("write: %w", err)
	}
}
