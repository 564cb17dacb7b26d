package pebblekv

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// quietStart is how long after the start there are no compactions. The rest of
// the program starts meanwhile, and the first readers come.
const quietStart = time.Second

// A compactor lets Pebble compact, as much at a time as Pebble holds to be
// right, but not while a store is being opened: pebble.Open waits for what it
// has begun itself, and that can take many seconds after a crash under load.
type compactor struct {
	poke chan struct{} // there may be something to permit
	db   pebble.DBForCompaction

	mu      sync.Mutex // guards what follows
	allowed bool
	running int
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
		c.permit()
		select {
		case <-ending:
			return
		case <-c.poke:
		}
	}
}

func (c *compactor) allow(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed = yes
}

// permit begins what waits, as far as it may. It counts only what has begun:
// what Pebble finds meanwhile must not be refused for nothing, since nobody
// would look at it again. So there may be one too many for a moment.
func (c *compactor) permit() {
	for c.may() {
		if waits, _ := c.db.GetWaitingCompaction(); !waits || !c.db.Schedule(c) {
			return
		}
		c.count(1)
	}
}

func (c *compactor) may() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mayLocked()
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
