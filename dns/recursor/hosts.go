package recursor

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"waxwing/dns/cache"
)

const (
	// What is thought of a server that has not been asked: sooner tried than
	// one that is slow, later than one that is near.
	unknownTime = 80 * time.Millisecond
	minTimeout  = 300 * time.Millisecond
	maxTimeout  = 2 * time.Second
	// firstTimeout is how long a server is waited for that is not known yet.
	firstTimeout = 900 * time.Millisecond
	// deadAfter silent tries in a row a server is asked last, for deadTime.
	deadAfter = 3
	deadTime  = time.Minute
	hostTTL   = 15 * time.Minute
	hostSize  = 120
)

// hosts remembers how servers behave.
type hosts struct {
	known *cache.Cache[netip.AddrPort, *host]
	mu    sync.Mutex
	noV6  time.Time // guarded by mu; until when there is no way to IPv6
}

// A host is one server.
type host struct {
	mu     sync.Mutex
	took   time.Duration // smoothed; 0 is unknown; guarded by mu
	silent int           // tries without reply in a row; guarded by mu
	since  time.Time     // of the last silent one; guarded by mu
	how    manner        // it has to be asked; guarded by mu
	cookie string        // that it gave us, with our part; guarded by mu
}

func newHosts(maxBytes int) *hosts {
	return &hosts{known: cache.New[netip.AddrPort, *host](maxBytes)}
}

func (h *hosts) get(server netip.AddrPort, now time.Time) *host {
	if known, ok := h.known.Get(server, now); ok {
		return known
	}
	fresh := &host{}
	h.known.Put(server, fresh, hostSize, now.Add(hostTTL))
	return fresh
}

// score says how long a server may be expected to take, with some chance in it
// so that servers are asked in turn and improve their standing.
func (h *host) score(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	took := h.took
	if took == 0 {
		took = unknownTime
	}
	took = time.Duration(float64(took) * (0.75 + rand.Float64()/2))
	if h.silent >= deadAfter && now.Sub(h.since) < deadTime {
		took += time.Minute
	}
	return took
}

// timeout says how long to wait for the server.
func (h *host) timeout() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := firstTimeout
	if h.took > 0 {
		wait = max(4*h.took, minTimeout)
	}
	return min(wait<<min(h.silent, 3), maxTimeout)
}

// answered notes a reply, and unanswered that none came.
func (h *host) answered(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent = 0
	took = max(took, time.Microsecond)
	if h.took == 0 {
		h.took = took
	} else {
		h.took += (took - h.took) / 4
	}
}

func (h *host) unanswered(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent++
	h.since = now
	h.took = min(max(2*h.took, unknownTime), maxTimeout)
}

// A manner is how a server is asked.
type manner uint8

const (
	withCookie manner = iota // as all should be
	withEDNS                 // it knows no cookies, and does not bear them
	plain                    // it knows no EDNS
)

// manner says how to ask, and with which cookie.
func (h *host) manner() (how manner, cookie string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.how, h.cookie
}

func (h *host) setManner(how manner) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.how, h.cookie = how, ""
}

func (h *host) setCookie(cookie string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cookie = cookie
}

// lostV6 notes that IPv6 leads nowhere from here.
func (h *hosts) lostV6(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noV6 = now.Add(10 * time.Minute)
}

func (h *hosts) hasV6(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.After(h.noV6)
}
