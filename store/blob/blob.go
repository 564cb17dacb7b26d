// Package blob is the contract for large immutable bytes: bodies of messages
// that are too large for the key-value engine (store/mailbox decides).
//
// A blob is named by its owner and its content. Writing goes in two steps, so
// that one body can be received once and then be given to many owners: Create
// spools bytes that nobody owns yet, and Spool.Keep makes them durable under
// an owner's key. Metadata that names a blob is committed only after Keep has
// returned; a crash between the two leaves garbage that Sweep removes.
//
// Most callers receive bodies through a Staged, which keeps small ones in memory
// and spools the others.
//
// Stores: fsblob (files), s3blob (a bucket that several processes share),
// memblob (memory, for tests). Package blobtest holds the laws that all must
// keep; package packed is the form in which stores compress.
package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"waxwing/mail"
)

// ErrNotFound says that there is no such blob.
var ErrNotFound = errors.New("blob not found")

// ErrCorrupt says that the bytes read are not those that were written.
var ErrCorrupt = errors.New("blob is corrupt")

// ErrTooLarge says that a spool has been given more than the store takes.
var ErrTooLarge = errors.New("blob is over the size limit")

// ErrClosed says that the store has been closed.
var ErrClosed = errors.New("blob store is closed")

// A Sum is the SHA-256 of a blob's bytes.
type Sum [32]byte

// String gives the sum in hex.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// ParseSum reads what String wrote.
func ParseSum(s string) (Sum, error) {
	var sum Sum
	if len(s) != hex.EncodedLen(len(sum)) || strings.ToLower(s) != s {
		return Sum{}, errors.New("not a blob's sum")
	}
	if _, err := hex.Decode(sum[:], []byte(s)); err != nil {
		return Sum{}, errors.New("not a blob's sum")
	}
	return sum, nil
}

// A Key names a blob.
type Key struct {
	Owner mail.AccountID
	Sum   Sum
}

// A Store keeps blobs. All methods are safe for concurrent use.
type Store interface {
	// Create begins a spool.
	Create(ctx context.Context) (Spool, error)

	// Open opens a blob for reading, or returns ErrNotFound. Reading all of
	// it from the start and meeting other bytes than its sum says gives
	// ErrCorrupt in place of io.EOF.
	Open(ctx context.Context, key Key) (Blob, error)

	// Delete removes a blob; that there is none is no error. Blobs that are
	// open stay readable; in a store elsewhere, what of them has been fetched.
	Delete(ctx context.Context, key Key) error

	// Reap removes a blob that Stat tells of, unless it has been kept again
	// since; it tells whether it did.
	Reap(ctx context.Context, stat Stat) (bool, error)

	// List goes through an owner's blobs, for the sweep and for checks. The
	// order is not told; what is kept or deleted meanwhile may be missing.
	List(ctx context.Context, owner mail.AccountID) iter.Seq2[Stat, error]

	Close() error
}

// A Stat tells of one blob.
type Stat struct {
	Key      Key
	Size     mail.ByteCount // what it takes in the store, more or less
	Modified time.Time      // when it was last kept, or later
	Copy     string         // the store's own: which one, where it has several
}

// A Spool takes the bytes of a blob whose owners are not known yet. It is
// used by one goroutine. Close, which is always called, throws away what no
// Keep has kept.
type Spool interface {
	io.Writer
	io.ReaderAt // what has been written so far

	// Sum ends writing and gives the sum and the size.
	Sum() (Sum, mail.ByteCount, error)

	// Keep makes the bytes durable under the owner, after Sum; it may be
	// called for several owners, and again for one that has it already.
	// Keep and Delete of the same key act one after the other, as a whole.
	Keep(ctx context.Context, owner mail.AccountID) (Key, error)

	Close() error
}

// A Blob is one open blob. ReadAt is safe for concurrent use.
type Blob interface {
	io.ReaderAt
	io.Reader
	Size() mail.ByteCount
	Close() error
}

// Prove returns ErrCorrupt if ReadAt would: for who has to know before saying
// that so many octets follow. Where damage is found in the part that is read,
// and nowhere else, it does nothing.
func Prove(b Blob) error {
	if p, ok := b.(interface{ Prove() error }); ok {
		return p.Prove()
	}
	return nil
}
