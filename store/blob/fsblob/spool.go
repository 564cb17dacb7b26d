package fsblob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"syscall"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
)

// spoolBuffer gathers small writes.
const spoolBuffer = 64 << 10

// A spool is a file without an owner.
type spool struct {
	store *Store
	file  File
	buf   []byte // what has been written but is not in the file
	inFile,
	size int64
	hash     hash.Hash
	sum      blob.Sum
	finished bool
	synced   bool
	closed   bool
	err      error // the first failure; all later calls give it
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context) (blob.Spool, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	f, err := s.temporary("s")
	if err != nil {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	return &spool{store: s, file: f, hash: sha256.New(), buf: make([]byte, 0, spoolBuffer)}, nil
}

func (sp *spool) Write(p []byte) (int, error) {
	switch {
	case sp.err != nil:
		return 0, sp.err
	case sp.finished || sp.closed:
		return 0, errors.New("spool has been finished")
	case int64(len(p)) > int64(sp.store.max)-sp.size:
		sp.err = blob.ErrTooLarge
		return 0, sp.err
	}
	sp.hash.Write(p)
	sp.size += int64(len(p))
	if len(sp.buf)+len(p) <= cap(sp.buf) {
		sp.buf = append(sp.buf, p...)
		return len(p), nil
	}
	if err := sp.flush(); err != nil {
		return 0, err
	}
	if len(p) < cap(sp.buf)/2 {
		sp.buf = append(sp.buf, p...)
		return len(p), nil
	}
	return sp.write(p)
}

func (sp *spool) flush() error {
	_, err := sp.write(sp.buf)
	sp.buf = sp.buf[:0]
	return err
}

func (sp *spool) write(p []byte) (int, error) {
	if err := sp.store.room(); err != nil {
		sp.err = fmt.Errorf("write spool: %w", err)
		return 0, sp.err
	}
	n, err := sp.file.Write(p)
	sp.inFile += int64(n)
	if err != nil {
		sp.err = fmt.Errorf("write spool: %w", err)
	}
	return n, sp.err
}

func (sp *spool) ReadAt(p []byte, off int64) (int, error) {
	if off >= sp.inFile {
		rest := off - sp.inFile
		if rest >= int64(len(sp.buf)) {
			return 0, io.EOF
		}
		n := copy(p, sp.buf[rest:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	head := p[:min(int64(len(p)), sp.inFile-off)]
	n, err := sp.file.ReadAt(head, off)
	if n < len(head) || len(head) == len(p) {
		return n, err
	}
	m := copy(p[n:], sp.buf)
	if n+m < len(p) {
		return n + m, io.EOF
	}
	return n + m, nil
}

func (sp *spool) Sum() (blob.Sum, mail.ByteCount, error) {
	if sp.err != nil {
		return blob.Sum{}, 0, sp.err
	}
	if !sp.finished {
		if err := sp.flush(); err != nil {
			return blob.Sum{}, 0, err
		}
		sp.buf = nil
		sp.hash.Sum(sp.sum[:0])
		sp.finished = true
	}
	return sp.sum, mail.ByteCount(sp.size), nil
}

func (sp *spool) Keep(ctx context.Context, owner mail.AccountID) (blob.Key, error) {
	if err := sp.store.ready(ctx); err != nil {
		return blob.Key{}, err
	}
	switch {
	case sp.err != nil:
		return blob.Key{}, sp.err
	case !sp.finished || sp.closed:
		return blob.Key{}, errors.New("keep needs a finished spool")
	}
	if !sp.synced {
		if err := sp.file.Sync(); err != nil {
			// What a failed sync has lost, a second one does not tell.
			sp.err = fmt.Errorf("sync spool: %w", err)
			return blob.Key{}, sp.err
		}
		sp.synced = true
	}
	key := blob.Key{Owner: owner, Sum: sp.sum}
	dir := sp.store.ownerDir(owner)
	if err := sp.store.dirs.make(dir); err != nil {
		return blob.Key{}, fmt.Errorf("keep blob: %w", err)
	}
	if err := sp.store.place(sp.file.Name(), sp.size, key); err != nil {
		return blob.Key{}, fmt.Errorf("keep blob: %w", err)
	}
	if err := syncDir(sp.store.fs, dir); err != nil {
		return blob.Key{}, fmt.Errorf("keep blob: %w", err)
	}
	return key, nil
}

// place gives the synced file src the name of key, or makes sure that the file
// which has it is as good.
func (s *Store) place(src string, size int64, key blob.Key) error {
	dst := s.path(key)
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	if there, err := s.touchPacked(key); there || err != nil {
		return err
	}
	err := s.fs.Link(src, dst)
	if errors.Is(err, fs.ErrExist) {
		good, err := s.sound(s.openFile(key))
		if err != nil {
			return err
		}
		if good {
			return s.fs.Touch(dst, time.Now()) // so that no sweep takes it
		}
		return s.copy(src, dst, size)
	}
	if errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		return s.copy(src, dst, size) // too many links, or a file system without
	}
	return err
}

// copy puts a synced copy of src in the place of dst.
func (s *Store) copy(src, dst string, size int64) error {
	in, err := s.fs.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.temporary("c")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(in, 0, size))
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = s.fs.Rename(out.Name(), dst)
	}
	if err != nil {
		return errors.Join(err, s.fs.Remove(out.Name()))
	}
	return nil
}

func (sp *spool) Close() error {
	if sp.closed {
		return nil
	}
	sp.closed = true
	err := sp.file.Close()
	if e := sp.store.fs.Remove(sp.file.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}
