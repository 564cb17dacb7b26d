package pebblekv

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the store in dir, which it makes if there is none. It recovers
// from a crash by itself. The caller closes the store.
func Open(dir string, o Options) (*Store, error) {
	o.setDefaults()
	s, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o Options) (_ *Store, err error) {
	if err := makeDirs(o.FS, dir); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("in use, perhaps by another process: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	version, err := readFormat(o.FS, dir)
	if err != nil {
		return nil, err
	}
	switch version {
	case 1:
		if err := carryOver(dir, o); err != nil {
			return nil, fmt.Errorf("carry over from layout 1: %w", err)
		}
	case 2:
		if err := dropLayout1(dir, o.FS); err != nil {
			return nil, err
		}
	}
	s := &Store{dir: dir, o: o, lock: lock}
	s.space = space{fs: o.FS, dir: dir, min: o.MinFree}
	if err := s.openParts(version != 0); err != nil {
		return nil, err
	}
	if version == 0 {
		if err := writeFormat(o.FS, dir); err != nil {
			return nil, errors.Join(err, s.closeParts())
		}
	}
	return s, nil
}

// Folders of the store.
const (
	keysDir = "keys" // Pebble's
	logDir  = "log"
)

// openParts opens the log and Pebble, and brings them together. If they should
// exist, a lost folder does not become a new store.
func (s *Store) openParts(exist bool) (err error) {
	fs := s.o.FS
	logs := fs.PathJoin(s.dir, logDir)
	if _, err := fs.Stat(logs); exist && err != nil {
		return fmt.Errorf("the log does not exist: %w", err)
	}
	if err := makeDirs(fs, logs); err != nil {
		return err
	}
	s.log = &bodyLog{
		segments: segments{fs: fs, dir: logs},
		rooms:    rooms{fs: fs, dir: logs, size: s.o.SegmentSize, step: min(roomStep, s.o.SegmentSize), failed: s.fail},
		failed:   s.fail,
	}
	s.log.init()
	s.keeper = newKeeper(s)
	s.log.told = s.keeper.told
	if s.log.packer, err = newPacker(); err != nil {
		return err
	}
	po := s.o.pebbleOptions(syncedFS{FS: fs, before: s.syncLog}, s.keeper)
	po.ErrorIfNotExists = exist
	if s.db, err = pebble.Open(fs.PathJoin(s.dir, keysDir), po); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.db.Close(), s.log.segments.close())
		}
	}()
	began := time.Now()
	from, err := s.position()
	if err != nil {
		return err
	}
	end, n, err := s.replayLog(from)
	if err != nil {
		return err
	}
	s.o.Log.Debug("log read", "records", n, "from", from, "to", end, "took", time.Since(began))
	s.log.start(end)
	s.keeper.start(from, end) // which may write at once
	return nil
}

// replayBatch is how many octets of keys are given to Pebble at once.
const replayBatch = 1 << 20

// replayLog brings into Pebble what is in the log from a place on.
func (s *Store) replayLog(from place) (end place, records int, err error) {
	b := s.db.NewBatch()
	defer func() { b.Close() }()
	end, err = s.log.recover(from, func(batch []byte) error {
		var one pebble.Batch
		if err := one.SetRepr(batch); err != nil {
			return err
		}
		records++
		if err := b.Apply(&one, nil); err != nil {
			return err
		}
		if b.Len() < replayBatch {
			return nil
		}
		err := s.db.Apply(b, pebble.NoSync)
		b.Close()
		b = s.db.NewBatch()
		return err
	})
	if err != nil || b.Empty() {
		return end, records, err
	}
	return end, records, s.db.Apply(b, pebble.NoSync)
}

// Close implements kv.Store. It also waits until all commits are durable.
func (s *Store) Close() error {
	if err := s.gate.Close(); err != nil {
		return err
	}
	err := s.closeParts()
	s.watchers.Close()
	return errors.Join(err, s.lock.Close())
}

// closeParts leaves Pebble with all that is in the log, as far as it can, so
// that the next start has nothing to read.
func (s *Store) closeParts() error {
	s.views.close()
	s.keeper.stop()
	err := s.log.stop()
	if s.failed.Load() == nil {
		err = errors.Join(err, s.keeper.flushLast())
	}
	err = errors.Join(err, s.db.Close(), s.log.segments.close())
	s.log.packer.close()
	return err
}

// syncLog returns when all that Pebble may have seen is durable in the log.
// Pebble tries again at once what has failed, so that takes its time.
func (s *Store) syncLog() error {
	err := s.log.sync()
	if f := s.failed.Load(); f != nil {
		err = f.err
	}
	if err != nil {
		select {
		case <-s.keeper.ending:
		case <-time.After(time.Second):
		}
	}
	return err
}

// A syncedFS is Pebble's file system. Tables become durable only after the
// log of what they hold: else they could refer to what a crash takes back.
type syncedFS struct {
	vfs.FS
	before func() error
}

func (fs syncedFS) Unwrap() vfs.FS { return fs.FS }

func (fs syncedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !isTable(name) {
		return f, err
	}
	return syncedFile{File: f, before: fs.before}, nil
}

func isTable(name string) bool {
	return len(name) > 4 && name[len(name)-4:] == ".sst"
}

type syncedFile struct {
	vfs.File
	before func() error
}

func (f syncedFile) Sync() error {
	if err := f.before(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f syncedFile) SyncData() error {
	if err := f.before(); err != nil {
		return err
	}
	return f.File.SyncData()
}
