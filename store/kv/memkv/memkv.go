// Package memkv is the storage engine in memory: the reference for what
// package kv promises, and the store of all tests that need none on disk.
//
// Every partition is a sorted table whose old states stay readable while it
// changes (pages are copied before they are changed), so a snapshot costs
// nothing. A commit counts as durable at once. It does no I/O, starts no
// goroutines and may live in a testing/synctest bubble.
package memkv

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"waxwing/store/kv"
	"waxwing/store/kv/internal/engine"
)

// A Store is a kv.Store in memory.
type Store struct {
	gate     engine.Gate
	watchers engine.Watchers

	mu    sync.Mutex // guards parts
	parts map[kv.Partition]*partition
}

type partition struct {
	writer chan struct{} // holds one token while somebody writes
	state  atomic.Pointer[state]
}

// A state is a committed table. It never changes.
type state struct {
	table   engine.Table
	version kv.Version
}

var _ kv.Store = (*Store)(nil)

// New gives an empty store.
func New() *Store {
	return &Store{parts: make(map[kv.Partition]*partition)}
}

func (s *Store) partition(p kv.Partition) *partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.parts[p]
	if part == nil {
		part = &partition{writer: make(chan struct{}, 1)}
		part.state.Store(new(state))
		s.parts[p] = part
	}
	return part
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
	t := s.partition(p).state.Load().table
	return fn(&reader{ctx: ctx, table: &t})
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
	part := s.partition(p)
	select {
	case part.writer <- struct{}{}:
		defer func() { <-part.writer }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	old := part.state.Load()
	t := old.table
	t.Freeze()
	tx := &txn{reader: reader{ctx: ctx, table: &t}, budget: engine.Budget{Limits: s.Limits()}}
	if err := fn(tx); err != nil {
		return nil, err
	}
	if err := errors.Join(tx.budget.Err(), ctx.Err()); err != nil {
		return nil, err
	}
	if !tx.budget.Spent() {
		return commit(0), nil
	}
	part.state.Store(&state{table: t, version: old.version + 1})
	s.watchers.Wake(p, old.version+1)
	return commit(old.version + 1), nil
}

// A commit in memory is as durable as it will ever be.
type commit kv.Version

func (c commit) Wait(context.Context) error { return nil }
func (c commit) Version() kv.Version        { return kv.Version(c) }

// Watch implements kv.Store.
func (s *Store) Watch(ctx context.Context, p kv.Partition) (<-chan kv.Version, error) {
	return s.watchers.Watch(ctx, p, nil)
}

// Partitions implements kv.Store.
func (s *Store) Partitions(ctx context.Context, from kv.Partition) iter.Seq2[kv.Partition, error] {
	return func(yield func(kv.Partition, error) bool) {
		if err := s.gate.Enter(); err != nil {
			yield(0, err)
			return
		}
		defer s.gate.Leave()
		var found []kv.Partition
		s.mu.Lock()
		for p, part := range s.parts {
			if p >= from && !part.state.Load().table.Empty() {
				found = append(found, p)
			}
		}
		s.mu.Unlock()
		slices.Sort(found)
		for _, p := range found {
			if err := ctx.Err(); err != nil {
				yield(0, err)
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// Checkpoint implements kv.Store, except that memory has nothing to copy to a
// disk: it always fails with errors.ErrUnsupported.
func (s *Store) Checkpoint(context.Context, string) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	return errors.ErrUnsupported
}

// Limits implements kv.Store.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits }

// Close implements kv.Store. What the store held is gone.
func (s *Store) Close() error {
	if err := s.gate.Close(); err != nil {
		return err
	}
	s.watchers.Close()
	return nil
}
