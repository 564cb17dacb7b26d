package relay

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// firstPlaces is how many transfers to a next hop run at once before it is
	// known how many it bears.
	firstPlaces = 5
	// placePatience is how long a transfer waits for a place. A hop that frees
	// none in that time is too slow to be waited for by many.
	placePatience = time.Second
	// Those who are sent away come again after crowdedFirst, one behind the
	// other at crowdedEach, within crowdedMost.
	crowdedFirst = time.Second
	crowdedEach  = 5 * time.Millisecond
	crowdedMost  = 30 * time.Second
	// cutPause is how long nothing more is taken away from a hop's places: what
	// runs at the same time meets the same trouble.
	cutPause = time.Second
	// placeMemory is how long a hop's number of places is remembered.
	placeMemory = 10 * time.Minute
	// maxHops bounds how many hops are remembered.
	maxHops = 20_000
)

// errCrowded says that a hop has as many transfers as it may and is slow with
// them. It says nothing about the message.
var errCrowded = errors.New("other messages for the same hosts are being sent")

// An outcome is what a transfer says about the hop that it went to.
type outcome int

const (
	nothing     outcome = iota // it was not talked to
	worked                     // it takes mail
	slowed                     // it says that it is too much, for now
	unreachable                // it cannot be talked to
)

// places bounds how many transfers to one next hop (the mail exchangers of a
// domain, a smarthost, a store) run at once: more and more as long as they
// work, half as many when the hop says that it is too much, one at a time
// while it cannot be talked to.
type places struct {
	each int

	mu   sync.Mutex
	hops map[string]*crowd // guarded by mu
	// known leads from an item's destination to the hop that it went to the
	// last time. guarded by mu
	known map[uint64]string
	// freed is the hops at which a place has become free. guarded by mu
	freed map[string]bool
}

// A crowd is the transfers to one hop.
type crowd struct {
	limit    float64
	doubling bool // it has had no trouble yet: each success adds a place
	takes    bool // it has taken mail, or said something to it, and can be talked to
	cut      time.Time
	used     time.Time
	running  int
	waiting  []chan struct{} // closed to let one in
	stuck    bool            // somebody has waited in vain since a place became free
	turned   int             // how many were sent away since then
}

func newPlaces(each int) *places {
	return &places{each: each, hops: map[string]*crowd{}, known: map[uint64]string{}, freed: map[string]bool{}}
}

// A seat is one taken place.
type seat struct {
	of   *places
	hop  string
	left bool
}

// unknownHop names the hop of a destination that has not been looked up yet.
func unknownHop(destination uint64) string { return "?" + strconv.FormatUint(destination, 36) }

// reserve takes a place for an item's destination if one is free, and names the
// hop.
func (p *places) reserve(destination uint64, now time.Time) (s *seat, hop string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	hop, ok := p.known[destination]
	if !ok {
		hop = unknownHop(destination)
	}
	c := p.crowd(hop, now)
	if c.running >= int(c.limit) || len(c.waiting) > 0 {
		return nil, hop
	}
	c.running++
	return &seat{of: p, hop: hop}, hop
}

// learn notes to which hop a destination leads.
func (p *places) learn(destination uint64, hop string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, ok := p.known[destination]
	if ok && before == hop {
		return
	}
	for d := range p.known {
		if len(p.known) < maxHops {
			break
		}
		delete(p.known, d)
	}
	p.known[destination] = hop
	if !ok {
		before = unknownHop(destination)
	}
	p.freed[before] = true // who waits for it there is to wait here
}

// crowd gives the crowd of a hop; mu is held.
func (p *places) crowd(hop string, now time.Time) *crowd {
	c := p.hops[hop]
	if c == nil {
		c = &crowd{limit: float64(min(firstPlaces, p.each)), doubling: true}
		p.hops[hop] = c
	}
	c.used = now
	return c
}

// enter waits for a place. It fails with errCrowded, or with ctx's error.
func (p *places) enter(ctx context.Context, hop string) (*seat, error) {
	p.mu.Lock()
	c := p.crowd(hop, time.Now())
	if c.running < int(c.limit) {
		c.running++
		p.mu.Unlock()
		return &seat{of: p, hop: hop}, nil
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
	var err error
	select {
	case <-turn:
		return &seat{of: p, hop: hop}, nil
	case <-patience.C:
		err = errCrowded
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(c.waiting, turn)
	if at < 0 {
		return &seat{of: p, hop: hop}, nil // at the last moment
	}
	c.waiting = slices.Delete(c.waiting, at, at+1)
	c.stuck = c.stuck || err == errCrowded
	return nil, err
}

// leave gives the place back, once, and tells how the hop was found.
func (s *seat) leave(how outcome, now time.Time) {
	if s == nil || s.left {
		return
	}
	s.left = true
	p := s.of
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.crowd(s.hop, now)
	c.note(how, float64(p.each), now)
	c.running--
	c.stuck, c.turned = false, 0
	for c.running < int(c.limit) && len(c.waiting) > 0 {
		close(c.waiting[0])
		c.waiting = c.waiting[1:]
		c.running++
	}
	if c.running < int(c.limit) {
		p.freed[s.hop] = true
	}
	if c.running == 0 && !c.takes && c.doubling && c.limit == float64(min(firstPlaces, p.each)) {
		delete(p.hops, s.hop) // nothing is known of it
	}
}

// note changes the number of places: additive increase, multiplicative
// decrease, as TCP does it (RFC 5681 §3.1), which shares what the hop bears
// with others who send to it.
func (c *crowd) note(how outcome, most float64, now time.Time) {
	switch how {
	case worked:
		c.takes = true
		if c.doubling {
			c.limit++
		} else {
			c.limit += 1 / c.limit
		}
		c.limit = min(c.limit, most)
	case slowed:
		if now.Sub(c.cut) >= cutPause {
			c.limit, c.cut = max(c.limit/2, 1), now
		}
		c.doubling = false
	case unreachable:
		c.limit, c.cut, c.doubling, c.takes = 1, now, true, false
	}
}

// found tells how a destination's hop was found: worked where it has taken mail
// lately, unreachable where it has given reason for doubt since, and nothing where
// nobody has been there lately. Where there is never more than one transfer at
// once the number of places tells nothing.
func (p *places) found(destination uint64) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	hop, ok := p.known[destination]
	if !ok {
		hop = unknownHop(destination)
	}
	switch c := p.hops[hop]; {
	case c == nil:
		return nothing
	case c.limit < float64(min(2, p.each)):
		return unreachable
	case c.takes:
		return worked
	}
	return nothing
}

// takeFreed gives the hops at which places have become free since it was last
// asked.
func (p *places) takeFreed() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.freed) == 0 {
		return nil
	}
	freed := p.freed
	p.freed = map[string]bool{}
	return freed
}

// forget drops what is known of hops that have not been used for long.
func (p *places) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for hop, c := range p.hops {
		if c.running == 0 && len(c.waiting) == 0 && (now.Sub(c.used) > placeMemory || len(p.hops) > maxHops) {
			delete(p.hops, hop)
		}
	}
}

// later gives the delay after which one who was sent away comes again.
func (p *places) later(hop string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	delay := crowdedFirst
	if c := p.hops[hop]; c != nil {
		c.turned++
		delay += time.Duration(c.turned) * crowdedEach
	}
	return min(delay, crowdedMost)
}
