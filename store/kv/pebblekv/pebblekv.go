package pebblekv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/obs"
	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A Store is a kv.Store on Pebble and a log of its own.
type Store struct {
	dir      string
	o        Options
	lock     io.Closer
	db       *pebble.DB
	log      *bodyLog
	keeper   *keeper
	gate     engine.Gate
	watchers engine.Watchers
	parts    parts
	views    views
	space    space
	failed   atomic.Pointer[failure]
	keep     sync.RWMutex // held, shared, while no segment may be removed
}

// A failure is why the store cannot write any more.
type failure struct{ err error }

var _ kv.Store = (*Store)(nil)

// prefixed gives key as Pebble has it.
func prefixed(p kv.Partition, key []byte) []byte {
	b := make([]byte, 8, 8+len(key))
	binary.BigEndian.PutUint64(b, uint64(p))
	return append(b, key...)
}

// View implements kv.Store.
func (s *Store) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.views.leave(s.views.enter())
	snapshot := s.db.NewSnapshot()
	defer snapshot.Close()
	// After the snapshot, never before: see the package comment.
	if err := s.parts.newest(p).Wait(ctx); err != nil {
		return err
	}
	r := reader{ctx: ctx, source: snapshot, log: s.log}
	r.setPartition(p)
	return fn(&r)
}

// Update implements kv.Store.
func (s *Store) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.update(ctx, p, func(tx *txn) error { return fn(tx) })
}

// update is Update, also for the store itself.
func (s *Store) update(ctx context.Context, p kv.Partition, fn func(*txn) error) (kv.Commit, error) {
	part := s.parts.hold(p)
	defer s.parts.release(p, part)
	select {
	case part.writer <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, read, err := s.run(ctx, p, part, fn)
	if err != nil {
		// The error may tell of what fn has read.
		if e := read.Wait(ctx); e != nil {
			return nil, e
		}
		return nil, err
	}
	return c, nil
}

// run runs one transaction for the writer of the partition, and lets the next
// one in. It gives the commit, and the newest one that fn can have read.
func (s *Store) run(ctx context.Context, p kv.Partition, part *partition, fn func(*txn) error) (c, read *commit, err error) {
	defer func() { <-part.writer }()
	read, latest := s.parts.last(p)
	if f := s.failed.Load(); f != nil {
		return nil, read, f.err
	}
	tx := s.newTxn(ctx, p)
	tx.latest = latest
	defer tx.close()
	if err := fn(tx); err != nil {
		return nil, read, err
	}
	if err := errors.Join(tx.budget.Err(), tx.err, ctx.Err()); err != nil {
		return nil, read, err
	}
	if tx.batch.Empty() {
		return &commit{after: read}, read, nil
	}
	if err := s.space.check(len(tx.own.values), int(tx.batch.Count())); err != nil {
		return nil, read, err
	}
	c = &commit{store: s, partition: p, part: part}
	if err := s.order(c, tx); err != nil {
		return nil, read, err
	}
	return c, read, nil
}

// order gives what tx has written its place in the log, and then in Pebble.
func (s *Store) order(c *commit, tx *txn) error {
	var length int64
	c.record, length, c.sum = tx.take()
	c.halves.Store(2)
	if err := s.log.append(c, length); err != nil {
		return err
	}
	tx.settle(c.place)
	s.parts.enter(c.partition, c.part, c)
	if err := s.apply(tx.batch); err != nil {
		s.fail(err)
		return s.failed.Load().err
	}
	c.arrived()
	s.log.nudge()
	s.keeper.churned(tx.churn)
	return nil
}

// apply makes the batch what readers see. Pebble's panics here leave its
// locks taken: nobody must live on.
func (s *Store) apply(b *pebble.Batch) error {
	defer func() {
		if r := recover(); r != nil {
			err := fmt.Errorf("storage engine cannot go on: %v", r)
			s.fail(err)
			s.o.Log.Error("storage engine cannot go on", obs.Err, err)
			s.o.Fatal(err)
		}
	}()
	return s.db.Apply(b, pebble.NoSync)
}

// fail makes the store read-only, for the first reason given.
func (s *Store) fail(err error) {
	err = fmt.Errorf("%w: %w", kv.ErrReadOnly, err)
	if s.failed.CompareAndSwap(nil, &failure{err: err}) {
		s.o.Log.Error("store is read-only until it is opened again", obs.Err, err)
		s.o.Failed(err)
	}
}

// Watch implements kv.Store.
func (s *Store) Watch(ctx context.Context, p kv.Partition) (<-chan kv.Version, error) {
	return s.watchers.Watch(ctx, p, nil)
}

// WatchBut does what kv.WatchBut says.
func (s *Store) WatchBut(ctx context.Context, p kv.Partition, known func(kv.Version) bool) (<-chan kv.Version, error) {
	return s.watchers.Watch(ctx, p, known)
}

// Partitions implements kv.Store.
func (s *Store) Partitions(ctx context.Context, from kv.Partition) iter.Seq2[kv.Partition, error] {
	return func(yield func(kv.Partition, error) bool) {
		if err := s.partitions(ctx, from, yield); err != nil {
			yield(0, err)
		}
	}
}

// partitions gives nil also when yield wants no more.
func (s *Store) partitions(ctx context.Context, from kv.Partition, yield func(kv.Partition, error) bool) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	snapshot := s.db.NewSnapshot()
	defer snapshot.Close()
	for _, c := range s.parts.pending() {
		if err := c.Wait(ctx); err != nil {
			return err
		}
	}
	it, err := snapshot.NewIterWithContext(ctx, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.SeekGE(prefixed(from, nil)); ok; {
		if len(it.Key()) < 8 {
			return fmt.Errorf("key %x lies in no partition", it.Key())
		}
		p := kv.Partition(binary.BigEndian.Uint64(it.Key()))
		if !yield(p, nil) || p == math.MaxUint64 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		ok = it.SeekGE(prefixed(p+1, nil))
	}
	return it.Error()
}

// Limits implements kv.Store.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits }
