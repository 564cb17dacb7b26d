package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Folders of a store of layout 1, and of what is being made of it.
const (
	pebbleDir  = "pebble"
	carriedDir = "layout2.part"
)

// carryOver brings a store of layout 1 into layout 2, by writing all of it
// again beside what is there. Until FORMAT says so it is still one of layout
// 1, and the next start begins anew.
func carryOver(dir string, o Options) error {
	fs := o.FS
	part := fs.PathJoin(dir, carriedDir)
	if err := errors.Join(fs.RemoveAll(part), makeDirs(fs, part)); err != nil {
		return err
	}
	o.Log.Info("store is being carried over to a newer layout")
	old, err := pebble.Open(fs.PathJoin(dir, pebbleDir), &pebble.Options{
		FS: fs, ErrorIfNotExists: true, FormatMajorVersion: formatVersion,
		Logger: &logger{log: o.Log, fatal: o.Fatal},
	})
	if err != nil {
		return err
	}
	err = copyLayout1(old, part, o)
	if err = errors.Join(err, old.Close()); err != nil {
		return err
	}
	for _, name := range []string{keysDir, logDir} {
		to := fs.PathJoin(dir, name)
		if err := errors.Join(fs.RemoveAll(to), fs.Rename(fs.PathJoin(part, name), to)); err != nil {
			return err
		}
	}
	if err := syncDir(fs, dir); err != nil {
		return err
	}
	if err := writeFormat(fs, dir); err != nil {
		return err
	}
	return dropLayout1(dir, fs)
}

// dropLayout1 removes what is left of it when all has been carried over.
func dropLayout1(dir string, fs vfs.FS) error {
	for _, name := range []string{carriedDir, pebbleDir} {
		path := fs.PathJoin(dir, name)
		if _, err := fs.Stat(path); err != nil {
			continue
		}
		if err := errors.Join(fs.RemoveAll(path), syncDir(fs, dir)); err != nil {
			return err
		}
	}
	return nil
}

// carryOctets is how much is carried over in one transaction.
const carryOctets = 1 << 20

// copyLayout1 copies all keys into a new store.
func copyLayout1(old *pebble.DB, dir string, o Options) (err error) {
	s := &Store{dir: dir, o: o}
	s.space = space{fs: o.FS, dir: dir, min: o.MinFree}
	if err := s.openParts(false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.closeParts()) }()
	it, err := old.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		if len(it.Key()) < 8 {
			return fmt.Errorf("key %x lies in no partition", it.Key())
		}
		p := partitionOf(it.Key())
		_, err := s.update(context.Background(), p, func(tx *txn) error {
			for n := 0; ok && n < carryOctets && partitionOf(it.Key()) == p; ok = it.Next() {
				value, err := it.ValueAndErr()
				if err != nil {
					return err
				}
				tx.Put(it.Key()[8:], value)
				n += len(it.Key()) + len(value) + 100
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	return s.log.sync()
}
