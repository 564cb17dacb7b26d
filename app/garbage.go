package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// restPercent is the collector's percentage while there is little to do.
	// Most of what we keep is caches without a pointer in them, which cost next
	// to nothing to collect: so collect sooner, and waste less.
	restPercent = 50
	// busyRate is how many octets a second are allocated when there is much to
	// do.
	busyRate = 8 << 20
	// restTick is how often that is looked at while there is little to do, and
	// busyTick while there is much: what is live may grow fast then, and the
	// percentage has to follow.
	restTick, busyTick = time.Second, 100 * time.Millisecond
	// quietFor is for how long there has been little to do when memory is given
	// back.
	quietFor = 5 * time.Second
	// calmRate is how many octets a second are allocated when there is next to
	// nothing to do, and worthGiving how many have been allocated when giving
	// back is worth a collection: a thousand people who have logged in one after
	// the other leave 15 MiB, which the collector alone would leave lying.
	calmRate    = 256 << 10
	worthGiving = 4 << 20
	// leastLive bounds the percentage.
	leastLive = 1 << 20
)

// A garbage keeper lets garbage pile up while much is done, up to a heap of room
// octets: what is live is some megabytes, and a collector that goes by these
// alone would run for each hundred messages. When it has become quiet, as after
// the start, the memory goes back to the system; when it has become calm, also
// that of what did not make it busy.
type garbage struct {
	room    int64
	percent int           // what is set
	before  int64         // octets allocated, when they were last looked at
	quiet   time.Duration // for how long there has been little to do
	calm    time.Duration // for how long there has been next to nothing
	given   int64         // octets allocated, when memory was last given back
}

// newGarbage makes a keeper for a machine with so much memory. The start of a program
// is no quiet time.
func newGarbage(memory int64) *garbage {
	return &garbage{room: min(memory/16, 64<<20), percent: restPercent}
}

// run follows what is done until ctx ends. GOGC in the environment wins.
func (g *garbage) run(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTimer(restTick)
	defer tick.Stop()
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		metrics.Read(samples)
		now := time.Now()
		was := g.percent
		give := g.next(now.Sub(last), int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64()))
		last = now
		if g.percent != was {
			debug.SetGCPercent(g.percent)
		}
		if g.percent != restPercent {
			tick.Reset(busyTick)
			continue
		}
		if give {
			debug.FreeOSMemory()
		}
		tick.Reset(restTick)
	}
}

// next sets the percentage, from how much time has passed, what has been
// allocated in all, and what was live when it was last collected. It tells
// whether memory is to be given back.
func (g *garbage) next(passed time.Duration, allocated, live int64) bool {
	rate := float64(allocated-g.before) / passed.Seconds()
	g.before = allocated
	if g.calm += passed; rate >= calmRate {
		g.calm = 0
	}
	if g.quiet += passed; rate >= busyRate {
		g.quiet = 0
	}
	if g.quiet >= quietFor {
		give := g.percent != restPercent || g.calm >= quietFor && allocated-g.given >= worthGiving
		g.percent = restPercent
		if give {
			g.given = allocated
		}
		return give
	}
	live = max(live, leastLive)
	percent := max(restPercent+1, int((g.room-live)*100/live))
	// Setting it stops everything for a moment.
	if percent < g.percent*7/8 || percent > g.percent*5/4 {
		g.percent = percent
	}
	return false
}
