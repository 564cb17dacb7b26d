package relay

import (
	"context"
	"sync"
	"time"

	"waxwing/obs"
	"waxwing/store/outqueue"
)

// rereadShare bounds how much of the time goes into reading the index from its
// beginning, which finds what a cursor does not: what other processes and
// administrators have put before it.
const rereadShare = 50

// A desk hands out what is due. But for finish it belongs to one goroutine.
type desk struct {
	*Relay
	lanes   *lanes
	cursor  outqueue.Cursor
	reread  time.Time // when the index is to be read from its beginning
	stirred bool      // something may be due that is not listed yet
	working sync.WaitGroup

	wake     chan struct{} // holds a token when an attempt has ended
	mu       sync.Mutex
	finished []finished // guarded by mu
}

type finished struct {
	outqueue.Ready
	lane *lane
}

// look lists what has become due, unless nothing can have.
func (d *desk) look(ctx context.Context, now time.Time) error {
	select {
	case <-d.queue.Wake():
		d.stirred = true
	default:
	}
	next := d.cursor.Next()
	if !d.stirred && now.Before(d.reread) && (next.IsZero() || now.Before(next)) && !d.lanes.fresh.wanting() && !d.lanes.doubtful.wanting() {
		return nil
	}
	d.stirred = false
	full := !now.Before(d.reread) || d.lanes.fresh.wanting() || d.lanes.doubtful.wanting()
	if full {
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
		d.reread = now.Add(max(patience, rereadShare*time.Since(now)))
	}
	return err
}

// begin leases the next items and begins to try them, and tells whether there
// were any.
func (d *desk) begin(ctx, work context.Context, now time.Time) bool {
	d.lanes.freed()
	var batch []outqueue.Ready
	seats, of := map[outqueue.ID]*seat{}, map[outqueue.ID]*lane{}
	for len(batch) < maxBatch {
		t, lane, ok := d.lanes.next(now)
		if !ok {
			break
		}
		batch = append(batch, t.Ready)
		seats[t.ID], of[t.ID] = t.seat, lane
	}
	if len(batch) == 0 {
		return false
	}
	leases, err := d.queue.Lease(ctx, now, batch...)
	if err != nil && ctx.Err() == nil {
		d.log.Error("cannot lease from the outqueue", obs.Err, err)
		d.reread = now.Add(patience) // what was not leased is found again
	}
	ready := map[outqueue.ID]outqueue.Ready{}
	for _, r := range batch {
		ready[r.ID] = r
	}
	for _, l := range leases {
		r, s := ready[l.Item.ID], seats[l.Item.ID]
		delete(ready, r.ID)
		d.working.Go(func() {
			d.attempt(ctx, work, l, s)
			d.finish(r, of[r.ID])
		})
	}
	for id, r := range ready { // gone, or another's
		seats[id].leave(nothing, now)
		d.finish(r, of[id])
	}
	return err == nil
}

// finish says that an attempt has come to its end.
func (d *desk) finish(r outqueue.Ready, l *lane) {
	d.mu.Lock()
	d.finished = append(d.finished, finished{r, l})
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// clear takes what is finished from the lanes.
func (d *desk) clear() {
	d.mu.Lock()
	list := d.finished
	d.finished = nil
	d.mu.Unlock()
	for _, f := range list {
		f.lane.running--
		f.lane.done(f.Ready)
	}
}

// pause waits until there may be something to do.
func (d *desk) pause(ctx context.Context) {
	now := time.Now()
	wait := max(d.reread.Sub(now), 10*time.Millisecond)
	if next := d.cursor.Next(); !next.IsZero() {
		wait = min(wait, max(next.Sub(now), 0))
	}
	timer := time.NewTimer(min(wait, patience))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		d.stirred = true
	case <-d.queue.Wake():
		d.stirred = true
	case <-d.wake:
	}
}
