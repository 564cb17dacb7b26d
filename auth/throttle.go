package auth

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"waxwing/proto/sasl"
	"waxwing/store/peers"
)

// Limits bound how often somebody may be wrong. Zero values stand for the
// defaults.
type Limits struct {
	// PerAddress is how many failures an IPv4 address or an IPv6 /64 may
	// have standing, 20 unless set; AddressHalfLife is how long it takes
	// until half of them are forgotten, 10 minutes unless set; with
	// Options.Peers it always is that.
	PerAddress      int
	AddressHalfLife time.Duration
	// PerAccount and AccountHalfLife are the same for one account, from
	// wherever the failures come: 30, and an hour.
	PerAccount      int
	AccountHalfLife time.Duration
	// PerLoopback is what stands in for PerAddress where the peer is this
	// machine, on which web mail and proxies run: 2000.
	PerLoopback int
}

// How much a throttle remembers at most.
const (
	maxCounters = 1 << 17 // of each kind
	maxTrusted  = 1 << 17
	trustLasts  = 30 * 24 * time.Hour
)

// A source is where an attempt comes from: an IPv4 address or an IPv6 /64.
type source struct {
	prefix   netip.Prefix
	loopback bool
}

func sourceOf(addr netip.Addr) source {
	addr = addr.Unmap().WithZone("")
	bits := 64
	switch {
	case !addr.IsValid(): // a Unix socket
		return source{loopback: true}
	case addr.IsLoopback():
		return source{loopback: true}
	case addr.Is4():
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // fails for wrong numbers of bits only
	return source{prefix: prefix}
}

// throttle counts failures. An attempt is checked before work is done for it,
// and settled once it has been decided.
type throttle struct {
	limits Limits
	peers  *peers.Store // counts for sources, if not nil

	mu       sync.Mutex // guards all tables
	sources  counters[source]
	subjects counters[subject]
	pairs    counters[pair]
	trusted  recent[pair, time.Time]
}

// A pair is somebody at a place. Once the owner of an account has logged in
// from there, failures from there count for the pair alone.
type pair struct {
	source  source
	subject subject
}

func newThrottle(l Limits, known *peers.Store) *throttle {
	set := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	set(&l.PerAddress, 20)
	set(&l.PerAccount, 30)
	set(&l.PerLoopback, 2000)
	if l.AddressHalfLife <= 0 {
		l.AddressHalfLife = 10 * time.Minute
	}
	if l.AccountHalfLife <= 0 {
		l.AccountHalfLife = time.Hour
	}
	return &throttle{
		limits:   l,
		peers:    known,
		sources:  newCounters[source](l.AddressHalfLife),
		subjects: newCounters[subject](l.AccountHalfLife),
		pairs:    newCounters[pair](l.AddressHalfLife),
		trusted:  recent[pair, time.Time]{limit: maxTrusted / 2},
	}
}

// check fails with sasl.ErrThrottled for an attempt that would not be told
// whether it was right.
func (t *throttle) check(from source, about subject, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.blocked(from, about, now) {
		return sasl.ErrThrottled
	}
	return nil
}

// settle counts an attempt. It fails with sasl.ErrThrottled if others have
// used up the limit meanwhile: then nobody may learn how the attempt went.
func (t *throttle) settle(from source, about subject, succeeded bool, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := pair{from, about}
	switch {
	case t.blocked(from, about, now):
		return sasl.ErrThrottled
	case succeeded:
		t.trusted.put(p, now.Add(trustLasts))
	case t.trusts(p, now):
		t.pairs.add(p, now)
	default:
		t.addFailure(from, now)
		t.subjects.add(about, now)
	}
	return nil
}

func (t *throttle) blocked(from source, about subject, now time.Time) bool {
	p := pair{from, about}
	if t.trusts(p, now) {
		return t.pairs.value(p, now) >= float64(t.limits.PerAddress)
	}
	limit := t.limits.PerAddress
	if from.loopback {
		limit = t.limits.PerLoopback
	}
	return t.failures(from, now) >= float64(limit) ||
		t.subjects.value(about, now) >= float64(t.limits.PerAccount)
}

// failures tells how many failures a source has standing. Those of others than
// this machine are peers', so that a restart does not forgive them and the
// doors know of them too.
func (t *throttle) failures(from source, now time.Time) float64 {
	if t.peers == nil || from.loopback {
		return t.sources.value(from, now)
	}
	return t.peers.Peer(peers.OfAddress(from.prefix.Addr()), now).Counts[peers.FailedLogins]
}

func (t *throttle) addFailure(from source, now time.Time) {
	if t.peers == nil || from.loopback {
		t.sources.add(from, now)
		return
	}
	t.peers.Add(peers.OfAddress(from.prefix.Addr()), now, peers.FailedLogins, 1)
}

func (t *throttle) trusts(p pair, now time.Time) bool {
	until, ok := t.trusted.get(p)
	return ok && now.Before(until)
}

// counters counts, and forgets half of what it has counted in each half-life.
type counters[K comparable] struct {
	halfLife time.Duration
	at       recent[K, count]
}

// A count is what a counter stood at, at a time.
type count struct {
	value float64
	when  time.Time
}

func newCounters[K comparable](halfLife time.Duration) counters[K] {
	return counters[K]{halfLife: halfLife, at: recent[K, count]{limit: maxCounters / 2}}
}

func (c *counters[K]) value(k K, now time.Time) float64 {
	was, ok := c.at.get(k)
	if !ok {
		return 0
	}
	return was.value * math.Exp2(-float64(max(now.Sub(was.when), 0))/float64(c.halfLife))
}

func (c *counters[K]) add(k K, now time.Time) {
	c.at.put(k, count{value: c.value(k, now) + 1, when: now})
}
