package app

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	wire "github.com/miekg/dns"

	"waxwing/app/config"
	"waxwing/dns"
	"waxwing/dns/recursor"
	"waxwing/obs"
)

// anchorFile is where, in the data directory, the keys are that proofs of the
// DNS begin with.
const anchorFile = "dns-anchors"

// A resolver answers what callers usually ask, and everything else.
type resolver interface {
	dns.Resolver
	dns.Source
}

// openResolver makes the resolver that is configured. One that proves answers
// has to be kept running too.
func (a *App) openResolver() (resolver, error) {
	c := a.config.DNS
	if c.How() == config.ResolveStub {
		return dns.NewStub(dns.StubOptions{Servers: a.resolvers()})
	}
	o := recursor.Options{
		CacheBytes: int(c.Cache), Stale: c.Stale.Std(), MixedCase: c.MixedCase,
		AnchorFile: filepath.Join(a.config.Data, anchorFile), Log: a.log,
	}
	if c.TrustAnchors != "" {
		text, err := os.ReadFile(c.TrustAnchors)
		if err != nil {
			return nil, fmt.Errorf("dns.trust_anchors: %w", err)
		}
		o.Anchors = string(text)
	}
	if c.How() == config.ResolveForward {
		var servers []netip.AddrPort
		for _, s := range a.resolvers() {
			at, err := netip.ParseAddrPort(s)
			if err != nil {
				return nil, fmt.Errorf("DNS server %q: %w", s, err)
			}
			servers = append(servers, at)
		}
		o.Forward = map[string][]netip.AddrPort{".": servers}
	}
	r, err := recursor.New(o)
	if err != nil {
		return nil, err
	}
	a.workers = append(a.workers, worker{"dns", r.Run})
	if c.How() == config.ResolveForward {
		a.workers = append(a.workers, worker{"dns probe", func(ctx context.Context) error { return a.probeForwarder(ctx, r) }})
	}
	return r, nil
}

// probeForwarder says in the log if the configured servers keep signatures
// from us, which would make every lookup of a signed name fail.
func (a *App) probeForwarder(ctx context.Context, r *recursor.Resolver) error {
	answer, err := r.Resolve(ctx, ".", wire.TypeSOA)
	switch {
	case err != nil && ctx.Err() == nil:
		a.log.Warn("the configured DNS servers do not answer", "servers", a.resolvers(), obs.Err, err)
	case err == nil && answer.Finding.Security != dns.Secure:
		a.log.Error("the configured DNS servers do not pass signatures on: set dns.mode to \"recursive\", or to \"stub\" to believe them",
			"servers", a.resolvers(), "reason", answer.Finding.Reason)
	}
	<-ctx.Done()
	return ctx.Err()
}

// resolvers are the servers that are asked: the configured one, or those of
// the machine.
func (a *App) resolvers() []string {
	if a.config.DNS.Resolver != "" {
		return []string{a.config.DNS.Resolver}
	}
	servers, err := dns.SystemServers()
	if err == nil {
		return servers
	}
	const local = "127.0.0.1:53" // what resolv.conf(5) says when it names none
	a.log.Warn("no DNS server is known, asking this machine", "server", local, obs.Err, err)
	return []string{local}
}
