package outqueue

import (
	"context"
	"sync"
	"time"

	"waxwing/store/kv"
)

const (
	// companyPatience is how long a result waits for somebody else's sync. The
	// window in which a crash makes a message be sent again is as much longer.
	companyPatience = 500 * time.Microsecond
	// maxCompany is from how many results on nobody is waited for: their syncs
	// are shared already, and connections wait for them.
	maxCompany = 8
)

// A company is results that have their place in the order and wait for a sync.
// Nobody waits for them as a client waits for its 250, so they go with the next
// message that is enqueued: all that stands before it in the order is durable
// when it is. A message that is relayed at once costs one sync then, not two.
type company struct {
	mu    sync.Mutex
	next  *outing     // nil if nobody waits; guarded by mu
	timer *time.Timer // ends the wait; nil at first; guarded by mu
}

// An outing is the results that wait for the same sync.
type outing struct {
	waiting int
	over    chan struct{} // closed when they need not wait for others any more
}

// join returns when a sync that somebody else wanted may have taken a commit
// along, or nobody is to be waited for any longer. The commit has its place in
// the order.
func (c *company) join(ctx context.Context) {
	c.mu.Lock()
	if c.next == nil {
		c.next = &outing{over: make(chan struct{})}
		if c.timer == nil {
			c.timer = time.AfterFunc(companyPatience, func() { c.depart().end() })
		} else {
			c.timer.Reset(companyPatience)
		}
	}
	o := c.next
	o.waiting++
	full := o.waiting >= maxCompany
	c.mu.Unlock()
	if full {
		c.depart().end()
		return
	}
	select {
	case <-o.over:
	case <-ctx.Done():
	}
}

// depart gives those who wait, to be told with end once what has its place in the
// order by now is durable. Those who join afterwards wait for the next.
func (c *company) depart() *outing {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.next
	c.next = nil
	return o
}

// end tells everybody, if there is anybody.
func (o *outing) end() {
	if o != nil {
		close(o.over)
	}
}

// durable waits until a result is.
func (q *Queue) durable(ctx context.Context, c kv.Commit) error {
	if !q.o.Shared {
		q.company.join(ctx)
	}
	return c.Wait(ctx)
}
