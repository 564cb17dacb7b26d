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

// policyOf gives the MTA-STS policy of a domain of ours.
func (a *App) policyOf(domain string) mtasts.Policy {
	c := a.config
	mode := c.ModeOf(domain)
	if mode == config.MTASTSOff || a.sockets.endpoint(serviceHTTPS).Port == 0 {
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
	o := wellknown.Options{
		Domains: a.stores.directory, Host: host,
		Policy: func(domain string) string { return a.policyOf(domain).String() },
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

// runNames has certificates hold the names of our domains that are asked for
// over HTTPS, once they lead here.
func (a *App) runNames(ctx context.Context, r dns.Resolver) error {
	tick := time.NewTicker(namesEvery)
	defer tick.Stop()
	var held []string
	for {
		names, err := a.namesOf(ctx, r, held)
		switch {
		case err != nil && ctx.Err() == nil:
			a.log.Error("the domains cannot be read", obs.Err, err)
		case err == nil && a.certs.fetched != nil:
			a.certs.fetched.Further(names)
			held = names
		case err == nil && a.certs.own != nil:
			if err := a.certs.own.Further(names, time.Now()); err != nil {
				a.log.Error("a certificate cannot be made", obs.Err, err)
			}
			held = names
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// namesOf gives the names of our domains that are to have certificates. held are
// those that have.
func (a *App) namesOf(ctx context.Context, r dns.Resolver, held []string) ([]string, error) {
	var names []string
	added := 0
	for d, err := range a.stores.directory.Domains(ctx, "") {
		if err != nil {
			return nil, err
		}
		candidates := []string{wellknown.AutoconfigHost + d.Name}
		if a.config.ModeOf(d.Name) != config.MTASTSOff {
			candidates = append(candidates, wellknown.PolicyHost+d.Name)
		}
		for _, name := range candidates {
			has := slices.Contains(held, name)
			switch {
			case len(names) >= maxNames:
				return names, nil
			case a.certs.fetched == nil || has && !a.leadsAway(ctx, r, name):
				names = append(names, name) // an authority of our own asks nobody
			case !has && added < maxNewNames && a.leadsHere(ctx, r, name):
				names = append(names, name)
				added++
			}
		}
	}
	return names, nil
}

// leadsHere tells whether a name has an address that the hostname has.
func (a *App) leadsHere(ctx context.Context, r dns.Resolver, name string) bool {
	there, _, err := r.LookupAddr(ctx, name)
	if err != nil {
		return false
	}
	here, _, err := r.LookupAddr(ctx, a.config.Hostname)
	return err == nil && slices.ContainsFunc(there, func(ip netip.Addr) bool { return slices.Contains(here, ip) })
}

// leadsAway tells whether it is sure that a name does not lead here any more.
func (a *App) leadsAway(ctx context.Context, r dns.Resolver, name string) bool {
	_, _, err := r.LookupAddr(ctx, name)
	return errors.Is(err, dns.ErrNotFound) || err == nil && !a.leadsHere(ctx, r, name)
}
