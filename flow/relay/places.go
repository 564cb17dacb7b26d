package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// fewPlaces is how many transfers to a domain run at once as long as none
	// has come to its end: a domain whose hosts do not answer must not hold
	// more of the relay than that.
	fewPlaces = 5
	// placePatience is how long a transfer waits for a place. A domain that
	// frees none in that time is too slow to be waited for by many.
	placePatience = time.Second
	// Those who are sent away come again after crowdedFirst, one behind the
	// other at crowdedEach, within crowdedMost.
	crowdedFirst = time.Second
	crowdedEach  = 5 * time.Millisecond
	crowdedMost  = 30 * time.Second
)

// errCrowded says that a domain has as many transfers as it may and is slow
// with them. It says nothing about the message.
var errCrowded = errors.New("other messages for this domain are being sent")

// places bounds how many transfers to one domain run at once, and how long
// others wait for that: who waits keeps mail for other domains out.
type places struct {
	each    int
	mu      sync.Mutex
	domains map[string]*crowd // guarded by mu; those with a transfer
}

// A crowd is the transfers to one domain.
type crowd struct {
	limit   int
	running int
	waiting []chan struct{} // closed to let one in
	stuck   bool            // somebody has waited in vain since a place became free
	turned  int             // how many were sent away since then
}

func newPlaces(each int) *places {
	return &places{each: each, domains: map[string]*crowd{}}
}

// enter waits for a place; leave gives it back and tells whether the domain's
// hosts could be talked to. It fails with errCrowded, or with ctx's error.
func (p *places) enter(ctx context.Context, domain string) (leave func(worked bool), err error) {
	p.mu.Lock()
	c := p.domains[domain]
	if c == nil {
		c = &crowd{limit: min(fewPlaces, p.each)}
		p.domains[domain] = c
	}
	leave = func(worked bool) { p.leave(domain, c, worked) }
	if c.running < c.limit {
		c.running++
		p.mu.Unlock()
		return leave, nil
	}
	if c.stuck {
		p.mu.Unlock()
		return nil, errCrowded
	}
	turn := make(chan struct{})
	c.waiting = append(c.waiting, turn)
	p.mu.Unlock()

	patience := time.NewTimer(placePatience)
	defer patience.Stop()
	select {
	case <-turn:
		return leave, nil
	case <-patience.C:
		err = errCrowded
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(c.waiting, turn)
	if at < 0 {
		return leave, nil // at the last moment
	}
	c.waiting = slices.Delete(c.waiting, at, at+1)
	c.stuck = c.stuck || err == errCrowded
	return nil, err
}

func (p *places) leave(domain string, c *crowd, worked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if worked {
		c.limit = p.each
	}
	c.running--
	c.stuck, c.turned = false, 0
	for c.running < c.limit && len(c.waiting) > 0 {
		close(c.waiting[0])
		c.waiting = c.waiting[1:]
		c.running++
	}
	if c.running == 0 {
		delete(p.domains, domain)
	}
}

// later gives the delay after which one who was sent away comes again.
func (p *places) later(domain string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	delay := crowdedFirst
	if c := p.domains[domain]; c != nil {
		c.turned++
		delay += time.Duration(c.turned) * crowdedEach
	}
	return min(delay, crowdedMost)
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
