package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Checkpoint implements kv.Store. The copy is a store of its own for Open.
// Most of its files are hard links, if dir is on the same file system.
func (s *Store) Checkpoint(ctx context.Context, dir string) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	fs := s.o.FS
	if _, err := fs.Stat(dir); err == nil {
		return fmt.Errorf("checkpoint: %s exists", dir)
	}
	// Unless it gets its name it is no checkpoint.
	part := dir + ".part"
	err := errors.Join(fs.RemoveAll(part), makeDirs(fs, part))
	if err == nil {
		err = s.copyTo(ctx, part)
	}
	if err == nil {
		err = writeFormat(fs, part)
	}
	if err == nil {
		err = fs.Rename(part, dir)
	}
	if err == nil {
		err = syncDir(fs, fs.PathDir(dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("checkpoint: %w", err), fs.RemoveAll(part))
	}
	return nil
}

// copyTo copies Pebble's tables first, then the log up to its end: what the
// tables lack and what they refer to is in it, as long as no segment goes.
func (s *Store) copyTo(ctx context.Context, dir string) error {
	s.keep.RLock()
	defer s.keep.RUnlock()
	fs := s.o.FS
	if err := s.db.Checkpoint(fs.PathJoin(dir, keysDir)); err != nil {
		return err
	}
	logs := fs.PathJoin(dir, logDir)
	if err := makeDirs(fs, logs); err != nil {
		return err
	}
	// What is in memory until now belongs to the copy too.
	if err := s.log.sync(); err != nil {
		return err
	}
	if f := s.failed.Load(); f != nil {
		return f.err
	}
	end := place(s.log.durable.Load())
	for _, number := range s.log.segments.numbers() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if number > end.segment() {
			break
		}
		from, to := s.log.segments.path(number), fs.PathJoin(logs, segmentName(number))
		var err error
		if number < end.segment() {
			err = vfs.LinkOrCopy(fs, from, to)
		} else {
			err = copyPart(fs, from, to, int64(end.offset()))
		}
		if err != nil {
			return err
		}
	}
	return syncDir(fs, logs)
}

// copyPart copies the first n octets of a file.
func copyPart(fs vfs.FS, from, to string, n int64) error {
	r, err := fs.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.CopyN(w, r, n)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}
