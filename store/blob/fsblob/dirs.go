package fsblob

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
)

// durableDirs makes directories, and remembers which of them are known to
// survive a crash, so that they need no second sync.
type durableDirs struct {
	fs    FS
	mu    sync.Mutex // guards known
	known map[string]struct{}
}

// maxKnown bounds the memory of directories; beyond it all are forgotten,
// which costs a few syncs.
const maxKnown = 50_000

// make makes dir and those above it, durably.
func (d *durableDirs) make(dir string) error {
	d.mu.Lock()
	_, ok := d.known[dir]
	d.mu.Unlock()
	if ok {
		return nil
	}
	parent := filepath.Dir(dir)
	switch err := d.fs.Mkdir(dir); {
	case errors.Is(err, fs.ErrNotExist) && parent != dir:
		if err := d.make(parent); err != nil {
			return err
		}
		if err := d.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case errors.Is(err, fs.ErrExist):
		if fi, err := d.fs.Stat(dir); err != nil {
			return err
		} else if !fi.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("not a directory")}
		}
	case err != nil:
		return err
	}
	// Also when it was there: who made it may not have synced it yet.
	if err := syncDir(d.fs, parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxKnown {
		d.known = make(map[string]struct{})
	}
	d.known[dir] = struct{}{}
	return nil
}
