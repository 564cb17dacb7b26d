package pebblekv

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/store/kv"
)

// A bodyLog is the write-ahead log of the store and the place where its larger
// values stay. It is a sequence of segments; all but the newest are never
// changed.
//
// Commits are appended to the group that is open. When the disk is free
// somebody takes the group, writes and syncs it, and tells everybody: a
// goroutine (run), or the one commit that is waited for first (lead).
// What has been appended can be read at once.
type bodyLog struct {
	segments segments
	rooms    rooms
	packer   packer
	fixed    fixedPlaces
	failed   func(error) // told of the first failure
	told     func()      // told after each group
	ended    chan struct{}

	written atomic.Uint64 // place up to which the files can be read
	durable atomic.Uint64 // place up to which all is on the disk
	applied atomic.Uint64 // place below which all is in Pebble too

	mu      sync.Mutex // guards what follows
	more    *sync.Cond // there is something to write, or the end
	room    *sync.Cond // a group has been written
	next    place      // where the next record goes
	open    *group     // being filled
	writing *group     // being written; nil if none is
	closed  bool
	lenient *time.Timer // nil before start; runs out for what nobody waits for
	armed   bool        // it is running
	gather  gathering

	// What follows belongs to whoever has taken the group that is written.
	failure   error // once the disk has failed
	current   *segment
	end       place     // where the last record put ends
	values    uint32    // octets of values in end's segment
	buffer    []byte    // to be written to current
	unapplied []*commit // durable, in the order of the log
}

// A group is the commits that share a sync.
type group struct {
	commits []*commit
	octets  int64
	done    chan struct{} // closed when err is known
	err     error
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Limits of the log in memory.
const (
	maxWaiting  = 64 << 20  // octets in groups that are not written; more wait
	bufferSize  = 1 << 20   // octets that are written at once
	largeValues = 32 << 10  // from here on values are not copied to the buffer
	longBatch   = 16 << 10  // of so many octets a batch is written while Pebble takes it
	keptGroup   = 1024      // commits in a list that is used again
	roomStep    = 8 << 20   // octets for which room on the disk is made at once
	segmentSize = 64 << 20  // of a segment
	replayBound = 256 << 20 // of log that may have to be read at the next start
)

// init comes before everything else.
func (l *bodyLog) init() {
	l.more, l.room = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	l.open = newGroup()
}

// start lets the log take records, in a new segment behind end.
func (l *bodyLog) start(end place) {
	l.end, l.next = end, at(end.segment()+1, segmentHead)
	for _, p := range []*atomic.Uint64{&l.written, &l.durable, &l.applied} {
		p.Store(uint64(end))
	}
	l.ended = make(chan struct{})
	l.lenient = time.AfterFunc(time.Hour, l.runOut)
	l.rooms.start(end.segment())
	go l.run()
}

// errFull is for Update when there is no room on the disk for what it wrote.
func errFull(err error) error {
	return fmt.Errorf("%w: no room for the log: %w", kv.ErrReadOnly, err)
}

// append gives the commit its place in the log and in a group. If it fails
// nothing has happened.
func (l *bodyLog) append(c *commit, length int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.octetsWaiting() > maxWaiting && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		return kv.ErrClosed
	}
	p := l.next
	if int64(p.offset())+length > l.rooms.size && p.offset() > segmentHead {
		p = at(p.segment()+1, segmentHead)
	}
	end := p + place(length)
	if err := l.rooms.need(end); err != nil {
		return errFull(err)
	}
	c.place, c.end, c.group, l.next = p, end, l.open, end
	l.open.commits = append(l.open.commits, c)
	l.open.octets += length
	if len(c.record.head) >= longBatch && l.writing == nil {
		l.more.Signal()
	}
	return nil
}

func (l *bodyLog) octetsWaiting() int64 {
	n := l.open.octets
	if l.writing != nil {
		n += l.writing.octets
	}
	return n
}

// newest gives the group that all appended so far is durable with; nil if it
// is already.
func (l *bodyLog) newest() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open.commits) > 0 {
		return l.open
	}
	return l.writing
}

// sync returns when all that has been appended is durable.
func (l *bodyLog) sync() error {
	g := l.newest()
	if g == nil {
		return nil
	}
	l.lead(g) // who has appended it may be waiting for us
	<-g.done
	return g.err
}

// stop returns when all that was appended is durable, or has failed.
func (l *bodyLog) stop() error {
	l.mu.Lock()
	l.closed = true
	l.lenient.Stop()
	l.more.Signal()
	l.room.Broadcast()
	l.mu.Unlock()
	<-l.ended
	err := l.rooms.stop(l.end.segment()) // which may be writing to it still
	if s := l.current; s != nil && uint64(l.end) == l.durable.Load() {
		l.segments.seal(s, l.end.offset(), l.values)
	}
	return err
}

// run writes one group after the other, until stop.
func (l *bodyLog) run() {
	defer close(l.ended)
	for {
		l.mu.Lock()
		for (len(l.open.commits) == 0 || l.writing != nil) && !(l.closed && l.writing == nil) {
			l.more.Wait()
		}
		if len(l.open.commits) == 0 {
			l.mu.Unlock()
			return
		}
		if pause := l.gather.pause(len(l.open.commits), time.Now()); pause > 0 && !l.closed {
			l.mu.Unlock()
			time.Sleep(pause)
			continue
		}
		g := l.take()
		l.mu.Unlock()
		l.carryOut(g)
	}
}

// lead writes the group that is open if that is g, in place of run, unless
// somebody is writing: who waits alone then waits for nothing but the disk.
//
// Whoever can run runs first. Where the processors have enough to do, a sync
// for each of those who come now would take from them what they wait for; a
// writer alone loses nothing.
func (l *bodyLog) lead(g *group) {
	runtime.Gosched()
	l.mu.Lock()
	if l.open != g || l.writing != nil || l.closed {
		l.mu.Unlock()
		return
	}
	if l.gather.pause(len(g.commits), time.Now()) > 0 {
		l.more.Signal()
		l.mu.Unlock()
		return
	}
	l.take()
	l.mu.Unlock()
	l.carryOut(g)
}

// take begins a new group, and gives the one that is to be written by the
// caller, who is the only one until finish.
func (l *bodyLog) take() *group {
	g := l.open
	l.open, l.writing = newGroup(), g
	return g
}

// leniency is how long a record may lie before it is written though nobody
// waits for it. Who waits writes it himself: to wake run at once for what is
// about to be waited for would cost that one two hand-overs.
const leniency = time.Millisecond

// nudge sees to it that what has been appended is written, even if nobody
// waits for it.
func (l *bodyLog) nudge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open.commits) > 0 && l.writing == nil && !l.armed && !l.closed {
		l.armed = true
		l.lenient.Reset(leniency)
	}
}

func (l *bodyLog) runOut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	if len(l.open.commits) > 0 && l.writing == nil {
		l.more.Signal()
	}
}

// carryOut writes the group and tells everybody, unless the log has failed.
func (l *bodyLog) carryOut(g *group) {
	began := time.Now()
	if l.failure == nil {
		if l.failure = l.write(g); l.failure != nil {
			l.failed(l.failure) // before anybody can find that nothing waits
		}
		l.rooms.wrote(g.octets)
	}
	l.finish(g, l.failure, time.Since(began))
}

// finish tells everybody what has become of the group, and lets the next be
// taken.
func (l *bodyLog) finish(g *group, failure error, took time.Duration) {
	if failure == nil {
		l.arrive(g)
	} else {
		g.err = fmt.Errorf("%w: %w", kv.ErrReadOnly, failure)
		close(g.done)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = nil
	l.gather.note(len(g.commits), took, time.Now())
	l.room.Broadcast()
	if len(l.open.commits) > 0 || l.closed {
		l.more.Signal()
	}
}

// arrive tells everybody that the group is durable.
func (l *bodyLog) arrive(g *group) {
	last := g.commits[len(g.commits)-1].end
	l.mu.Lock()
	l.written.Store(uint64(last)) // from now on nobody reads from records
	l.mu.Unlock()
	l.durable.Store(uint64(last))
	for _, c := range g.commits {
		c.record.release()
		c.record = nil
		c.arrived()
	}
	close(g.done)
	l.noteApplied(g.commits, last)
	l.told()
}

// noteApplied moves the place below which Pebble has everything.
func (l *bodyLog) noteApplied(commits []*commit, end place) {
	l.unapplied = append(l.unapplied, commits...)
	n := 0
	for n < len(l.unapplied) && l.unapplied[n].halves.Load() == 0 {
		l.unapplied[n] = nil
		n++
	}
	l.unapplied = l.unapplied[n:]
	if len(l.unapplied) > 0 {
		end = l.unapplied[0].place
	} else if cap(l.unapplied) > keptGroup {
		l.unapplied = nil
	}
	l.applied.Store(uint64(end))
}

// write makes the group durable.
func (l *bodyLog) write(g *group) error {
	durable := place(l.durable.Load())
	for _, c := range g.commits {
		if l.current == nil || c.place.segment() != l.current.number {
			if err := l.turn(c.place.segment()); err != nil {
				return err
			}
			durable = place(l.durable.Load())
		}
		if err := l.put(c, durable); err != nil {
			return err
		}
	}
	return l.flush(l.end)
}

// put writes a record, at least to the buffer.
func (l *bodyLog) put(c *commit, durable place) error {
	r := c.record
	recordHeader{
		place: c.place, batch: uint32(len(r.head) - recordHead), values: uint32(len(r.values)),
		batchSum: c.sum, durable: durable,
	}.put(r.head)
	l.buffer = append(l.buffer, r.head...)
	l.end, l.values = c.end, l.values+uint32(len(r.values))
	if len(r.values) < largeValues {
		l.buffer = append(l.buffer, r.values...)
	} else {
		if err := l.drain(); err != nil {
			return err
		}
		if _, err := l.current.file.Write(r.values); err != nil {
			return fmt.Errorf("write log: %w", err)
		}
	}
	if len(l.buffer) >= bufferSize {
		return l.drain()
	}
	return nil
}

// drain writes the buffer to the file.
func (l *bodyLog) drain() error {
	if len(l.buffer) == 0 {
		return nil
	}
	_, err := l.current.file.Write(l.buffer)
	l.buffer = l.buffer[:0]
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// flush makes all that has been put durable, up to end.
func (l *bodyLog) flush(end place) error {
	if err := l.drain(); err != nil {
		return err
	}
	if err := l.current.file.SyncData(); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	l.durable.Store(uint64(end))
	return nil
}

// turn ends the current segment, durably, and begins the next.
func (l *bodyLog) turn(number uint32) error {
	h := segmentHeader{number: number}
	h.previousEnd = l.end.offset()
	if s := l.current; s != nil {
		if err := l.flush(l.end); err != nil {
			return err
		}
		l.segments.seal(s, l.end.offset(), l.values)
	}
	s := l.rooms.take(number)
	l.segments.add(s)
	l.current, l.values = s, 0
	l.buffer = h.append(l.buffer)
	return nil
}

// waiting copies what a reference to a value that is not in a file yet
// means into b. False if it is in a file by now.
func (l *bodyLog) waiting(ref reference, b []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uint64(ref.place) < l.written.Load() {
		return false
	}
	for _, g := range []*group{l.writing, l.open} {
		if g == nil {
			continue
		}
		if r, from := g.find(ref.place); r != nil {
			copy(b, r.values[from:])
			return true
		}
	}
	return false
}

// find gives the record that p lies in, and where in its values.
func (g *group) find(p place) (*record, int) {
	lo, hi := 0, len(g.commits) // the first commit whose end is behind p
	for lo < hi {
		if mid := (lo + hi) / 2; g.commits[mid].end > p {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == len(g.commits) {
		return nil, 0
	}
	c := g.commits[lo]
	if first := c.end - place(len(c.record.values)); p >= first {
		return c.record, int(p - first)
	}
	return nil, 0
}

// read fills b with the octets in the log that ref means, and checks them.
func (l *bodyLog) read(ref reference, b []byte) error {
	if uint64(ref.place) < l.written.Load() || !l.waiting(ref, b) {
		if err := l.segments.readAt(b, ref.place); err != nil {
			return err
		}
	}
	if checksum(b) != ref.sum {
		return errChecksum
	}
	return nil
}

var errChecksum = errors.New("the checksum is wrong")
