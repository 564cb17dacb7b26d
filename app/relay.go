package app

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"waxwing/app/config"
	"waxwing/flow/relay"
)

// relayOptions says how mail goes out.
func (a *App) relayOptions(routes relay.Routes) relay.Options {
	r := a.config.Relay
	o := relay.Options{
		Hostname: a.config.Hostname, Port: r.Port, Log: a.log, Trace: a.stores.trace, Routes: routes, DelayWarning: r.DelayWarning.Std(),
		Attempts: r.AtOnce, PerDestination: r.PerDestination,
		Schedule: relay.Schedule{
			First: r.Retry.Std(), Factor: r.RetryFactor, Longest: r.RetryLongest.Std(), Jitter: r.RetryJitter,
			Lifetime: r.GiveUp.Std(), BounceLifetime: r.GiveUpBounces.Std(),
		},
	}
	if r.RetryJitter == 0 {
		o.Schedule.Jitter = -1
	}
	for _, s := range r.Schedules {
		o.Schedules = append(o.Schedules, relay.DomainSchedule{Domain: s.Domain, Schedule: relay.Schedule{
			First: s.Retry.Std(), Factor: s.RetryFactor, Longest: s.RetryLongest.Std(), Lifetime: s.GiveUp.Std(),
		}})
	}
	return o
}

// routesOf reads the routes, with their passwords.
func routesOf(list []config.Route) (relay.Routes, error) {
	var routes relay.Routes
	for _, c := range list {
		r, err := relay.ParseRoute(c.Domain, c.To)
		if err != nil {
			return nil, err
		}
		r.Recipient, r.Sender, r.SenderDomain, r.Hello = c.Recipient, c.Sender, strings.ToLower(c.SenderDomain), c.Hello
		for _, s := range c.Sources {
			ip, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("route to %s: %w", c.To, err)
			}
			r.Sources = append(r.Sources, ip)
		}
		switch c.TLS {
		case config.TLSOpportunistic:
			r.Security = relay.Opportunistic
		case config.TLSRequire:
			r.Security = relay.Encrypted
		case config.TLSVerify:
			r.Security = relay.Verified
		default:
			if c.User != "" {
				r.Security = relay.Verified
			}
		}
		if c.User != "" {
			secret, err := os.ReadFile(c.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("password for the route to %s: %w", c.To, err)
			}
			r.User, r.Password = c.User, strings.TrimRight(string(secret), "\r\n")
		}
		routes = append(routes, r)
	}
	return routes, nil
}

// readProxies reads who speaks for clients.
func (a *App) readProxies() (err error) {
	if a.proxies.trusted, err = config.Networks(a.config.Proxy.Trusted); err != nil {
		return err
	}
	a.proxies.xclient, err = config.Networks(a.config.Proxy.XCLIENT)
	return err
}
