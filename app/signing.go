package app

import (
	"context"
	"crypto"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/store/directory"
	"waxwing/store/dkimkeys"
	"waxwing/trust/dkim"
	"waxwing/trust/mtasts"
	"waxwing/trust/records"
)

// A signing is how the mail of our domains is signed, and by which keys.
type signing struct {
	*dkimkeys.Store
	schedule dkimkeys.Schedule
	off      []string // domains that are not signed for
	resolver resolver

	server    *serverKeys
	host      string
	addresses []netip.Addr
	services  []records.Service
	policy    func(domain string) mtasts.Policy
	fetcher   *mtasts.Fetcher // of policies, as others do
	dmarcTo   string          // local parts that reports go to
	tlsTo     string

	warned map[string]time.Time // domains, when their keys were complained of last; runSigning's alone
}

// settle is for how long the record of a key was seen before the key follows
// another: longer than resolvers remember that there was none. RFC 2308 §5
const settle = 3 * time.Hour

func (a *App) openSigning(r resolver, server *serverKeys) *signing {
	c := a.config.DKIM
	return &signing{
		Store: dkimkeys.New(a.stores.db), off: c.Off, resolver: r, server: server,
		warned:   map[string]time.Time{},
		schedule: dkimkeys.Schedule{Rotate: c.Rotate.Std(), Settle: settle, Overlap: c.Overlap.Std()},
		host:     a.config.Hostname, addresses: publicAddresses(), services: a.srvServices(),
		policy: a.policiesOf(), fetcher: mtasts.NewFetcher(r, mtasts.FetchOptions{}), dmarcTo: reportsTo(a.config.Reports.Addresses, "dmarc"), tlsTo: reportsTo(a.config.Reports.Addresses, "tls"),
	}
}

// signs tells whether we sign for a domain.
func (s *signing) signs(domain string) bool {
	return !slices.ContainsFunc(s.off, func(off string) bool { return strings.EqualFold(off, domain) })
}

// Signing gives the keys that sign for a domain.
func (s *signing) Signing(ctx context.Context, now time.Time, domain string) ([]dkim.SigningKey, error) {
	if !s.signs(domain) {
		return nil, nil
	}
	return s.Store.Signing(ctx, now, domain)
}

// Advance moves the keys of a domain on, as far as time and the DNS permit, and
// makes the first ones.
func (s *signing) Advance(ctx context.Context, now time.Time, domain string) ([]dkimkeys.Step, error) {
	if !s.signs(domain) {
		return nil, nil
	}
	return s.Store.Advance(ctx, now, domain, s.schedule, s.published)
}

// published looks whether the DNS has a key's record.
func (s *signing) published(ctx context.Context, k dkimkeys.Key) (bool, error) {
	found, _, err := dkim.LookupKey(ctx, s.resolver, k.Domain, k.Selector)
	if problem, ok := errors.AsType[*dkim.KeyError](err); ok && problem.Temporary {
		return false, err
	}
	if err != nil {
		return false, nil // there is none, or what is there cannot be read
	}
	public, ok := found.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(k.Signing().Private.Public()), nil
}

// ToDo says what an operator has to do about a key.
func (s *signing) ToDo(k dkimkeys.Key) string {
	switch {
	case !s.signs(k.Domain):
		return "nothing: the domain is in dkim.off, and nothing is signed for it here"
	case k.State == dkimkeys.Made:
		return "publish its record; it signs once that is seen in the DNS"
	case k.State == dkimkeys.Published:
		return "nothing: its record is seen, and it signs soon"
	case k.State == dkimkeys.Used:
		return "nothing: it signs; its record must stay"
	}
	return "leave its record until " + k.Retired.Add(s.schedule.Overlap).UTC().Format(time.DateOnly) + ", and remove it then"
}

// Published gives what there is to publish about a domain.
func (s *signing) Published(ctx context.Context, domain string) (records.Domain, error) {
	d := records.Domain{
		Name: domain, Host: s.host, Addresses: s.addresses, Services: s.services, Chain: s.server.chain(), Policy: s.policy(domain),
		Autoconfig: slices.ContainsFunc(s.services, func(v records.Service) bool { return v.Name == "autodiscover" }), // both need HTTPS
		DMARCTo:    s.dmarcTo, TLSTo: s.tlsTo,
	}
	var err error
	if d.TLSKeys, err = s.server.published(ctx); err != nil {
		return d, err
	}
	if !s.signs(domain) {
		return d, nil
	}
	keys, err := s.Keys(ctx, domain)
	d.Keys = published(keys)
	return d, err
}

// published gives keys as they are to be published.
func published(keys []dkimkeys.Key) []records.Key {
	var all []records.Key
	for _, k := range keys {
		state := map[dkimkeys.State]string{
			dkimkeys.Made: "a key that signs once the record is seen", dkimkeys.Published: "a key that signs soon",
			dkimkeys.Used: "the key that signs", dkimkeys.Retired: "a key that has signed, for what is still under way",
		}[k.State]
		all = append(all, records.Key{Selector: k.Selector, Record: k.Record, State: state + " (" + k.Algorithm + ")", Retired: k.State == dkimkeys.Retired})
	}
	return all
}

// Check compares what there is to publish with what the DNS has.
func (s *signing) Check(ctx context.Context, now time.Time, d records.Domain) []records.Finding {
	return records.Checker{Source: s.resolver, Now: now, Policy: s.fetcher.Fetch}.Check(ctx, d)
}

// How often keys are looked after, and how often while the record of one is
// waited for.
const (
	keysEvery  = time.Hour
	keysSooner = 5 * time.Minute
)

// runSigning looks after the keys of all domains until ctx ends. Several
// servers that share a store may do so at once.
func (a *App) runSigning(ctx context.Context) error {
	for {
		wait := keysEvery
		if a.advanceAll(ctx, a.signing) {
			wait = keysSooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// advanceAll moves the keys of all domains on, and drops those of domains that
// are no longer ours. It tells whether the record of a key is waited for.
func (a *App) advanceAll(ctx context.Context, s *signing) (waiting bool) {
	for domain, err := range a.stores.directory.Domains(ctx, "") {
		if err == nil {
			var steps []dkimkeys.Step
			steps, err = s.Advance(ctx, time.Now(), domain.Name)
			a.tellSteps(steps)
			a.alarm(ctx, time.Now(), s, domain.Name)
		}
		if err != nil && ctx.Err() == nil {
			waiting = true // for the DNS, most likely
			a.log.Info("signing keys cannot be looked after", obs.Domain, domain.Name, obs.Err, err)
		}
		if ctx.Err() != nil {
			return false
		}
	}
	keys, err := s.Keys(ctx, "")
	if err != nil && ctx.Err() == nil {
		a.log.Error("signing keys cannot be read", obs.Err, err)
	}
	gone := map[string]bool{}
	for _, k := range keys {
		waiting = waiting || k.State == dkimkeys.Made
		_, err := a.stores.directory.Domain(ctx, k.Domain)
		if !errors.Is(err, directory.ErrNotFound) || gone[k.Domain] {
			continue
		}
		gone[k.Domain] = true
		if err := s.RemoveDomain(ctx, k.Domain); err != nil {
			a.log.Error("the signing keys of a domain that is gone cannot be removed", obs.Domain, k.Domain, obs.Err, err)
		}
	}
	return waiting
}

// alarm says once a day if the record of a key that signs is not in the DNS: what
// is signed with it is not believed.
func (a *App) alarm(ctx context.Context, now time.Time, s *signing, domain string) {
	if now.Sub(s.warned[domain]) < 24*time.Hour || !s.signs(domain) {
		return
	}
	keys, err := s.Keys(ctx, domain)
	if err != nil {
		return // it is told of elsewhere
	}
	for _, k := range keys {
		if k.State != dkimkeys.Used {
			continue
		}
		if there, err := s.published(ctx, k); err == nil && !there {
			s.warned[domain] = now
			a.log.Error("the record of a key that signs is not in the DNS: nobody can verify our signatures; see waxwing dns --check",
				obs.Domain, domain, "selector", k.Selector, "algorithm", k.Algorithm)
		}
	}
}

// tellSteps writes into the log what has happened to keys.
func (a *App) tellSteps(steps []dkimkeys.Step) {
	for _, step := range steps {
		a.log.Info("signing key", obs.Domain, step.Key.Domain, "selector", step.Key.Selector, "algorithm", step.Key.Algorithm, "step", step.What)
	}
}
