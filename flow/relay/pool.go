package relay

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

const (
	// keepIdle is how long a connection is kept for the next message to the
	// same host: short, since it takes one of the host's places.
	keepIdle = 5 * time.Second
	// sweepEach is how often it is looked for those that are idle for too long.
	sweepEach = time.Second
	// maxPerLink is how many messages go over one connection.
	maxPerLink = 100
	// maxIdle is how many connections are kept in all.
	maxIdle = 100
)

// A pool keeps connections that have done their work and may do more.
type pool struct {
	leaving sync.WaitGroup // those that say QUIT, which some hosts answer late

	mu    sync.Mutex
	idle  map[line][]kept // guarded by mu
	count int             // guarded by mu
	swept time.Time       // guarded by mu
}

// A line is what makes connections of equal use: the address, and the route
// that says how we connect and log in there.
type line struct {
	at    netip.AddrPort
	route string
}

type kept struct {
	link  *link
	since time.Time
}

func newPool() *pool { return &pool{idle: map[line][]kept{}} }

// take gives a kept connection to an address, the newest one, and since when
// it has been idle.
func (p *pool) take(at line) (*link, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[at]
	if len(list) == 0 {
		return nil, time.Time{}
	}
	newest := list[len(list)-1]
	p.set(at, list[:len(list)-1])
	p.count--
	return newest.link, newest.since
}

// back puts a connection back that its taker has no use for, behind the others.
func (p *pool) back(l *link, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(l.line, append([]kept{{l, since}}, p.idle[l.line]...))
	p.count++
}

// put keeps a connection, or takes leave if it has served enough, whatever becomes
// of ctx. It waits for nobody.
func (p *pool) put(ctx context.Context, l *link, now time.Time) {
	p.mu.Lock()
	full := p.count >= maxIdle
	if l.Usable() && l.sent < maxPerLink && !l.spent() && !full {
		p.set(l.line, append(p.idle[l.line], kept{l, now}))
		p.count++
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	p.leaving.Go(func() { l.Quit(ctx) })
}

// sweep takes leave of connections that have been idle for too long; of all,
// and waits for the end of it, when the relay ends.
func (p *pool) sweep(ctx context.Context, now time.Time, all bool) {
	var old []*link
	p.mu.Lock()
	if !all && now.Sub(p.swept) < sweepEach {
		p.mu.Unlock()
		return
	}
	p.swept = now
	for at, list := range p.idle {
		var young []kept
		for _, k := range list {
			if all || now.Sub(k.since) >= keepIdle {
				old = append(old, k.link)
			} else {
				young = append(young, k)
			}
		}
		p.set(at, young)
	}
	p.count -= len(old)
	p.mu.Unlock()
	for _, l := range old {
		p.leaving.Go(func() { l.Quit(ctx) })
	}
	if all {
		p.leaving.Wait()
	}
}

// set replaces the list of an address; mu is held.
func (p *pool) set(at line, list []kept) {
	if len(list) == 0 {
		delete(p.idle, at)
		return
	}
	p.idle[at] = list
}
