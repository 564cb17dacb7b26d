package pebblekv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/obs"
	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A Store is a kv.Store on Pebble.
type Store struct {
	dir      string
	o        Options
	lock     io.Closer
	db       *pebble.DB
	gate     engine.Gate
	watchers engine.Watchers
	parts    parts
	syncer   *syncer
	space    space
	failed   atomic.Pointer[failure]
}

// A failure is why the store cannot write any more.
type failure struct{ err error }

var _ kv.Store = (*Store)(nil)

// Open opens the store in dir, which it makes if there is none. It recovers
// from a crash by itself. The caller closes the store.
func Open(dir string, o Options) (*Store, error) {
	o.setDefaults()
	s, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o Options) (_ *Store, err error) {
	if err := makeDirs(o.FS, dir); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("in use, perhaps by another process: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	exists, err := readFormat(o.FS, dir)
	if err != nil {
		return nil, err
	}
	po := o.pebbleOptions()
	po.ErrorIfNotExists = exists // else a lost directory would be a new store
	db, err := pebble.Open(o.FS.PathJoin(dir, "pebble"), po)
	if err != nil {
		return nil, err
	}
	if !exists {
		if err := writeFormat(o.FS, dir); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	s := &Store{dir: dir, o: o, lock: lock, db: db}
	s.space = space{fs: o.FS, dir: dir, min: o.MinFree}
	s.syncer = startSyncer(s)
	return s, nil
}

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
	snapshot := s.db.NewSnapshot()
	defer snapshot.Close()
	// After the snapshot, never before: see the package comment.
	if err := s.parts.newest(p).Wait(ctx); err != nil {
		return err
	}
	r := reader{ctx: ctx, source: snapshot}
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
func (s *Store) run(ctx context.Context, p kv.Partition, part *partition, fn func(kv.Txn) error) (c, read *commit, err error) {
	defer func() { <-part.writer }()
	read = s.parts.newest(p)
	if f := s.failed.Load(); f != nil {
		return nil, read, f.err
	}
	tx := newTxn(ctx, s.db, p)
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
	if err := s.space.check(tx.budget.Octets()); err != nil {
		return nil, read, err
	}
	c = &commit{partition: p, part: part, batch: tx.take(), done: make(chan struct{})}
	s.parts.enter(p, part, c)
	if err := s.apply(c); err != nil {
		s.fail(err)
		c.finish(s.failed.Load().err)
		return nil, read, s.failed.Load().err
	}
	c.version = kv.Version(c.batch.SeqNum())
	s.syncer.add(c)
	return c, read, nil
}

// apply gives the batch its place in the log. Pebble's panics here leave its
// locks taken: nobody must live on.
func (s *Store) apply(c *commit) error {
	defer func() {
		if r := recover(); r != nil {
			err := fmt.Errorf("storage engine cannot go on: %v", r)
			s.fail(err)
			s.o.Log.Error("storage engine cannot go on", obs.Err, err)
			s.o.Fatal(err)
		}
	}()
	return s.db.ApplyNoSyncWait(c.batch, pebble.Sync)
}

// fail makes the store read-only, for the first reason given.
func (s *Store) fail(err error) {
	err = fmt.Errorf("%w: %w", kv.ErrReadOnly, err)
	if s.failed.CompareAndSwap(nil, &failure{err: err}) {
		s.o.Log.Error("store is read-only until it is opened again", obs.Err, err)
	}
}

// Watch implements kv.Store.
func (s *Store) Watch(ctx context.Context, p kv.Partition) (<-chan kv.Version, error) {
	return s.watchers.Watch(ctx, p)
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

// Checkpoint implements kv.Store. The copy is a store of its own for Open.
// Most of its files are hard links, if dir is on the same file system.
func (s *Store) Checkpoint(ctx context.Context, dir string) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	fs := s.o.FS
	if _, err := fs.Stat(dir); err == nil {
		return fmt.Errorf("checkpoint: %s exists", dir)
	}
	// Unless it gets its name it is no checkpoint.
	part := dir + ".part"
	if err := errors.Join(fs.RemoveAll(part), makeDirs(fs, part)); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	err := s.db.Checkpoint(fs.PathJoin(part, "pebble"), pebble.WithFlushedWAL())
	if err == nil {
		err = writeFormat(fs, part)
	}
	if err == nil {
		err = fs.Rename(part, dir)
	}
	if err == nil {
		err = syncDir(fs, fs.PathDir(dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("checkpoint: %w", err), fs.RemoveAll(part))
	}
	return nil
}

// Limits implements kv.Store.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits }

// Close implements kv.Store. It also waits until all commits are durable.
func (s *Store) Close() error {
	if err := s.gate.Close(); err != nil {
		return err
	}
	s.syncer.stop()
	s.watchers.Close()
	return errors.Join(s.db.Close(), s.lock.Close())
}
