package fsblob

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// An FS is the file system that a store lies on. Its errors are those of
// package os.
type FS interface {
	Open(name string) (File, error)   // for reading
	Create(name string) (File, error) // which must not exist, for reading and writing
	OpenDir(name string) (Dir, error)
	Mkdir(name string) error
	Link(oldname, newname string) error
	Rename(oldname, newname string) error
	Remove(name string) error
	Stat(name string) (fs.FileInfo, error)
	Touch(name string, modified time.Time) error

	// Lock makes a file and keeps other processes from doing the same until
	// it is closed.
	Lock(name string) (io.Closer, error)

	// Free tells how many octets can be written where dir lies.
	Free(dir string) (int64, error)
}

// A File is an open file.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Sync() error
}

// A Dir is an open directory. Sync makes the names in it durable.
type Dir interface {
	ReadDir(n int) ([]fs.DirEntry, error)
	Sync() error
	io.Closer
}

// osFS is the operating system's.
type osFS struct{}

func (osFS) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) OpenDir(name string) (Dir, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Mkdir(name string) error               { return os.Mkdir(name, 0o700) }
func (osFS) Link(oldname, newname string) error    { return os.Link(oldname, newname) }
func (osFS) Rename(oldname, newname string) error  { return os.Rename(oldname, newname) }
func (osFS) Remove(name string) error              { return os.Remove(name) }
func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }
func (osFS) Touch(name string, t time.Time) error  { return os.Chtimes(name, t, t) }

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (osFS) Free(dir string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// temporary makes a file in the spool that nobody else has.
func (s *Store) temporary(kind string) (File, error) {
	return s.fs.Create(filepath.Join(s.spoolDir(), kind+rand.Text()))
}

// syncDir makes the names in a directory durable.
func syncDir(fsys FS, dir string) error {
	f, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// names lists a small directory.
func (s *Store) names(dir string) ([]string, error) {
	f, err := s.fs.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, errors.Join(err, f.Close())
}

// maxNote bounds the small files of the store's own.
const maxNote = 4096

// readNote reads one of them.
func (s *Store) readNote(name string) (string, error) {
	f, err := s.fs.Open(filepath.Join(s.dir, name))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxNote))
	return string(text), errors.Join(err, f.Close())
}

// writeNote writes one, durably.
func (s *Store) writeNote(name, text string) error {
	path := filepath.Join(s.dir, name)
	if err := s.fs.Remove(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(s.fs, s.dir)
}

// room says why no more octets may be written: the disk is nearly full, and
// what is left is for those who make room.
func (s *Store) room() error {
	if s.minFree <= 0 {
		return nil
	}
	if free, err := s.fs.Free(s.dir); err == nil && free < s.minFree {
		return fmt.Errorf("disk is nearly full (%d octets left): %w", free, syscall.ENOSPC)
	}
	return nil
}
