package verify

import (
	"context"
	"errors"
	"net/netip"

	"waxwing/dns"
)

// noTime is the context of who cannot wait.
var noTime = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// A recall asks a resolver what it remembers, with noTime: it notes whether that
// was all. What is missed is being looked up by then, so that it is there sooner
// for who asks and waits.
type recall struct {
	resolver dns.Resolver
	missed   bool
}

func (r *recall) note(err error) {
	r.missed = r.missed || errors.Is(err, context.Canceled)
}

func (r *recall) LookupMX(ctx context.Context, name string) ([]dns.MX, dns.Result, error) {
	found, result, err := r.resolver.LookupMX(ctx, name)
	r.note(err)
	return found, result, err
}

func (r *recall) LookupAddr(ctx context.Context, name string) ([]netip.Addr, dns.Result, error) {
	found, result, err := r.resolver.LookupAddr(ctx, name)
	r.note(err)
	return found, result, err
}

func (r *recall) LookupFamily(ctx context.Context, name string, f dns.Family) ([]netip.Addr, dns.Result, error) {
	found, result, err := r.resolver.LookupFamily(ctx, name, f)
	r.note(err)
	return found, result, err
}

func (r *recall) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	found, result, err := r.resolver.LookupTXT(ctx, name)
	r.note(err)
	return found, result, err
}

func (r *recall) LookupPTR(ctx context.Context, ip netip.Addr) ([]string, dns.Result, error) {
	found, result, err := r.resolver.LookupPTR(ctx, ip)
	r.note(err)
	return found, result, err
}

func (r *recall) LookupTLSA(ctx context.Context, name string) ([]dns.TLSA, dns.Result, error) {
	found, result, err := r.resolver.LookupTLSA(ctx, name)
	r.note(err)
	return found, result, err
}
