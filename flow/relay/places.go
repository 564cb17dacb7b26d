package relay

import (
	"context"
	"sync"
	"time"
)

// places bounds how many transfers to one domain run at once.
type places struct {
	each int
	mu   sync.Mutex
	busy map[string]chan struct{} // guarded by mu; one token a running transfer
	refs map[string]int           // guarded by mu; running or waiting
}

func newPlaces(each int) *places {
	return &places{each: each, busy: map[string]chan struct{}{}, refs: map[string]int{}}
}

// enter waits for a place; leave gives it back. It fails only if ctx ends.
func (p *places) enter(ctx context.Context, domain string) (leave func(), err error) {
	p.mu.Lock()
	tokens := p.busy[domain]
	if tokens == nil {
		tokens = make(chan struct{}, p.each)
		p.busy[domain] = tokens
	}
	p.refs[domain]++
	p.mu.Unlock()
	done := func() {
		p.mu.Lock()
		if p.refs[domain]--; p.refs[domain] == 0 {
			delete(p.busy, domain)
			delete(p.refs, domain)
		}
		p.mu.Unlock()
	}
	select {
	case tokens <- struct{}{}:
		return func() { <-tokens; done() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}

// maxDown is how long a domain whose hosts cannot be talked to is left alone.
const maxDown = time.Minute

// down remembers for a short time which domains' hosts could not be talked
// to, so that a thousand messages for a dead host do not wait a thousand times.
type down struct {
	keep time.Duration
	mu   sync.Mutex
	list map[string]downDomain // guarded by mu
}

type downDomain struct {
	until  time.Time
	answer answer
}

func newDown(keep time.Duration) *down { return &down{keep: keep, list: map[string]downDomain{}} }

// trouble gives what went wrong a moment ago, if it did.
func (d *down) trouble(domain string, now time.Time) (answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.list[domain]
	if !ok || !now.Before(e.until) {
		return answer{}, false
	}
	return e.answer, true
}

// mark remembers trouble, and forgets what is old.
func (d *down) mark(domain string, a answer, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, e := range d.list {
		if !now.Before(e.until) {
			delete(d.list, name)
		}
	}
	d.list[domain] = downDomain{now.Add(d.keep), a}
}
