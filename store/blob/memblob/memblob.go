// Package memblob is the blob store in memory: for tests, also within a
// testing/synctest bubble. It does no I/O and starts no goroutines.
package memblob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
)

// A Store is a blob.Store in memory.
type Store struct {
	max mail.ByteCount

	mu     sync.Mutex // guards what follows
	blobs  map[blob.Key]kept
	closed bool
}

type kept struct {
	bytes    []byte // never changed
	modified time.Time
}

var _ blob.Store = (*Store)(nil)

// New gives an empty store whose blobs have at most so many octets; 0 for a
// gigabyte.
func New(max mail.ByteCount) *Store {
	if max <= 0 {
		max = 1 << 30
	}
	return &Store{max: max, blobs: make(map[blob.Key]kept)}
}

// ready is called with the mutex held.
func (s *Store) ready(ctx context.Context) error {
	if s.closed {
		return blob.ErrClosed
	}
	return ctx.Err()
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context) (blob.Spool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	return &spool{store: s}, nil
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key blob.Key) (blob.Blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	k, ok := s.blobs[key]
	if !ok {
		return nil, fmt.Errorf("open blob %s of %s: %w", key.Sum, key.Owner, blob.ErrNotFound)
	}
	return opened{bytes.NewReader(k.bytes), mail.ByteCount(len(k.bytes))}, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, key blob.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	delete(s.blobs, key)
	return nil
}

// Reap implements blob.Store.
func (s *Store) Reap(ctx context.Context, stat blob.Stat) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	k, ok := s.blobs[stat.Key]
	if !ok || !k.modified.Equal(stat.Modified) {
		return false, nil
	}
	delete(s.blobs, stat.Key)
	return true, nil
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, owner mail.AccountID) iter.Seq2[blob.Stat, error] {
	return func(yield func(blob.Stat, error) bool) {
		s.mu.Lock()
		err, blobs := s.ready(ctx), maps.Clone(s.blobs)
		s.mu.Unlock()
		if err != nil {
			yield(blob.Stat{}, err)
			return
		}
		for key, k := range blobs {
			if key.Owner != owner {
				continue
			}
			stat := blob.Stat{Key: key, Size: mail.ByteCount(len(k.bytes)), Modified: k.modified}
			if !yield(stat, nil) {
				return
			}
		}
	}
}

// Close implements blob.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return blob.ErrClosed
	}
	s.closed = true
	return nil
}

// An opened blob has nothing to close.
type opened struct {
	*bytes.Reader
	size mail.ByteCount
}

func (o opened) Size() mail.ByteCount { return o.size }
func (opened) Close() error           { return nil }

type spool struct {
	store    *Store
	bytes    []byte
	sum      blob.Sum
	finished bool
	err      error
}

func (sp *spool) Write(p []byte) (int, error) {
	switch {
	case sp.err != nil:
		return 0, sp.err
	case sp.finished:
		return 0, errors.New("spool has been finished")
	case mail.ByteCount(len(sp.bytes)+len(p)) > sp.store.max:
		sp.err = blob.ErrTooLarge
		return 0, sp.err
	}
	sp.bytes = append(sp.bytes, p...)
	return len(p), nil
}

func (sp *spool) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(sp.bytes).ReadAt(p, off)
}

func (sp *spool) Sum() (blob.Sum, mail.ByteCount, error) {
	if sp.err != nil {
		return blob.Sum{}, 0, sp.err
	}
	if !sp.finished {
		sp.sum, sp.finished = sha256.Sum256(sp.bytes), true
	}
	return sp.sum, mail.ByteCount(len(sp.bytes)), nil
}

func (sp *spool) Keep(ctx context.Context, owner mail.AccountID) (blob.Key, error) {
	s := sp.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.ready(ctx), sp.err); err != nil {
		return blob.Key{}, err
	}
	if !sp.finished {
		return blob.Key{}, errors.New("keep needs a finished spool")
	}
	key := blob.Key{Owner: owner, Sum: sp.sum}
	s.blobs[key] = kept{bytes: sp.bytes, modified: time.Now()}
	return key, nil
}

func (sp *spool) Close() error {
	sp.finished = true
	sp.err = errors.New("spool is closed")
	return nil
}
