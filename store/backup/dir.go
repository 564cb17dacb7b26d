package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A dir is a repository in a directory. A file is written under another name,
// synced, given its own, and its directory is synced.
type dir struct {
	root string

	mu   sync.Mutex // guards made
	made map[string]bool
}

// unfinished ends the names of files that are being written.
const unfinished = ".part"

// Dir gives the Place in a directory, which is made when something is put.
func Dir(path string) (Place, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return &dir{root: root, made: make(map[string]bool)}, nil
}

func (d *dir) String() string { return d.root }

func (d *dir) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// Put implements Place.
func (d *dir) Put(ctx context.Context, name string, parts ...[]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := d.path(name)
	if err := d.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = writeEvenly(f, parts); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+unfinished, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+unfinished))
	}
	return syncDir(filepath.Dir(path))
}

// evenly is how many octets go to the disk at once.
const evenly = 1 << 20

// writeEvenly writes parts one after the other, and has each piece on its way to
// the disk before the next but one is written. Else all of a pack would go there
// at its sync, and everybody else's sync would wait behind it.
func writeEvenly(f *os.File, parts [][]byte) error {
	var before, begun, at int64 // of the piece before the last, of the last, and its end
	for _, part := range parts {
		for piece := range slices.Chunk(part, evenly) {
			if _, err := f.Write(piece); err != nil {
				return err
			}
			at += int64(len(piece))
			if at-begun < evenly {
				continue
			}
			// What it cannot do on this file system the sync does.
			const start = unix.SYNC_FILE_RANGE_WRITE
			if begun > before {
				_ = unix.SyncFileRange(int(f.Fd()), before, begun-before, unix.SYNC_FILE_RANGE_WAIT_BEFORE|start|unix.SYNC_FILE_RANGE_WAIT_AFTER)
			}
			_ = unix.SyncFileRange(int(f.Fd()), begun, at-begun, start)
			before, begun = begun, at
		}
	}
	return nil
}

// makeDir makes a directory and those above it, durably.
func (d *dir) makeDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.makeDirLocked(path)
}

func (d *dir) makeDirLocked(path string) error {
	if d.made[path] {
		return nil
	}
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		if err := d.makeDirLocked(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err == nil {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	d.made[path] = true
	return nil
}

// syncDir makes the names in a directory durable. Some network file systems
// cannot sync directories; they do not need it.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// Open implements Place.
func (d *dir) Open(ctx context.Context, name string) (File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNoFile)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = damagedf("%s is not a file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &dirFile{f, info.Size()}, nil
}

type dirFile struct {
	*os.File
	size int64
}

func (f *dirFile) Size() int64 { return f.size }

// List implements Place.
func (d *dir) List(ctx context.Context, folder string) iter.Seq2[Stat, error] {
	return func(yield func(Stat, error) bool) {
		stop := errors.New("stop")
		err := filepath.WalkDir(d.path(folder), func(path string, e fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || e.IsDir() || strings.HasSuffix(path, unfinished) {
				return err
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			name, err := filepath.Rel(d.root, path)
			if err != nil {
				return err
			}
			if !yield(Stat{filepath.ToSlash(name), info.Size(), info.ModTime()}, nil) {
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(Stat{}, err)
		}
	}
}

// Delete implements Place.
func (d *dir) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
