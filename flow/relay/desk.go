package relay

import (
	"context"
	"slices"
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

	// troublePause is how long the index is left alone after an error.
	troublePause = time.Second
	// hearEach is after how many rows of the index the queue is asked for news.
	hearEach = 500
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
	trouble time.Time // until when the index is left alone that could not be read
	working sync.WaitGroup
	work    chan func()   // to the goroutines that wait for the next attempt
	closed  chan struct{} // closed when they need not wait any more
	waiting atomic.Int32  // how many there are
	timer   *time.Timer   // of pause; nil before the first

	wake     chan struct{} // holds a token when an attempt has ended for which something waits
	eager    atomic.Bool   // something may be able to begin when an attempt has ended
	mu       sync.Mutex
	finished []finished // guarded by mu
}

// finished is how a turn has ended.
type finished struct {
	outqueue.Ready
	lane *lane
	how  ending
}

type ending int

const (
	reached  ending = iota // it was tried, and somebody was talked to; the queue knows when it becomes due again, if it does
	inVain                 // the same, but nobody was
	notOurs                // it has gone, or another has it, or is changing it
	unleased               // the queue could not be read
)

// look lists what has become due. The index is read only if there may be more
// in it than the queue tells of itself.
func (d *desk) look(ctx, work context.Context, now time.Time) error {
	d.hear()
	d.behind = d.behind || d.lanes.wanting()
	next := earlier(d.due, d.cursor.Next())
	full := !now.Before(d.reread) || d.behind && !now.Before(d.soon)
	if now.Before(d.trouble) || !full && !d.stirred && (next.IsZero() || now.Before(next)) {
		return nil
	}
	d.stirred, d.due = false, time.Time{}
	if full {
		d.behind = false
		d.cursor = outqueue.Cursor{}
		d.lanes.reread()
		d.places.forget(now)
	}
	read := 0
	err := d.queue.Ready(ctx, now, &d.cursor, func(r outqueue.Ready) bool {
		d.lanes.add(r)
		if read++; read%hearEach == 0 {
			d.hear()
			for d.begin(ctx, work, time.Now()) { // what has come need not wait for the end
			}
		}
		return true
	})
	if err != nil {
		d.stirred, d.trouble = true, now.Add(troublePause)
	}
	if full {
		took := time.Since(now)
		d.reread, d.soon = now.Add(max(patience, rereadShare*took)), now.Add(soonShare*took)
	}
	return err
}

// hear takes in what the queue tells of itself.
func (d *desk) hear() {
	news := d.queue.News()
	for _, r := range news.Fresh {
		d.lanes.add(r)
	}
	d.stirred = d.stirred || news.Stirred
	d.behind = d.behind || news.Behind
	d.due = earlier(d.due, news.Next)
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
	var chosen choices
	for len(batch) < maxBatch {
		t, lane, ok := d.lanes.next(now)
		if !ok {
			break
		}
		batch = append(batch, t.Ready)
		chosen = append(chosen, choice{t, lane})
	}
	if len(batch) == 0 {
		return false
	}
	d.start(func() { d.lease(ctx, work, now, batch, chosen) })
	return true
}

// lease leases items, which may take as long as the disk does, and has them
// tried.
func (d *desk) lease(ctx, work context.Context, now time.Time, batch []outqueue.Ready, chosen choices) {
	leases, batch := d.queue.LeaseFresh(now, batch...)
	attempts := d.attempts(ctx, work, leases, &chosen)
	if len(batch) == 0 {
		d.run(attempts)
		return
	}
	for _, attempt := range attempts { // they need not wait for the others
		d.start(attempt)
	}
	leases, err := d.queue.Lease(ctx, now, batch...)
	if err != nil && ctx.Err() == nil {
		d.log.Error("cannot lease from the outqueue", obs.Err, err)
	}
	attempts = d.attempts(ctx, work, leases, &chosen)
	how := notOurs
	if err != nil {
		how = unleased
	}
	for _, c := range chosen {
		c.seat.leave(nothing, now)
		d.finish(c, how)
	}
	d.run(attempts)
}

// run has attempts made, the last one here.
func (d *desk) run(attempts []func()) {
	for i, attempt := range attempts {
		if i == len(attempts)-1 {
			attempt()
		} else {
			d.start(attempt)
		}
	}
}

// attempts takes leased items from those that were chosen, to be tried.
func (d *desk) attempts(ctx, work context.Context, leases []*outqueue.Lease, chosen *choices) (attempts []func()) {
	for _, l := range leases {
		c := chosen.take(l.Item.ID)
		attempts = append(attempts, func() {
			how := inVain
			if d.attempt(ctx, work, l, c.seat) {
				how = reached
			}
			d.finish(c, how)
		})
	}
	return attempts
}

// A choice is an item whose turn it is, with its lane.
type choice struct {
	turn
	lane *lane
}

// choices are what is chosen in one go: no more than maxBatch.
type choices []choice

// take takes an item out, which is among them.
func (all *choices) take(id outqueue.ID) choice {
	at := slices.IndexFunc(*all, func(c choice) bool { return c.ID == id })
	c := (*all)[at]
	*all = slices.Delete(*all, at, at+1)
	return c
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

// maxFinished is how many turns that have come to their end wait until something
// else happens, if nobody waits for them.
const maxFinished = 100

// finish says that a turn has come to its end. What could not be leased is found
// in the index again.
func (d *desk) finish(c choice, how ending) {
	d.mu.Lock()
	d.finished = append(d.finished, finished{c.Ready, c.lane, how})
	many := len(d.finished) >= maxFinished
	d.mu.Unlock()
	if how != unleased && !many && !d.eager.Load() {
		return // whoever comes next clears it away
	}
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
		d.lanes.done(f.lane, f.Ready, f.how)
		if f.how == unleased {
			d.behind, d.soon = true, now.Add(patience)
		}
	}
}

// expecting tells whether something waits for the end of an attempt, and notes
// it for finish; and whether one has ended meanwhile.
func (d *desk) expecting() (ended bool) {
	eager := d.lanes.expecting()
	d.eager.Store(eager)
	if !eager {
		return false
	}
	// An attempt has either seen what was noted, or is seen here.
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.finished) > 0
}

// pause waits until there may be something to do.
func (d *desk) pause(ctx context.Context) {
	if d.expecting() {
		return
	}
	now := time.Now()
	wait := d.reread.Sub(now)
	if d.behind {
		wait = min(wait, d.soon.Sub(now))
	}
	wait = max(wait, 10*time.Millisecond)
	if next := earlier(d.due, d.cursor.Next()); !next.IsZero() {
		wait = min(wait, max(next.Sub(now), 0))
	}
	wait = min(max(wait, d.trouble.Sub(now)), patience)
	if next := d.lanes.paced(now); !next.IsZero() {
		wait = min(wait, max(next.Sub(now), paceStep))
	}
	if d.timer == nil {
		d.timer = time.NewTimer(wait)
	} else {
		d.timer.Reset(wait)
	}
	defer d.timer.Stop()
	select {
	case <-ctx.Done():
	case <-d.timer.C:
	case <-d.queue.Wake():
	case <-d.wake:
	}
}
