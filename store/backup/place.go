package backup

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// ErrNoFile says that a Place has no file of that name.
var ErrNoFile = errors.New("no such file in the backup")

// A Place is where a repository lies. Names are paths with slashes. All
// methods are safe for concurrent use.
type Place interface {
	// Put writes a file of parts that follow each other, whole or not at all; it
	// is durable when Put returns, and the parts are the caller's again.
	Put(ctx context.Context, name string, parts ...[]byte) error

	// Open opens a file, or returns ErrNoFile.
	Open(ctx context.Context, name string) (File, error)

	// List goes through the files whose names begin with a folder's name, in
	// no order.
	List(ctx context.Context, folder string) iter.Seq2[Stat, error]

	// Delete removes a file; that there is none is no error.
	Delete(ctx context.Context, name string) error

	// String gives the place as people name it.
	String() string
}

// A File is an open file. ReadAt is safe for concurrent use.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// A Stat tells of one file.
type Stat struct {
	Name     string
	Size     int64
	Modified time.Time
}

// readAll reads a file of at most so many octets.
func readAll(ctx context.Context, p Place, name string, most int64) ([]byte, error) {
	f, err := p.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > most {
		return nil, damagedf("%s has %d octets", name, f.Size())
	}
	b := make([]byte, f.Size())
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return b, nil
}
