package mtasts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"waxwing/dns"
	"waxwing/obs"
)

const (
	// lookAgain is how long what was found is believed before the record is
	// looked up again, and soon where it could not be.
	lookAgain = 10 * time.Minute
	soon      = time.Minute
	// failedAgain is how long a policy is not asked for again that could not be
	// fetched. RFC 8461 §3.3
	failedAgain = 5 * time.Minute
	// usedEvery is how exactly it is known when a policy was used.
	usedEvery = 24 * time.Hour
	// maxKnown bounds the domains that are remembered here; the policies of all
	// are in the Memory.
	maxKnown = 20_000
)

// A Kept is a policy as it is remembered.
type Kept struct {
	Domain  string // in lower case and A-labels
	ID      string // of its record
	Policy  Policy
	Fetched time.Time // when it was
	Tried   time.Time // when that was tried for the last time
	Used    time.Time // when mail for the domain was sent, about
}

// Expires is until when the policy holds. RFC 8461 §3.2
func (k Kept) Expires() time.Time { return k.Fetched.Add(k.Policy.MaxAge) }

// A Memory keeps policies over restarts, and for all who share it. It is safe for
// concurrent use.
type Memory interface {
	// Load gives the policy of a domain; false if there is none.
	Load(ctx context.Context, domain string) (Kept, bool, error)
	// Save keeps one in the place of what was kept before for its domain.
	Save(ctx context.Context, k Kept) error
	// Forget drops the policy of a domain.
	Forget(ctx context.Context, domain string) error
	// All gives all of them.
	All(ctx context.Context) iter.Seq2[Kept, error]
}

// A Finding is what is known of a domain.
type Finding struct {
	// Policy is the one that holds; the zero value if there is none.
	Policy Policy
	ID     string
	// Err is the trouble that there was in finding it; nil for none. There may
	// be a policy nevertheless: one that was fetched before. RFC 8461 §3.3
	Err *Error
}

// Policies finds the policies of domains. It is safe for concurrent use.
type Policies struct {
	resolver dns.Resolver
	fetch    func(ctx context.Context, domain string) (Policy, error)
	memory   Memory
	log      *slog.Logger

	life     context.Context // of searches
	end      context.CancelFunc
	searches sync.WaitGroup // those that nobody need wait for

	mu      sync.Mutex // not held while anybody is asked
	known   map[string]*entry
	running int  // searches
	ended   bool // none begins any more that outlives who began it
}

// An entry is what is known of a domain.
type entry struct {
	finding Finding
	until   time.Time
	search  *search // nil if it is not looked up now

	failed   string    // the id of the policy that could not be fetched
	trouble  *Error    // why
	notAgain time.Time // before that
}

// New makes Policies. It starts nothing; Run keeps them fresh. fetch is a
// Fetcher's.
func New(r dns.Resolver, fetch func(ctx context.Context, domain string) (Policy, error), m Memory, log *slog.Logger) *Policies {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ps := &Policies{resolver: r, fetch: fetch, memory: m, log: log, known: map[string]*entry{}}
	ps.life, ps.end = context.WithCancel(context.Background())
	return ps
}

// Find gives the policy of a domain, in lower case and A-labels. It looks the
// record up and fetches what is new, once for all who ask at the same time, and
// costs nothing for a while afterwards. What takes long goes on without the
// caller, who gets what is known so far, with an Error of the kind Unknown: the
// policy that was kept, or none. It fails if ctx ends, or the Memory does.
func (ps *Policies) Find(ctx context.Context, now time.Time, domain string) (Finding, error) {
	finding, s, first := ps.enter(now, domain)
	switch {
	case s == nil && first:
		return Finding{}, errors.New("too many policies are being looked up")
	case s == nil:
		return finding, nil
	case first:
		ps.begin(ctx, now, domain, s)
	}
	return s.wait(ctx)
}

// Doubt has the record of a domain looked up again by the next Find: mail could
// not go because of the policy, which may have changed. RFC 8461 §5.1
func (ps *Policies) Doubt(domain string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if e := ps.known[domain]; e != nil {
		e.until = time.Time{}
	}
}

// enter gives what is known of a domain, or the search for it. first says that
// the caller is to begin that: nothing is known, or for too long. Without a
// search there is no room for one then.
func (ps *Policies) enter(now time.Time, domain string) (f Finding, s *search, first bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	e := ps.known[domain]
	if e == nil {
		if !ps.makeRoom() {
			return Finding{}, nil, true
		}
		e = &entry{}
		ps.known[domain] = e
	}
	if e.search == nil && !now.Before(e.until) {
		e.search = newSearch(e)
		return Finding{}, e.search, true
	}
	return e.finding, e.search, false
}

// makeRoom drops what somebody can find out again; mu is held.
func (ps *Policies) makeRoom() bool {
	for domain, e := range ps.known {
		if len(ps.known) < maxKnown {
			break
		}
		if e.search == nil {
			delete(ps.known, domain)
		}
	}
	return len(ps.known) < maxKnown
}

// discover looks at the Memory and the record, and fetches the policy if it is
// new. It is the only one who does so for the domain. known is told what holds
// meanwhile. RFC 8461 §5.1
func (ps *Policies) discover(ctx context.Context, now time.Time, domain string, e *entry, known func(Finding)) (Finding, time.Time, error) {
	kept, holds, err := ps.memory.Load(ctx, domain)
	if err != nil {
		return Finding{}, time.Time{}, fmt.Errorf("policy of %s: %w", domain, err)
	}
	holds = holds && now.Before(kept.Expires())
	if holds {
		known(Finding{Policy: kept.Policy, ID: kept.ID, Err: errNotYet})
	} else {
		known(Finding{Err: errNotYet})
	}
	id, trouble := ps.record(ctx, domain)
	if err := ctx.Err(); err != nil {
		return Finding{}, time.Time{}, err
	}
	until := now.Add(lookAgain)
	switch {
	case trouble != nil && trouble.Problem == Unknown:
		until = now.Add(soon)
	case id == "" || holds && id == kept.ID:
	case id == e.failed && now.Before(e.notAgain):
		trouble, until = e.trouble, e.notAgain
	default:
		fetched, err := ps.get(ctx, now, domain, id)
		if ctx.Err() != nil {
			return Finding{}, time.Time{}, ctx.Err()
		}
		if errors.As(err, &trouble) {
			e.failed, e.trouble, e.notAgain = id, trouble, now.Add(failedAgain)
			until = e.notAgain
			break
		} else if err != nil {
			return Finding{}, time.Time{}, err
		}
		kept, holds = fetched, true
	}
	if !holds {
		return Finding{Err: trouble}, until, nil
	}
	if now.Sub(kept.Used) >= usedEvery {
		kept.Used = now
		if err := ps.memory.Save(ctx, kept); err != nil {
			return Finding{}, time.Time{}, fmt.Errorf("policy of %s: %w", domain, err)
		}
	}
	if expires := kept.Expires(); expires.Before(until) {
		until = later(expires, now.Add(soon)) // one that holds for no time at all is not fetched for each message
	}
	return Finding{Policy: kept.Policy, ID: kept.ID, Err: trouble}, until, nil
}

// record looks the record up; without one, or with one that is none, the id is
// empty.
func (ps *Policies) record(ctx context.Context, domain string) (id string, trouble *Error) {
	records, _, err := ps.resolver.LookupTXT(ctx, RecordName(domain))
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return "", nil
	case err != nil:
		return "", &Error{Unknown, err}
	}
	id, err = ParseRecord(records)
	if err != nil && !errors.Is(err, ErrNoRecord) {
		return "", &Error{Invalid, err}
	}
	return id, nil
}

// get fetches a policy and keeps it.
func (ps *Policies) get(ctx context.Context, now time.Time, domain, id string) (Kept, error) {
	p, err := ps.fetch(ctx, domain)
	if err != nil {
		if ctx.Err() == nil {
			ps.log.Info("MTA-STS policy cannot be fetched", obs.Domain, domain, obs.Err, err)
		}
		return Kept{}, err
	}
	k := Kept{Domain: domain, ID: id, Policy: p, Fetched: now, Tried: now, Used: now}
	if err := ps.memory.Save(ctx, k); err != nil {
		return Kept{}, fmt.Errorf("policy of %s: %w", domain, err)
	}
	return k, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
