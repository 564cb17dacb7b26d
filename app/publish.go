package app

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/app/config"
	"waxwing/dns"
	"waxwing/obs"
	"waxwing/serve/wellknown"
	"waxwing/trust/mtasts"
	"waxwing/trust/records"
)

// policiesOf gives what knows the MTA-STS policies of our domains.
func (a *App) policiesOf() func(domain string) mtasts.Policy {
	c := a.config // as it was at the start: what is published must not change in between
	served := a.sockets.endpoint(serviceHTTPS).Port != 0
	return func(domain string) mtasts.Policy {
		if !served {
			return mtasts.Policy{}
		}
		return policyOf(c, domain)
	}
}

// policyOf gives the policy of a domain as it is configured.
func policyOf(c config.Config, domain string) mtasts.Policy {
	mode := c.ModeOf(domain)
	if mode == config.MTASTSOff {
		return mtasts.Policy{}
	}
	p := mtasts.Policy{Mode: mtasts.Mode(mode), MaxAge: c.MTASTS.MaxAge.Std()}
	for _, host := range append([]string{c.Hostname}, c.MTASTS.MX...) {
		p.MX = append(p.MX, strings.ToLower(strings.TrimSuffix(host, ".")))
	}
	return p
}

// reportsTo chooses the local part that reports of a kind are to go to: one that
// has the word in it, or the first of all, or postmaster.
func reportsTo(list []string, word string) string {
	for _, local := range list {
		if strings.Contains(strings.ToLower(local), word) {
			return local
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return "postmaster"
}

// srvServices are the services that are found by SRV records. RFC 6186 §3.1, RFC
// 8314 §5.1: TLS from the first byte is preferred.
func (a *App) srvServices() []records.Service {
	var list []records.Service
	for _, s := range []struct {
		service, name string
		priority      int
	}{
		{serviceSubmissions, "submissions", 0}, {serviceIMAPS, "imaps", 0}, {servicePOP3S, "pop3s", 10},
		{serviceSubmission, "submission", 10}, {serviceIMAP, "imap", 10}, {servicePOP3, "pop3", 20},
		{serviceHTTPS, "autodiscover", 0},
	} {
		if at := a.sockets.endpoint(s.service); at.Port != 0 {
			list = append(list, records.Service{Name: s.name, Port: at.Port, Priority: s.priority})
		}
	}
	return list
}

// wellKnown puts before the pages what programs ask for under names of our
// domains.
func (a *App) wellKnown(host string, pages http.Handler) http.Handler {
	policy := a.signing.policy
	o := wellknown.Options{
		Domains: a.stores.directory, Host: host,
		Policy: func(domain string) string { return policy(domain).String() },
	}
	for _, s := range []struct {
		service, kind string
		starttls      bool
	}{
		{serviceIMAPS, "imap", false}, {serviceIMAP, "imap", true}, {servicePOP3S, "pop3", false}, {servicePOP3, "pop3", true},
		{serviceSubmissions, "smtp", false}, {serviceSubmission, "smtp", true},
	} {
		if at := a.sockets.endpoint(s.service); at.Port != 0 {
			o.Services = append(o.Services, wellknown.Service{Type: s.kind, Port: at.Port, STARTTLS: s.starttls})
		}
	}
	return wellknown.Handler(o, pages)
}

// How names of our domains get certificates.
const (
	namesEvery = 10 * time.Minute
	// maxNames bounds them, and maxNewNames how many are asked for at once:
	// authorities count.
	maxNames    = 1000
	maxNewNames = 10
)

// A names has certificates hold the names of our domains that are asked for over
// HTTPS, once they lead here.
type names struct {
	app      *App
	resolver dns.Resolver
	host     string
	policy   func(domain string) mtasts.Policy
	held     []string // the names that have certificates, or wait for them
}

func (a *App) openNames(r dns.Resolver) *names {
	return &names{app: a, resolver: r, host: a.config.Hostname, policy: a.signing.policy}
}

// run looks after the names until ctx ends.
func (n *names) run(ctx context.Context) error {
	tick := time.NewTicker(namesEvery)
	defer tick.Stop()
	for {
		if err := n.turn(ctx, time.Now()); err != nil && ctx.Err() == nil {
			n.app.log.Error("the names of domains cannot be looked after", obs.Err, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// turn looks once which names are to have certificates.
func (n *names) turn(ctx context.Context, now time.Time) error {
	certs := n.app.certs
	if certs.fetched == nil && certs.own == nil {
		return nil // they come from files
	}
	wanted, err := n.wanted(ctx)
	if err != nil {
		return err
	}
	n.held = wanted
	if certs.fetched != nil {
		certs.fetched.Further(wanted)
		return nil
	}
	return certs.own.Further(wanted, now)
}

// wanted gives the names of our domains that are to have certificates. An
// authority of our own asks nobody whether they lead here.
func (n *names) wanted(ctx context.Context) ([]string, error) {
	var wanted []string
	added := 0
	for d, err := range n.app.stores.directory.Domains(ctx, "") {
		if err != nil {
			return nil, err
		}
		candidates := []string{wellknown.AutoconfigHost + d.Name}
		if n.policy(d.Name).Mode != "" {
			candidates = append(candidates, wellknown.PolicyHost+d.Name)
		}
		for _, name := range candidates {
			has := slices.Contains(n.held, name)
			switch {
			case len(wanted) >= maxNames:
				return wanted, nil
			case n.app.certs.fetched == nil || has && !n.leadsAway(ctx, name):
				wanted = append(wanted, name)
			case !has && added < maxNewNames && n.leadsHere(ctx, name):
				wanted = append(wanted, name)
				added++
			}
		}
	}
	return wanted, nil
}

// leadsHere tells whether a name has an address that the hostname has.
func (n *names) leadsHere(ctx context.Context, name string) bool {
	there, _, err := n.resolver.LookupAddr(ctx, name)
	if err != nil {
		return false
	}
	here, _, err := n.resolver.LookupAddr(ctx, n.host)
	return err == nil && slices.ContainsFunc(there, func(ip netip.Addr) bool { return slices.Contains(here, ip) })
}

// leadsAway tells whether it is sure that a name does not lead here any more.
func (n *names) leadsAway(ctx context.Context, name string) bool {
	there, _, err := n.resolver.LookupAddr(ctx, name)
	if err != nil {
		return errors.Is(err, dns.ErrNotFound)
	}
	here, _, err := n.resolver.LookupAddr(ctx, n.host)
	return err == nil && !slices.ContainsFunc(there, func(ip netip.Addr) bool { return slices.Contains(here, ip) })
}
