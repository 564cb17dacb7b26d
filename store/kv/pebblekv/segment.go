package pebblekv

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// maxOpen is how many segments are kept open to be read.
const maxOpen = 256

// segments is the table of the files of the log.
type segments struct {
	fs  vfs.FS
	dir string

	mu   sync.RWMutex // guards what follows
	of   map[uint32]*segment
	open int // files that are open, about
}

// A segment is one file of the log.
type segment struct {
	number uint32

	mu   sync.RWMutex // held while the file is read; guards file
	file vfs.File     // nil while it is not open

	// What follows is guarded by the table's mutex.
	active bool   // it is written to
	end    uint32 // where its records end, as far as known
	live   uint32 // octets of values that are still referred to, at most
	bad    bool   // it cannot be read in whole, so it stays
}

// segmentName gives the name of a segment's file.
func segmentName(number uint32) string { return fmt.Sprintf("%08d.log", number) }

// segmentNumber reads it.
func segmentNumber(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0
}

func (ss *segments) path(number uint32) string {
	return ss.fs.PathJoin(ss.dir, segmentName(number))
}

// add enters a segment.
func (ss *segments) add(s *segment) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.of == nil {
		ss.of = make(map[uint32]*segment)
	}
	ss.of[s.number] = s
	if s.file != nil {
		ss.open++
	}
}

func (ss *segments) get(number uint32) *segment {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	return ss.of[number]
}

// numbers gives all, in order.
func (ss *segments) numbers() []uint32 {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	all := make([]uint32, 0, len(ss.of))
	for n := range ss.of {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// readAt fills b with what lies at p.
func (ss *segments) readAt(b []byte, p place) error {
	s := ss.get(p.segment())
	if s == nil {
		return fmt.Errorf("%s is not there", segmentName(p.segment()))
	}
	s.mu.RLock()
	if s.file == nil {
		s.mu.RUnlock()
		if err := ss.reopen(s); err != nil {
			return err
		}
		s.mu.RLock()
	}
	defer s.mu.RUnlock()
	if s.file == nil {
		return errors.New("too many segments are being read")
	}
	n, err := s.file.ReadAt(b, int64(p.offset()))
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// reopen opens the file of s, and closes others if there are many.
func (ss *segments) reopen(s *segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return nil
	}
	f, err := ss.fs.Open(ss.path(s.number))
	if err != nil {
		return err
	}
	s.file = f
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.open++
	for _, other := range ss.of { // in no order, which is good enough
		if ss.open <= maxOpen {
			break
		}
		if other == s || other.active || !other.mu.TryLock() {
			continue
		}
		if other.file != nil {
			other.file.Close()
			other.file = nil
			ss.open--
		}
		other.mu.Unlock()
	}
	return nil
}

// seal notes that a segment will not be written to any more, and gives back
// the room on the disk behind its end.
func (ss *segments) seal(s *segment, end, values uint32) {
	if fd := s.file.Fd(); fd != vfs.InvalidFd {
		_ = unix.Ftruncate(int(fd), int64(end)) // else it stays a little larger
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.active, s.end, s.live = false, end, values
}

// count gives how many segments there are.
func (ss *segments) count() int {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	return len(ss.of)
}

// settled gives the segments that are neither written to nor needed by a start
// that reads the log from a place on.
func (ss *segments) settled(from place) []uint32 {
	all := ss.numbers()
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	return slices.DeleteFunc(all, func(n uint32) bool {
		return n >= from.segment() || ss.of[n] == nil || ss.of[n].active || ss.of[n].bad
	})
}

// setLive notes how many octets are live at most.
func (ss *segments) setLive(number, live uint32) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.of[number]; s != nil {
		s.live = min(s.live, live)
	}
}

// setBad notes that a segment is damaged.
func (ss *segments) setBad(number uint32) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.of[number]; s != nil {
		s.bad = true
	}
}

// worthCollecting tells whether less than half of a segment is live, for what
// a segment can hold.
func (ss *segments) worthCollecting(number uint32, size int64) bool {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	s := ss.of[number]
	return s != nil && int64(s.live) < size/2
}

// endOf gives where the records of a segment end.
func (ss *segments) endOf(number uint32) uint32 {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	if s := ss.of[number]; s != nil {
		return s.end
	}
	return 0
}

// setEnd notes where the records of a segment end.
func (ss *segments) setEnd(p place) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.of[p.segment()]
	s.end, s.live = p.offset(), min(s.live, p.offset())
}

// remove deletes a segment that nothing refers to.
func (ss *segments) remove(number uint32) error {
	ss.mu.Lock()
	s := ss.of[number]
	delete(ss.of, number)
	ss.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.file.Close()
		s.file = nil
		ss.mu.Lock()
		ss.open--
		ss.mu.Unlock()
	}
	return ss.fs.Remove(ss.path(number))
}

// close closes all files.
func (ss *segments) close() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	var err error
	for _, s := range ss.of {
		s.mu.Lock()
		if s.file != nil {
			err = errors.Join(err, s.file.Close())
			s.file = nil
		}
		s.mu.Unlock()
	}
	ss.of = nil
	return err
}
