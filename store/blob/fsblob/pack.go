package fsblob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/packed"
)

const (
	// packAge is how old a file is before it is packed. Many are read once and
	// gone by then.
	packAge = 6 * time.Hour
	// packEvery is how often Run looks for such files.
	packEvery = time.Hour
	// packRest is how many times as long as a file has taken nothing is done
	// after it: packing is to be noticed by nobody.
	packRest = 4
)

// Run packs from time to time what has become old enough, until ctx ends. log
// is told what could not be packed.
func (s *Store) Run(ctx context.Context, log func(what string, err error)) error {
	tick := time.NewTicker(packEvery)
	defer tick.Stop()
	for {
		if err := s.Pack(ctx, time.Now().Add(-packAge), packRest, log); err != nil && ctx.Err() == nil {
			log("old bodies not packed", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Pack looks at the files that were last kept before a time, and that no Pack
// has looked at before, and packs those that get smaller by it. After each it
// rests that many times as long as it has worked. What is damaged stays as it
// is and is told to log.
func (s *Store) Pack(ctx context.Context, before time.Time, rest int, log func(what string, err error)) error {
	from, err := s.packedUpTo()
	if err != nil {
		return err
	}
	owners, err := s.owners()
	if err != nil {
		return err
	}
	for _, owner := range owners {
		for stat, err := range s.List(ctx, owner) {
			if err != nil {
				return err
			}
			if stat.Copy != "" || stat.Modified.Before(from) || !stat.Modified.Before(before) {
				continue
			}
			began := time.Now()
			if err := s.pack(ctx, stat.Key); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				log("body not packed", err)
				if errors.Is(err, syscall.ENOSPC) {
					return err
				}
			}
			if err := pause(ctx, time.Duration(rest)*time.Since(began)); err != nil {
				return err
			}
		}
	}
	return s.writeNote("PACKED", strconv.FormatInt(before.Unix(), 10)+"\n")
}

// owners gives those who have a directory.
func (s *Store) owners() ([]mail.AccountID, error) {
	var all []mail.AccountID
	shelves, err := s.names(s.dir)
	if err != nil {
		return nil, err
	}
	for _, shelf := range shelves {
		if n, err := strconv.ParseUint(shelf, 16, 8); err != nil || shelf != fmt.Sprintf("%02x", n) {
			continue // not ours
		}
		names, err := s.names(filepath.Join(s.dir, shelf))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if owner, err := mail.ParseAccountID(name); err == nil {
				all = append(all, owner)
			}
		}
	}
	return all, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// packedUpTo reads PACKED.
func (s *Store) packedUpTo() (time.Time, error) {
	text, err := s.readNote("PACKED")
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return time.Time{}, nil // all of it is looked at again
	}
	return time.Unix(n, 0), nil
}

// pack packs one blob, if it is worth it.
func (s *Store) pack(ctx context.Context, key blob.Key) error {
	src, err := s.fs.Open(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil || !alone(fi) {
		return err
	}
	out, err := s.temporary("z")
	if err != nil {
		return err
	}
	defer s.fs.Remove(out.Name()) // once it has its name there is nothing to remove
	worth, err := s.packInto(ctx, out, src, key)
	if err == nil && worth {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil || !worth {
		return err
	}
	return s.replace(out.Name(), fi, key)
}

// alone tells whether a file has one name. One that has several would take
// more when each is packed by itself.
func alone(fi fs.FileInfo) bool {
	stat, ok := fi.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 1
}

// packInto packs src, and tells whether a tenth is saved by it.
func (s *Store) packInto(ctx context.Context, out, src File, key blob.Key) (worth bool, err error) {
	head := make([]byte, packed.FrameSize)
	n, err := src.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	if !s.codec.Pays(head[:n]) {
		return false, nil
	}
	w := packed.NewWriter(s.codec, out, true)
	sum := sha256.New()
	if _, err := io.CopyBuffer(onlyWriter{io.MultiWriter(w, sum)}, &until{ctx, io.NewSectionReader(src, 0, math.MaxInt64)}, head); err != nil {
		return false, err
	}
	if blob.Sum(sum.Sum(nil)) != key.Sum {
		return false, fmt.Errorf("%s: %w: it holds another body", src.Name(), blob.ErrCorrupt)
	}
	stored, err := w.Finish()
	return stored <= int64(w.Size())*9/10, err
}

// onlyWriter hides what else a writer can do from io.Copy.
type onlyWriter struct{ io.Writer }

// until ends with its context.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// replace gives the packed, synced file its name and removes the other, unless
// that has been kept again or deleted meanwhile. The time when the blob was
// last kept stays.
func (s *Store) replace(name string, was fs.FileInfo, key blob.Key) error {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	path := s.path(key)
	fi, err := s.fs.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !os.SameFile(fi, was) || !fi.ModTime().Equal(was.ModTime()) {
		return err
	}
	if err := s.fs.Touch(name, was.ModTime()); err != nil {
		return err
	}
	if err := s.fs.Rename(name, path+packedSuffix); err != nil {
		return err
	}
	if err := syncDir(s.fs, filepath.Dir(path)); err != nil {
		return err
	}
	return s.fs.Remove(path)
}

// touchPacked notes that a blob is kept again if it is there packed. One that
// is damaged is removed. The stripe is held.
func (s *Store) touchPacked(key blob.Key) (there bool, err error) {
	path := s.path(key) + packedSuffix
	there, err = s.sound(s.openPacked(key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case there:
		return true, s.fs.Touch(path, time.Now())
	}
	return false, s.fs.Remove(path)
}
