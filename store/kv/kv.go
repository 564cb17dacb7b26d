// Package kv is the contract of Waxwing's storage engines: ordered byte keys
// in partitions, transactions within one partition, answers only after they
// are durable.
//
// A partition is the unit of consistency, locking, sharding, backup, moving
// and export: one account, or one named part of the system (the directory, a
// shard of the outqueue). Transactions of one partition are serialised; those
// of different partitions never wait for each other except for the disk.
//
// Engines: memkv (memory, for tests), pebblekv (the default, one machine),
// pgkv (PostgreSQL, several machines).
// Package kvtest holds the laws that all must keep, and kvtest.Far, an engine
// that is as slow and as awkward as this contract allows. No caller may assume that
// Get is cheap (it may be a network round trip): read with GetMany and Scan.
package kv

import (
	"context"
	"errors"
	"iter"
)

// A Partition names one unit of consistency. How numbers are given out is
// the business of package store/keys.
type Partition uint64

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("key not found")
	ErrClosed   = errors.New("store is closed")
	ErrTooLarge = errors.New("over the limits of a transaction")
	ErrReadOnly = errors.New("store cannot write") // for now if syscall.ENOSPC is with it
	ErrDamaged  = errors.New("value is damaged")   // not what was written; see Spare
)

// Limits is what every engine can do; Update fails with ErrTooLarge beyond it.
type Limits struct {
	Key   int // octets in a key
	Value int // octets in a value
	Txn   int // octets of keys and values written by one transaction
	Keys  int // keys written by one transaction
}

// DefaultLimits holds for all engines.
var DefaultLimits = Limits{Key: 512, Value: 64 << 10, Txn: 4 << 20, Keys: 10_000}

// A Version tells the commits of a partition apart: a higher one is later.
// Versions need not be consecutive.
type Version uint64

// A Store is an ordered transactional key-value store. All methods are safe
// for concurrent use.
type Store interface {
	// View runs fn on one snapshot of p. Everything that the snapshot holds
	// is durable: what has been committed but not yet synced is waited for,
	// and never shown before. Nothing given to fn may be used after it returns.
	View(ctx context.Context, p Partition, fn func(Reader) error) error

	// Update runs fn alone among the writers of p, on the newest state
	// (durable or not), and commits what it wrote, atomically. fn may run
	// more than once and so has no side effects. If fn returns an error
	// nothing is written and Update returns that error, once all that fn may
	// have read is durable.
	//
	// Update returns once the commit has its place in the order; the next
	// writer of p may then run. Nothing may be told to anybody before the
	// commit's Wait has returned nil. A transaction that wrote nothing
	// gives a Commit that waits for what it has read, and has version 0.
	Update(ctx context.Context, p Partition, fn func(Txn) error) (Commit, error)

	// Watch gives a channel that receives the newest version after durable
	// commits to p, here or on another node; several commits may come as
	// one. It is closed when ctx ends or the store closes.
	Watch(ctx context.Context, p Partition) (<-chan Version, error)

	// Partitions lists the partitions that hold at least one key, in order,
	// beginning with from.
	Partitions(ctx context.Context, from Partition) iter.Seq2[Partition, error]

	// Checkpoint writes a copy of the whole store, consistent in each
	// partition, to a directory that must not exist yet.
	Checkpoint(ctx context.Context, dir string) error

	Limits() Limits

	// Close waits for what is under way. After it every call fails with
	// ErrClosed.
	Close() error
}

// A Commit is a transaction that has its place in the order.
type Commit interface {
	// Wait returns nil once the commit, and so all before it in the
	// partition, is durable. An error means that it is not known to be: the
	// caller must not acknowledge. If ctx ends first the commit may still
	// become durable.
	Wait(ctx context.Context) error

	// Version is the partition's version that the commit made.
	Version() Version
}

// A Reader reads one state of a partition. It belongs to the goroutine that
// runs fn. Slices that it returns are valid until fn returns and must not be
// changed.
type Reader interface {
	// Get returns ErrNotFound if there is no such key.
	Get(key []byte) ([]byte, error)

	// GetMany reads in one round trip; missing keys give nil.
	GetMany(keys [][]byte) ([][]byte, error)

	// Scan goes through lo <= key < hi in order. A nil hi is the
	// partition's end. Items are valid until the next step of the loop; the
	// values of items are never nil unless KeysOnly is set. In a Txn the loop
	// shows the state at its beginning, whatever it writes.
	Scan(lo, hi []byte, o ScanOptions) iter.Seq2[Item, error]
}

// ScanOptions change how Scan goes; the zero value gives everything forwards.
type ScanOptions struct {
	Reverse  bool
	Limit    int  // items at most; 0 for no limit
	KeysOnly bool // Item.Value stays nil
}

// An Item is one key with its value.
type Item struct{ Key, Value []byte }

// A Txn reads and writes. It sees its own writes. Keys and values are copied.
type Txn interface {
	Reader
	Put(key, value []byte)
	Delete(key []byte)
	// DeleteRange deletes lo <= key < hi; a nil hi is the partition's end.
	DeleteRange(lo, hi []byte)
}

// Spare has r, until its fn returns, go on past values of which the disk has kept
// something else than what was written there (ErrDamaged): each is given as
// empty, after told has been called with its key and the reason. It is for who
// looks for what is left. Engines whose database sees to that do nothing.
func Spare(r Reader, told func(key []byte, err error)) {
	if s, ok := r.(interface {
		Spare(told func(key []byte, err error))
	}); ok {
		s.Spare(told)
	}
}

// WatchBut is Watch for who need not be told of some commits: of those for which
// known is true when they become durable, where the engine can pass over them.
// known is called with locks held, by whoever has made commits durable: it returns
// at once and calls nothing of the store.
func WatchBut(ctx context.Context, s Store, p Partition, known func(Version) bool) (<-chan Version, error) {
	if picky, ok := s.(interface {
		WatchBut(ctx context.Context, p Partition, known func(Version) bool) (<-chan Version, error)
	}); ok {
		return picky.WatchBut(ctx, p, known)
	}
	return s.Watch(ctx, p)
}

// Apply runs fn as Update does and waits until it is durable.
func Apply(ctx context.Context, s Store, p Partition, fn func(Txn) error) error {
	c, err := s.Update(ctx, p, fn)
	if err != nil {
		return err
	}
	return c.Wait(ctx)
}

// PrefixEnd gives the smallest key above all that begin with prefix, for use
// as the hi of a scan; nil if there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
