package fsblob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"

	"waxwing/mail"
	"waxwing/store/blob"
)

// A file is one open blob.
type file struct {
	file *os.File
	size mail.ByteCount
	sum  blob.Sum
	hash hash.Hash // of what Read has given; nil before the first
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key blob.Key) (blob.Blob, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s of %s: %w", key.Sum, key.Owner, blob.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open blob: %w", err), f.Close())
	}
	return &file{file: f, size: mail.ByteCount(fi.Size()), sum: key.Sum}, nil
}

func (f *file) Size() mail.ByteCount { return f.size }

func (f *file) Close() error { return f.file.Close() }

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

// Read checks the sum at the end.
func (f *file) Read(p []byte) (int, error) {
	if f.hash == nil {
		f.hash = sha256.New()
	}
	n, err := f.file.Read(p)
	f.hash.Write(p[:n])
	if err == io.EOF && blob.Sum(f.hash.Sum(nil)) != f.sum {
		err = fmt.Errorf("blob %s: %w", f.sum, blob.ErrCorrupt)
	}
	return n, err
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, owner mail.AccountID) iter.Seq2[blob.Stat, error] {
	return func(yield func(blob.Stat, error) bool) {
		if err := s.list(ctx, owner, yield); err != nil {
			yield(blob.Stat{}, fmt.Errorf("list blobs: %w", err))
		}
	}
}

// list gives nil also when yield wants no more.
func (s *Store) list(ctx context.Context, owner mail.AccountID, yield func(blob.Stat, error) bool) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	dir, err := os.Open(s.ownerDir(owner))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := s.ready(ctx); err != nil {
				return err
			}
			sum, err := blob.ParseSum(e.Name())
			if err != nil {
				continue // not ours
			}
			fi, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			stat := blob.Stat{
				Key:      blob.Key{Owner: owner, Sum: sum},
				Size:     mail.ByteCount(fi.Size()),
				Modified: fi.ModTime(),
			}
			if !yield(stat, nil) {
				return nil
			}
		}
	}
}
