package pebblekv

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// quietStart is how long after the start there are no compactions. The rest of
// the program starts meanwhile, and the first readers come.
const quietStart = time.Second

const (
	// busyFor is how long after the last flush there is much to write.
	busyFor = 5 * time.Second
	// mostPiled is how many flushes compactions are put off for at most.
	mostPiled = 5
)

// A compactor lets Pebble compact, as much at a time as Pebble holds to be
// right, but not while a store is being opened: pebble.Open waits for what it
// has begun itself, and that can take many seconds after a crash under load.
//
// Pebble would begin with two tables in level 0, and write all below them again
// that they overlap. While there is much to write that is put off: more tables
// go down with the same work, and at a time when there is less to do.
type compactor struct {
	poke chan struct{} // there may be something to permit
	db   pebble.DBForCompaction

	mu      sync.Mutex // guards what follows
	allowed bool
	running int
	flushed time.Time // when the last flush began
	piled   int       // flushes since there was nothing to compact
}

var _ pebble.CompactionScheduler = (*compactor)(nil)

func newCompactor() *compactor { return &compactor{poke: make(chan struct{}, 1)} }

// run lets compactions begin, from a moment after the start until ending.
func (c *compactor) run(ending <-chan struct{}) {
	t := time.NewTimer(quietStart)
	defer t.Stop()
	select {
	case <-ending:
		return
	case <-t.C:
	}
	c.allow(true)
	defer c.allow(false)
	for {
		t.Stop()
		if later := c.permit(); later > 0 {
			t.Reset(later)
		}
		select {
		case <-ending:
			return
		case <-c.poke:
		case <-t.C:
		}
	}
}

// flushes is told when a flush begins.
func (c *compactor) flushes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = time.Now()
	c.piled++
}

func (c *compactor) allow(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed = yes
}

// permit begins what waits, as far as it may. It counts only what has begun:
// what Pebble finds meanwhile must not be refused for nothing, since nobody
// would look at it again. So there may be one too many for a moment. It tells
// when to ask again, if something is put off.
func (c *compactor) permit() (later time.Duration) {
	for {
		may, busy := c.may()
		if !may {
			return 0
		}
		waits, what := c.db.GetWaitingCompaction()
		switch {
		case !waits:
			c.nothing()
			return 0
		case busy > 0 && canWait(what):
			return busy
		case !c.db.Schedule(c):
			return 0
		}
		c.count(1)
	}
}

// scored is the priority from which compactions are those that Pebble wants by
// itself; below it are those that somebody has asked for, and optional ones.
const scored = 80

// canWait tells whether a compaction can be put off.
func canWait(what pebble.WaitingCompaction) bool { return what.Optional || what.Priority >= scored }

// may tells whether another compaction may run, and how long those that can wait
// are to be put off: not for ever, and once they have begun not until there is
// nothing left to do.
func (c *compactor) may() (may bool, busy time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.piled < mostPiled {
		busy = busyFor - time.Since(c.flushed)
	}
	return c.mayLocked(), busy
}

// nothing notes that there is nothing to compact.
func (c *compactor) nothing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.piled = 0
}

func (c *compactor) mayLocked() bool {
	return c.allowed && c.running < c.db.GetAllowedWithoutPermission()
}

func (c *compactor) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running += n
}

// Register implements pebble.CompactionScheduler.
func (c *compactor) Register(_ int, db pebble.DBForCompaction) { c.db = db }

// Unregister implements pebble.CompactionScheduler. run has ended before.
func (c *compactor) Unregister() {}

// TrySchedule implements pebble.CompactionScheduler. What it refuses waits
// until permit.
func (c *compactor) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mayLocked() {
		return false, nil
	}
	if time.Since(c.flushed) < busyFor { // permit is told what it is
		prompt(c.poke)
		return false, nil
	}
	c.running++
	return true, c
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler: it
// is told after each flush.
func (c *compactor) UpdateGetAllowedWithoutPermission() { prompt(c.poke) }

// Done implements pebble.CompactionGrantHandle.
func (c *compactor) Done() {
	c.count(-1)
	prompt(c.poke)
}

// Started implements pebble.CompactionGrantHandle.
func (c *compactor) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (c *compactor) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (c *compactor) CumulativeStats(pebble.CompactionGrantHandleStats) {}
