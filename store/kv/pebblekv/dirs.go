package pebblekv

import (
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDirs makes dir and those above it that are missing, and makes them
// durable: Pebble syncs only what is below.
func makeDirs(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDirs(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return err
	}
	return d.Close()
}

// What FORMAT says. Layout 1 had everything in Pebble, in the folder "pebble".
const (
	layout  = "waxwing pebblekv 2\n"
	layout1 = "waxwing pebblekv 1\n"
)

// readFormat gives the layout of the store in dir: 0 if there is none. It
// fails if it is one that we do not know.
func readFormat(fs vfs.FS, dir string) (int, error) {
	path := fs.PathJoin(dir, "FORMAT")
	if _, err := fs.Stat(path); err != nil {
		return 0, nil
	}
	f, err := fs.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	got, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return 0, err
	}
	switch string(got) {
	case layout:
		return 2, nil
	case layout1:
		return 1, nil
	}
	return 0, fmt.Errorf("the store has the layout %q; this program knows %q",
		strings.TrimSpace(string(got)), strings.TrimSpace(layout))
}

// writeFormat marks dir as a store that is complete.
func writeFormat(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, "FORMAT")
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(layout)); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}
