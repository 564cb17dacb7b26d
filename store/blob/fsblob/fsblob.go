// Package fsblob is the blob store on a file system. Under its directory:
//
//	FORMAT                       "waxwing fsblob 1": the layout below
//	ID                           tells the store apart from all others
//	LOCK                         locked by the process that has the store open
//	spool/*                      bytes on their way in; removed by Open
//	PACKED                       up to when Pack has looked at what was kept
//	2f/a00000000000002f/<sum>    one file a blob; the directory of an owner lies
//	                             in one named by the owner's last octet
//	2f/a00000000000002f/<sum>.z  the same, packed (store/blob/packed)
//
// A spool is written once; each Keep is a hard link to it, so a body costs its
// bytes once for all its owners. Before Keep returns, the file, the directory
// that names it and all directories above have been synced. Files never
// change after that; only the time of modification moves, to when the blob was
// last kept.
//
// Pack, which runs when there is time for it, puts a packed file in the place
// of one that gets smaller by it: the packed one is durable under its name
// before the other is removed. A crash between the two leaves both, and either
// will do. Files with several owners stay as they are.
package fsblob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/packed"
)

// DefaultMaxSize is the limit of a blob when Options name none.
const DefaultMaxSize = 1 << 30

// layout is what FORMAT says.
const layout = "waxwing fsblob 1\n"

// Options change how a store works.
type Options struct {
	// MaxSize is the limit of one blob; 0 for DefaultMaxSize.
	MaxSize mail.ByteCount

	// MinFree is the free space, in octets, below which spools take no more:
	// they fail with syscall.ENOSPC. 0 for no limit.
	MinFree int64

	// FS is the file system; nil for the operating system's.
	FS FS
}

// A Store is a blob.Store in files.
type Store struct {
	dir     string
	fs      FS
	max     mail.ByteCount
	minFree int64
	id      string
	codec   *packed.Codec
	lock    io.Closer
	closed  atomic.Bool
	dirs    durableDirs
	proofs  proofs

	// One stripe makes Keep, Delete and Reap of one key follow each other.
	stripes [64]sync.Mutex
	seed    maphash.Seed
}

var _ blob.Store = (*Store)(nil)

// Open opens the store in dir, which it makes if there is none, and removes
// what a crash has left in the spool.
func Open(dir string, o Options) (*Store, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	codec, err := packed.NewCodec()
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	s := &Store{dir: dir, fs: o.FS, max: o.MaxSize, minFree: o.MinFree, dirs: durableDirs{fs: o.FS}, codec: codec, seed: maphash.MakeSeed()}
	if err := s.dirs.make(dir); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if err := s.takeLock(); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if err := errors.Join(s.checkFormat(), s.readID(), s.emptySpool()); err != nil {
		return nil, errors.Join(fmt.Errorf("open blobs: %w", err), s.lock.Close())
	}
	return s, nil
}

// takeLock keeps other processes, which would empty our spool, away.
func (s *Store) takeLock() (err error) {
	if s.lock, err = s.fs.Lock(filepath.Join(s.dir, "LOCK")); err != nil {
		return fmt.Errorf("%s is in use by another process: %w", s.dir, err)
	}
	return nil
}

// checkFormat reads FORMAT, and writes it in a new store.
func (s *Store) checkFormat() error {
	got, err := s.readNote("FORMAT")
	if err == nil {
		if got != layout {
			return fmt.Errorf("%s has the layout %q; this program knows %q", s.dir,
				strings.TrimSpace(got), strings.TrimSpace(layout))
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.writeNote("FORMAT", layout)
}

// readID reads ID, and writes it in a store that has none.
func (s *Store) readID() error {
	got, err := s.readNote("ID")
	if errors.Is(err, fs.ErrNotExist) {
		s.id = strings.ToLower(rand.Text())
		return s.writeNote("ID", s.id+"\n")
	}
	s.id = strings.TrimSpace(got)
	return err
}

// ID tells the store apart from all others. It stays with the directory.
func (s *Store) ID() string { return s.id }

func (s *Store) emptySpool() error {
	spool := s.spoolDir()
	if err := s.dirs.make(spool); err != nil {
		return err
	}
	left, err := s.names(spool)
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := s.fs.Remove(filepath.Join(spool, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) spoolDir() string { return filepath.Join(s.dir, "spool") }

func (s *Store) ownerDir(owner mail.AccountID) string {
	return filepath.Join(s.dir, fmt.Sprintf("%02x", byte(owner)), owner.String())
}

func (s *Store) path(key blob.Key) string {
	return filepath.Join(s.ownerDir(key.Owner), key.Sum.String())
}

func (s *Store) stripe(key blob.Key) *sync.Mutex {
	return &s.stripes[maphash.Comparable(s.seed, key)%uint64(len(s.stripes))]
}

// ready says why a call cannot begin.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return blob.ErrClosed
	}
	return ctx.Err()
}

// Delete implements blob.Store. It is not synced: a blob that a crash brings
// back is garbage for the sweep.
func (s *Store) Delete(ctx context.Context, key blob.Key) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	for _, path := range []string{s.path(key), s.path(key) + packedSuffix} {
		if err := s.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete blob: %w", err)
		}
	}
	return nil
}

// Reap implements blob.Store.
func (s *Store) Reap(ctx context.Context, stat blob.Stat) (bool, error) {
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	mu := s.stripe(stat.Key)
	mu.Lock()
	defer mu.Unlock()
	path := s.path(stat.Key) + stat.Copy
	fi, err := s.fs.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reap blob: %w", err)
	}
	if !fi.ModTime().Equal(stat.Modified) {
		return false, nil
	}
	if err := s.fs.Remove(path); err != nil {
		return false, fmt.Errorf("reap blob: %w", err)
	}
	return true, nil
}

// Close implements blob.Store. Spools and blobs that are open stay usable,
// except that a spool can no longer be kept.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return blob.ErrClosed
	}
	return s.lock.Close()
}
