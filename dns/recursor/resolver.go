package recursor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/miekg/dns"
	"golang.org/x/sync/singleflight"

	"waxwing/dns"
	"waxwing/dns/cache"
	"waxwing/dns/dnssec"
)

// A Resolver finds answers out and validates them. It is a dns.Resolver and a
// dns.Source. Make one with New. Safe for concurrent use.
type Resolver struct {
	dns.Lookups
	options   Options
	exchanger Exchanger
	log       *slog.Logger

	hints    *delegation
	forwards map[string]*delegation                // by zone
	anchors  atomic.Pointer[map[string][]*wire.DS] // what is trusted now
	cookies  cookies

	configured map[string][]*wire.DS // anchors to begin with, by zone
	anchorMu   sync.Mutex
	tracked    map[string][]dnssec.TrackedKey // guarded by anchorMu

	hosts    *hosts
	answers  *cache.Cache[question, *entry]
	zones    *cache.Cache[string, *delegation]
	raw      *cache.Cache[question, *response] // servers' addresses and DS records, not validated
	trusts   *cache.Cache[string, *trust]
	flights  singleflight.Group // of questions
	trusting singleflight.Group // of zones
}

var (
	_ dns.Resolver = (*Resolver)(nil)
	_ dns.Source   = (*Resolver)(nil)
)

type question struct {
	name  string
	qtype uint16
}

// An entry is one link of an answer, validated.
type entry struct {
	answer *dns.Answer // of this link alone
	target string      // of an alias
	// failed says that nothing could be found out, for the reason in Detail, and
	// for how long nobody tries; 0 if something was.
	failed time.Duration
	// expired is when it did, of one that is kept since nothing newer can be found
	// out.
	expired time.Time
}

// mayServe tells whether an entry that is to expire at a time, or has, may be
// given while nothing newer can be found out. RFC 8767 §4
func (e *entry) mayServe(expires, now time.Time, stale time.Duration) bool {
	if !e.expired.IsZero() {
		expires = e.expired
	}
	return stale > 0 && e.failed == 0 && e.answer.Finding.Security != dns.Bogus && now.Before(expires.Add(stale))
}

// New makes a Resolver. It fails if an option makes no sense.
func New(o Options) (*Resolver, error) {
	r := &Resolver{options: o, exchanger: o.Exchanger, log: o.Log, cookies: newCookies(), forwards: make(map[string]*delegation)}
	r.Lookups = dns.NewLookups(r)
	if r.exchanger == nil {
		r.exchanger = Network{}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	hints := o.Hints
	if len(hints) == 0 {
		hints = defaultHints()
	}
	r.hints = fixed(".", hints, false)
	for zone, servers := range o.Forward {
		if _, ok := wire.IsDomainName(zone); !ok || len(servers) == 0 {
			return nil, fmt.Errorf("forwarding %q: want a domain and at least one server", zone)
		}
		r.forwards[wire.CanonicalName(zone)] = fixed(wire.CanonicalName(zone), servers, true)
	}
	var err error
	if r.configured, err = o.anchors(); err != nil {
		return nil, err
	}
	if err := r.loadAnchors(); err != nil {
		return nil, err
	}
	r.applyAnchors()
	size := o.CacheBytes
	if size <= 0 {
		size = defaultCacheBytes
	}
	part := size / (2 * cacheParts)
	r.answers = cache.New[question, *entry](size / 2)
	r.zones = cache.New[string, *delegation](part)
	r.raw = cache.New[question, *response](part)
	r.trusts = cache.New[string, *trust](part)
	r.hosts = newHosts(part)
	return r, nil
}

func (o *Options) anchors() (map[string][]*wire.DS, error) {
	switch o.Anchors {
	case "":
		return dnssec.ParseAnchors(dnssec.RootAnchors)
	case NoAnchors:
		return nil, nil
	}
	return dnssec.ParseAnchors(o.Anchors)
}

func (r *Resolver) port() uint16 {
	if r.options.Port != 0 {
		return r.options.Port
	}
	return defaultPort
}

// Resolve implements dns.Source.
func (r *Resolver) Resolve(ctx context.Context, name string, qtype uint16) (*dns.Answer, error) {
	return r.resolve(ctx, canonical(name), qtype, time.Now(), nil)
}

// Remembers tells whether the first step of an answer is in the cache.
func (r *Resolver) Remembers(name string, qtype uint16) bool {
	_, ok := r.answers.Get(question{canonical(name), qtype}, time.Now())
	return ok
}

// Explain is Resolve without the cache of answers; say is told in words what
// is found out on the way. It is called by one goroutine.
func (r *Resolver) Explain(ctx context.Context, name string, qtype uint16, say func(step string)) (*dns.Answer, error) {
	tell := func(format string, args ...any) { say(fmt.Sprintf(format, args...)) }
	return r.resolve(ctx, canonical(name), qtype, time.Now(), tell)
}

// canonical is wire.CanonicalName without its cost for names that are so.
func canonical(name string) string {
	for i := 0; i < len(name); i++ {
		if c := name[i]; 'A' <= c && c <= 'Z' || c == '\\' || c >= 0x80 {
			return wire.CanonicalName(name)
		}
	}
	return wire.Fqdn(name)
}

func (r *Resolver) resolve(ctx context.Context, name string, qtype uint16, now time.Time, say func(string, ...any)) (*dns.Answer, error) {
	var chain dns.Answer
	var rest []*entry // found with the last question
	for i := range maxAliases {
		e, err := r.link(ctx, question{name, qtype}, now, say, &rest)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if e.target == "" {
				return e.answer, nil
			}
			chain.Asked, chain.Finding = e.answer.Asked, e.answer.Finding
		}
		chain.Finding = chain.Finding.Weaker(e.answer.Finding)
		if chain.Finding.Security == dns.Bogus || e.target == "" {
			chain.Name, chain.Records, chain.NoName, chain.Detail = name, e.answer.Records, e.answer.NoName, e.answer.Detail
			if chain.Finding.Security == dns.Bogus {
				chain.Records = nil
			}
			return &chain, nil
		}
		name = e.target
	}
	return nil, failed(name, qtype, wire.ExtendedErrorCodeOther, "too many aliases")
}

// link gives one link of an answer: from those found with the one before, from
// the cache, or by a flight that all who ask the same share.
func (r *Resolver) link(ctx context.Context, q question, now time.Time, say func(string, ...any), rest *[]*entry) (*entry, error) {
	if len(*rest) > 0 {
		e := (*rest)[0]
		*rest = (*rest)[1:]
		return e, nil
	}
	old, expires, known := r.answers.Peek(q)
	if known && now.Before(expires) && say == nil {
		return old, old.err(q)
	}
	if _, ok := wire.IsDomainName(q.name); !ok {
		return &entry{answer: &dns.Answer{Name: q.name, NoName: true, Detail: "not a domain name"}}, nil
	}
	if e := r.local(q); e != nil {
		return e, nil
	}
	mayServe := known && say == nil && old.mayServe(expires, now, r.options.Stale)
	if mayServe { // RFC 8767 §5: the flight goes on meanwhile
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stalePatience)
		defer cancel()
	}
	found, err := r.fly(ctx, q, now, say)
	if mayServe && err != nil {
		return old, nil
	}
	if err != nil {
		return nil, err
	}
	*rest = found[1:]
	return found[0], nil
}

// err gives the failure that an entry stands for.
func (e *entry) err(q question) error {
	if e.failed > 0 {
		return failed(q.name, q.qtype, wire.ExtendedErrorCodeCachedError, "%s", e.answer.Detail)
	}
	return nil
}

// fly finds an answer out. The flight outlives the caller that began it, since
// others wait for it too.
func (r *Resolver) fly(ctx context.Context, q question, now time.Time, say func(string, ...any)) ([]*entry, error) {
	if say != nil {
		return r.newTask(now, say).find(ctx, q)
	}
	flight := r.flights.DoChan(fmt.Sprintf("%d %s", q.qtype, q.name), func() (any, error) {
		flightCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), questionTime)
		defer cancel()
		makeRoom()
		return r.newTask(now, nil).find(flightCtx, q)
	})
	select {
	case <-ctx.Done():
		return nil, &dns.Error{
			Name: q.name, Type: wire.Type(q.qtype).String(), Detail: "no answer in time", Err: fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err()),
		}
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.([]*entry), nil
	}
}

// makeRoom lets the stack of a new goroutine grow once to what verifying needs,
// while there is nothing on it: growing step by step copies it each time, with
// all that stands on it, which is 7 % of what a new name costs.
//
//go:noinline
func makeRoom() {
	var room [20 << 10]byte
	runtime.KeepAlive(&room)
}
