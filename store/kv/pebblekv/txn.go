package pebblekv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A txn gathers its writes in a batch. The batch is indexed only when the
// transaction reads after it has written; most read first, then write.
type txn struct {
	reader
	db      *pebble.DB
	batch   *pebble.Batch
	latest  place // of the partition's commits; 0 if that is not known
	indexed bool
	slots   []int // where in the batch there are references to own
	churn   int   // values that may have died, about
	budget  engine.Budget
	err     error // the first failure of a write
}

func (s *Store) newTxn(ctx context.Context, p kv.Partition) *txn {
	tx := &txn{db: s.db, batch: s.db.NewBatch(), budget: engine.Budget{Limits: kv.DefaultLimits}}
	tx.ctx, tx.source, tx.log, tx.own = ctx, s.db, s.log, newRecord()
	tx.setPartition(p)
	return tx
}

// Newest implements kv.Dated. Whoever writes to the partition waits for its only
// writer.
func (tx *txn) Newest() kv.Version { return kv.Version(tx.latest) }

// take gives the record of what has been written away, all but its place.
func (tx *txn) take() (r *record, length int64, sum uint32) {
	r, tx.own = tx.own, nil
	length, sum = r.close(tx.batch.Repr())
	return r, length, sum
}

// settle gives the references in the batch their places, for a record at p.
func (tx *txn) settle(p place) {
	batch := tx.batch.Repr()
	for _, slot := range tx.slots {
		movePlace(batch[slot:], p+place(recordHead+len(batch)))
	}
}

func (tx *txn) close() {
	tx.batch.Close()
	if tx.own != nil {
		tx.own.release()
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
	if len(value) >= logFrom {
		tx.putStored(key, tagLog, value, len(value))
		return
	}
	op := tx.batch.SetDeferred(len(tx.prefix)+len(key), 1+len(value))
	copy(op.Key[copy(op.Key, tx.prefix[:]):], key)
	op.Value[0] = tagPlain
	copy(op.Value[1:], value)
	tx.note(op.Finish())
}

// putStored sets key to a value that stays in the log.
func (tx *txn) putStored(key []byte, tag byte, stored []byte, whole int) {
	ref := tx.own.add(tag, stored, whole)
	op := tx.batch.SetDeferred(len(tx.prefix)+len(key), referenceLen)
	copy(op.Key[copy(op.Key, tx.prefix[:]):], key)
	ref.put(op.Value)
	tx.note(op.Finish())
	tx.slots = append(tx.slots, tx.batch.Len()-referenceLen) // it is the last of the batch
}

func (tx *txn) Delete(key []byte) {
	if tx.budget.Spend(key, nil) {
		tx.churn++
		tx.note(tx.batch.Delete(tx.at(key), nil))
	}
}

// fewKeys is how many keys are deleted one by one where a range is meant.
// Pebble's tombstones of ranges are dear to its readers when there are many.
const fewKeys = 64

// manyDeleted stands for how many values a range has that was not counted.
const manyDeleted = 1000

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
	tx.churn += len(few)
	if len(few) <= fewKeys {
		for _, key := range few {
			tx.note(tx.batch.Delete(key, nil))
		}
		return
	}
	tx.churn += manyDeleted
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
