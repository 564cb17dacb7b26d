package fsblob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"waxwing/store/blob"
)

// A plain file holds a body and nothing that tells whether it is still the one
// that was written. So before any part of it is given out all of it is read and
// its sum compared; that this was so is remembered for a while, since mail
// programs fetch large messages in parts. (What is packed has checksums for each
// frame.)

const (
	// provenFor is how long a body counts as good. What was read a moment ago
	// comes from the system's memory anyway.
	provenFor = time.Hour
	// provenMost bounds the memory for them: some hundred octets each, twice.
	provenMost = 8192
)

// proofs remembers which files have been found good.
type proofs struct {
	mu  sync.Mutex // guards what follows
	now map[blob.Key]proof
	old map[blob.Key]proof // what now was before it was full
}

// A proof says that a file was good.
type proof struct {
	file fileMark
	at   time.Time
}

// A fileMark tells a file from another that has got its name.
type fileMark struct {
	size     int64
	modified time.Time
}

func markOf(fi fs.FileInfo) fileMark { return fileMark{fi.Size(), fi.ModTime()} }

func (p *proofs) has(key blob.Key, file fileMark, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.now[key]
	if !ok {
		found, ok = p.old[key]
	}
	return ok && found.file == file && now.Sub(found.at) < provenFor
}

func (p *proofs) add(key blob.Key, file fileMark, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.now) >= provenMost {
		p.old, p.now = p.now, nil
	}
	if p.now == nil {
		p.now = make(map[blob.Key]proof)
	}
	p.now[key] = proof{file, now}
}

// prove returns blob.ErrCorrupt if a plain file does not hold the body that its
// name says.
func (s *Store) prove(f File, key blob.Key, file fileMark) error {
	if s.proofs.has(key, file, time.Now()) {
		return nil
	}
	sum := sha256.New()
	body := io.NewSectionReader(f, 0, file.size)
	if _, err := io.CopyBuffer(onlyWriter{sum}, onlyReader{body}, make([]byte, 128<<10)); err != nil {
		return err
	}
	if blob.Sum(sum.Sum(nil)) != key.Sum {
		return fmt.Errorf("%s: %w: it holds another body", f.Name(), blob.ErrCorrupt)
	}
	s.proofs.add(key, file, time.Now())
	return nil
}

// onlyReader hides what else a reader can do from io.Copy.
type onlyReader struct{ io.Reader }

// sound closes a blob and tells whether all of it is as it should be. It takes
// what opening it has given.
func (s *Store) sound(f *file, err error) (bool, error) {
	if err == nil {
		_, err = io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{f}, make([]byte, 128<<10)) // which ends with the sum
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, blob.ErrCorrupt) || errors.Is(err, syscall.EIO) { // of the disk
		return false, nil
	}
	return err == nil, err
}
