package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/obs"
	"waxwing/store/outqueue"
)

// rereadShare bounds how much of the time goes into reading the index from its
// beginning, which finds what a cursor does not: what other processes and
// administrators have put before it; and soonShare where there is known to be
// something.
const (
	rereadShare = 50
	soonShare   = 10
)

// A desk hands out what is due. But for lease, start and finish it belongs to
// one goroutine.
type desk struct {
	*Relay
	lanes   *lanes
	cursor  outqueue.Cursor
	reread  time.Time // when the index is to be read from its beginning
	soon    time.Time // when it may be, if something is known to be there
	behind  bool      // something is
	due     time.Time // when something becomes due that the cursor does not know; zero for nothing
	stirred bool      // something may be due that is not listed yet
	working sync.WaitGroup
	work    chan func()   // to the goroutines that wait for the next attempt
	closed  chan struct{} // closed when they need not wait any more
	waiting atomic.Int32  // how many there are

	wake     chan struct{} // holds a token when an attempt has ended
	mu       sync.Mutex
	finished []finished // guarded by mu
}

type finished struct {
	outqueue.Ready
	lane   *lane
	failed bool
}

// look lists what has become due. The index is read only if there may be more
// in it than the queue tells of itself.
func (d *desk) look(ctx context.Context, now time.Time) error {
	news := d.queue.News()
	for _, r := range news.Fresh {
		d.lanes.add(r)
	}
	d.stirred = d.stirred || news.Stirred
	d.behind = d.behind || news.Behind || d.lanes.fresh.wanting() || d.lanes.doubtful.wanting()
	d.due = earlier(d.due, news.Next)
	next := earlier(d.due, d.cursor.Next())
	full := !now.Before(d.reread) || d.behind && !now.Before(d.soon)
	if !full && !d.stirred && (next.IsZero() || now.Before(next)) {
		return nil
	}
	d.stirred, d.due = false, time.Time{}
	if full {
		d.behind = false
		d.cursor = outqueue.Cursor{}
		d.lanes.fresh.reread()
		d.lanes.doubtful.reread()
		d.lanes.fresh.unblockAll()
		d.lanes.doubtful.unblockAll()
		d.places.forget(now)
	}
	err := d.queue.Ready(ctx, now, &d.cursor, func(r outqueue.Ready) bool {
		d.lanes.add(r)
		return true
	})
	if err != nil {
		d.stirred = true
	}
	if full {
		took := time.Since(now)
		d.reread, d.soon = now.Add(max(patience, rereadShare*took)), now.Add(soonShare*took)
	}
	return err
}

// earlier gives the earlier of two times, of which zero stands for none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// begin begins to try the next items, and tells whether there were any.
func (d *desk) begin(ctx, work context.Context, now time.Time) bool {
	d.lanes.freed()
	var batch []outqueue.Ready
	chosen := map[outqueue.ID]choice{}
	for len(batch) < maxBatch {
		t, lane, ok := d.lanes.next(now)
		if !ok {
			break
		}
		batch = append(batch, t.Ready)
		chosen[t.ID] = choice{t, lane}
	}
	if len(batch) == 0 {
		return false
	}
	d.start(func() { d.lease(ctx, work, now, batch, chosen) })
	return true
}

// lease leases items, which may take as long as the disk does, and has them
// tried.
func (d *desk) lease(ctx, work context.Context, now time.Time, batch []outqueue.Ready, chosen map[outqueue.ID]choice) {
	leases, err := d.queue.Lease(ctx, now, batch...)
	if err != nil && ctx.Err() == nil {
		d.log.Error("cannot lease from the outqueue", obs.Err, err)
	}
	var attempts []func()
	for _, l := range leases {
		c := chosen[l.Item.ID]
		delete(chosen, l.Item.ID)
		attempts = append(attempts, func() {
			d.attempt(ctx, work, l, c.seat)
			d.finish(c, false)
		})
	}
	for _, c := range chosen { // gone, another's, or not known
		c.seat.leave(nothing, now)
		d.finish(c, err != nil)
	}
	for i, attempt := range attempts {
		if i == len(attempts)-1 {
			attempt() // here
		} else {
			d.start(attempt)
		}
	}
}

// A choice is an item whose turn it is, with its lane.
type choice struct {
	turn
	lane *lane
}

// maxWaiting is how many goroutines wait for the next attempt when theirs has
// ended: the stack of a new one has to grow first.
const maxWaiting = 64

// start has an attempt made.
func (d *desk) start(attempt func()) {
	select {
	case d.work <- attempt:
		return
	default:
	}
	d.working.Go(func() {
		for {
			attempt()
			if d.waiting.Add(1) > maxWaiting {
				d.waiting.Add(-1)
				return
			}
			select {
			case attempt = <-d.work:
				d.waiting.Add(-1)
			case <-d.closed:
				return
			}
		}
	})
}

// finish says that an attempt has come to its end. If it has failed before it
// began, the item is found in the index again.
func (d *desk) finish(c choice, failed bool) {
	d.mu.Lock()
	d.finished = append(d.finished, finished{c.Ready, c.lane, failed})
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// clear takes what is finished from the lanes.
func (d *desk) clear(now time.Time) {
	d.mu.Lock()
	list := d.finished
	d.finished = nil
	d.mu.Unlock()
	for _, f := range list {
		f.lane.running--
		f.lane.done(f.Ready)
		if f.failed {
			d.behind, d.soon = true, now.Add(patience)
		}
	}
}

// pause waits until there may be something to do.
func (d *desk) pause(ctx context.Context) {
	now := time.Now()
	wait := d.reread.Sub(now)
	if d.behind {
		wait = min(wait, d.soon.Sub(now))
	}
	wait = max(wait, 10*time.Millisecond)
	if next := earlier(d.due, d.cursor.Next()); !next.IsZero() {
		wait = min(wait, max(next.Sub(now), 0))
	}
	timer := time.NewTimer(min(wait, patience))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-d.queue.Wake():
	case <-d.wake:
	}
}
