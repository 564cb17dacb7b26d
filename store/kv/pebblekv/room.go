package pebblekv

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rooms makes the files of the log and room in them ahead of the records, so
// that a commit that has its place in the order also has its place on the
// disk: a disk that is full refuses transactions, it does not break the log.
type rooms struct {
	fs  vfs.FS
	dir string
	// size is that of a segment, step how much room is made at once.
	size, step int64
	failed     func(error) // told when the disk has failed

	mu     sync.Mutex // guards what follows
	change *sync.Cond
	next   place            // where the next record goes
	of     map[uint32]*room // by segment
	wanted bool             // there is less room than there should be
	asked  place            // up to where somebody waits for room, if not 0
	taken  uint32           // the last segment that is written to
	err    error            // why there is no more
	tried  time.Time        // when
	closed bool
	ended  chan struct{}
	blanks blanks
}

// A room is a file that can take records up to its limit.
type room struct {
	segment *segment
	limit   int64
}

// retryRoom is how soon a full disk is asked again.
const retryRoom = time.Second

// start begins behind a segment that must stay as it is.
func (r *rooms) start(last uint32) {
	r.taken = last
	r.change = sync.NewCond(&r.mu)
	r.of = make(map[uint32]*room)
	r.ended = make(chan struct{})
	go r.run()
}

// stop ends the making of room and removes files that were not used.
func (r *rooms) stop(used uint32) error {
	r.mu.Lock()
	r.closed = true
	r.change.Broadcast()
	r.mu.Unlock()
	<-r.ended
	var err error
	for number, room := range r.of {
		if number > used {
			err = errors.Join(err, room.segment.file.Close(), r.fs.Remove(r.fs.PathJoin(r.dir, segmentName(number))))
		}
	}
	return err
}

// need returns when there is room up to end, or says why there is none.
func (r *rooms) need(end place) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.has(end) || r.blanks.busy != 0 && end > r.blanks.busy {
		if r.has(end) {
			r.change.Wait() // not for long
			continue
		}
		if r.closed {
			return errors.New("closing")
		}
		if r.err != nil {
			if time.Since(r.tried) < retryRoom {
				return r.err
			}
			r.err = nil
		}
		r.asked, r.wanted = max(r.asked, end), true
		r.change.Broadcast()
		r.change.Wait()
	}
	r.next, r.asked = end, 0
	if !r.wanted && r.err == nil && (r.short() != nil || r.thin() != 0) {
		r.wanted = true
		r.change.Broadcast()
	}
	return nil
}

// has tells whether there is room up to end.
func (r *rooms) has(end place) bool {
	room := r.of[end.segment()]
	return room != nil && int64(end.offset()) <= room.limit
}

// A piece of room that is to be made.
type piece struct {
	number   uint32
	room     *room // nil for a new segment
	from, to int64
}

// short gives the next piece that there should be, or nil.
func (r *rooms) short() *piece {
	number, offset := r.next.segment(), int64(r.next.offset())
	if number > 0 && r.of[number] != nil {
		if p := r.piece(number, min(r.size, offset+r.step)); p != nil {
			return p
		}
		if offset+r.step > r.size && r.of[number+1] == nil {
			return r.piece(number+1, r.step)
		}
	}
	if r.asked > r.next {
		return r.piece(r.asked.segment(), int64(r.asked.offset()))
	}
	return nil
}

// piece gives what is missing up to offset to in a segment, in whole steps.
func (r *rooms) piece(number uint32, to int64) *piece {
	p := &piece{number: number, room: r.of[number]}
	if p.room == nil && number <= r.taken {
		return nil // it has been written
	}
	if p.room != nil {
		p.from = p.room.limit
	}
	if to <= p.from && p.room != nil {
		return nil
	}
	p.to = (to + r.step - 1) / r.step * r.step
	return p
}

func (r *rooms) run() {
	defer close(r.ended)
	defer r.closeBlank()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		p := r.short()
		if from := r.thin(); p == nil && r.wanted && from != 0 {
			r.blank(from)
			continue
		}
		if p == nil || !r.wanted {
			r.wanted = false
			r.change.Wait()
			continue
		}
		r.mu.Unlock()
		made, err := r.make(p)
		r.mu.Lock()
		if err != nil {
			r.err, r.tried, r.wanted, r.asked = err, time.Now(), false, 0
		} else {
			r.of[p.number] = made
		}
		r.change.Broadcast()
	}
}

// make makes a piece of room, in a new file if there is none.
func (r *rooms) make(p *piece) (_ *room, err error) {
	s := &segment{number: p.number, active: true}
	if p.room != nil {
		s = p.room.segment
	} else {
		name := r.fs.PathJoin(r.dir, segmentName(p.number))
		if s.file, err = r.fs.Create(name, vfs.WriteCategoryUnspecified); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, s.file.Close(), r.fs.Remove(name))
			}
		}()
	}
	err = s.file.Preallocate(p.from, p.to-p.from)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return nil, fmt.Errorf("make room on the disk: %w", err)
	}
	if p.room == nil {
		if err := syncDir(r.fs, r.dir); err != nil {
			return nil, err
		}
	}
	return &room{segment: s, limit: p.to}, nil
}

// take gives the file of a segment that there is room in, to be written.
// Those before it are forgotten.
func (r *rooms) take(number uint32) *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.of {
		if n < number {
			delete(r.of, n)
		}
	}
	r.taken = number
	return r.of[number].segment
}
