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
	"strings"
	"sync/atomic"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/packed"
)

// packedSuffix ends the names of packed files.
const packedSuffix = ".z"

// A file is one open blob.
type file struct {
	store *Store
	key   blob.Key
	file  File
	body  io.ReaderAt // the file, or what is packed in it
	size  mail.ByteCount
	off   int64     // of Read
	hash  hash.Hash // of what Read has given

	plain  bool        // the file is the body
	mark   fileMark    // of a plain one
	proven atomic.Bool // a plain one has been
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key blob.Key) (blob.Blob, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	b, err := s.openFile(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s of %s: %w", key.Sum, key.Owner, blob.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return b, nil
}

// openFile opens the file of a blob, or the packed one.
func (s *Store) openFile(key blob.Key) (*file, error) {
	f, err := s.fs.Open(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return s.openPacked(key)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{store: s, key: key, file: f, body: f, size: mail.ByteCount(fi.Size()), hash: sha256.New(), plain: true, mark: markOf(fi)}, nil
}

func (s *Store) openPacked(key blob.Key) (*file, error) {
	f, err := s.fs.Open(s.path(key) + packedSuffix)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	body, err := packed.Open(s.codec, f, fi.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
	}
	return &file{store: s, key: key, file: f, body: body, size: body.Size(), hash: sha256.New()}, nil
}

func (f *file) Size() mail.ByteCount { return f.size }

func (f *file) Close() error { return f.file.Close() }

// ReadAt gives nothing of a body that is damaged; of a packed one, nothing of
// what is damaged in it.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.Prove(); err != nil {
		return 0, err
	}
	return f.readAt(p, off)
}

// Prove does what blob.Prove says.
func (f *file) Prove() error {
	if !f.plain || f.proven.Load() {
		return nil
	}
	if err := f.store.prove(f.file, f.key, f.mark); err != nil {
		return err
	}
	f.proven.Store(true)
	return nil
}

// readAt names the file when it is damaged.
func (f *file) readAt(p []byte, off int64) (int, error) {
	n, err := f.body.ReadAt(p, off)
	if errors.Is(err, blob.ErrCorrupt) {
		err = fmt.Errorf("%s: %w", f.file.Name(), err)
	}
	return n, err
}

// Read checks the sum at the end.
func (f *file) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.readAt(p, f.off)
	f.off += int64(n)
	f.hash.Write(p[:n])
	if err == io.EOF && n > 0 {
		return n, nil
	}
	if err == io.EOF && blob.Sum(f.hash.Sum(nil)) != f.key.Sum {
		err = fmt.Errorf("%s: %w: it holds another body", f.file.Name(), blob.ErrCorrupt)
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
	dir, err := s.fs.OpenDir(s.ownerDir(owner))
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
			name, isPacked := strings.CutSuffix(e.Name(), packedSuffix)
			sum, err := blob.ParseSum(name)
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
			if isPacked {
				stat.Copy = packedSuffix
			}
			if !yield(stat, nil) {
				return nil
			}
		}
	}
}
