package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"waxwing/obs"
	"waxwing/store/outqueue"
)

// keeperTick is how often the leases are looked at.
const keeperTick = time.Second

// A keeper extends the leases of attempts that take long.
type keeper struct {
	mu       sync.Mutex
	attempts map[*attempt]bool // guarded by mu
}

func newKeeper() *keeper { return &keeper{attempts: map[*attempt]bool{}} }

// hold has an attempt's lease extended until leave.
func (k *keeper) hold(a *attempt) {
	a.again = a.began.Add(a.lease.Expires.Sub(a.began) / 3)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts[a] = true
}

func (k *keeper) leave(a *attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.attempts, a)
}

// run extends leases until done is closed.
func (k *keeper) run(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(keeperTick)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		for _, a := range k.late(time.Now()) {
			a.extend(ctx)
		}
	}
}

// late gives the attempts whose leases are to be extended.
func (k *keeper) late(now time.Time) (late []*attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for a := range k.attempts {
		if !now.Before(a.again) {
			late = append(late, a)
		}
	}
	return late
}

// extend extends the lease. It waits for nobody who tells the queue of results:
// that may take as long as a disk is full, and the lease must not end meanwhile.
func (a *attempt) extend(ctx context.Context) {
	err := a.queue.Extend(ctx, time.Now(), a.lease)
	switch {
	case err == nil:
		a.again = time.Now().Add(time.Until(a.lease.Expires) / 3)
	case errors.Is(err, outqueue.ErrLeaseLost), errors.Is(err, outqueue.ErrNotFound):
		// It has come to its end just now; or the result will tell.
		a.keeper.leave(a)
	default: // that may pass before somebody else has it
		a.log.Warn("cannot extend the lease of a queued message", obs.Queue, a.item.ID.String(), obs.Err, err)
	}
}
