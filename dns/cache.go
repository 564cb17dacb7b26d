package dns

import (
	"sync"
	"time"

	wire "github.com/miekg/dns"
)

const (
	maxCached      = 20_000
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = time.Hour // RFC 2308 §5 allows three
	failureTTL     = 5 * time.Second
)

// An answer is what the servers said to one question, good or bad.
type answer struct {
	records   []wire.RR
	noName    bool // NXDOMAIN
	authentic bool
	failed    bool // no usable answer
	detail    string
	ttl       time.Duration
}

// err gives the failure that an answer stands for; no records is none yet,
// since there may be a CNAME.
func (a *answer) err(name string, qtype uint16) error {
	if a.failed {
		return temporary(name, qtype, a.detail)
	}
	return nil
}

type cacheKey struct {
	name  string
	qtype uint16
}

type cached struct {
	answer  *answer
	expires time.Time
}

// A cache keeps a bounded number of answers. Failures are kept for a few
// seconds too, so that a dead server is not asked for every message.
// RFC 9520 §3.2
type cache struct {
	mu      sync.Mutex
	max     int
	answers map[cacheKey]cached // guarded by mu
}

func newCache(limit int) *cache {
	return &cache{max: limit, answers: make(map[cacheKey]cached)}
}

func (c *cache) get(key cacheKey, now time.Time) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.answers[key]
	if !ok {
		return nil
	}
	if !now.Before(e.expires) {
		delete(c.answers, key)
		return nil
	}
	return e.answer
}

func (c *cache) put(key cacheKey, a *answer, now time.Time) {
	if a.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) >= c.max {
		c.evict(now)
	}
	c.answers[key] = cached{a, now.Add(a.ttl)}
}

// evict makes room: of some entries (a map's order is random) it drops all
// that have expired, and the one that would expire first.
func (c *cache) evict(now time.Time) {
	const looked = 16
	var soonest cacheKey
	var at time.Time
	n := 0
	for key, e := range c.answers {
		if !now.Before(e.expires) {
			delete(c.answers, key)
			continue
		}
		if at.IsZero() || e.expires.Before(at) {
			soonest, at = key, e.expires
		}
		if n++; n == looked {
			break
		}
	}
	if len(c.answers) >= c.max {
		delete(c.answers, soonest)
	}
}
