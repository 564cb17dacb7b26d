// Package dnstest fakes the world's DNS at its edge: Zone answers from a
// table as a dns.Resolver, and Serve gives the same answers over UDP and TCP
// on loopback, for whole programs under test.
package dnstest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"waxwing/dns"
)

// A Zone is a dns.Resolver that knows exactly these names. Names are in lower
// case without the trailing dot. Change it only before it is used.
type Zone struct {
	MX  map[string][]dns.MX
	A   map[string][]string // addresses, IPv4 and IPv6
	TXT map[string][]string
	PTR map[string][]string // by address

	// Fail holds names whose every lookup fails for the moment.
	Fail map[string]bool

	// Authentic makes all answers but those of Inauthentic authentic.
	Authentic   bool
	Inauthentic map[string]bool
}

var _ dns.Resolver = Zone{}

// LookupMX implements dns.Resolver.
func (z Zone) LookupMX(_ context.Context, name string) ([]dns.MX, dns.Result, error) {
	records, result, err := answer(z, z.MX, name, "MX")
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return records, result, err
}

// LookupAddr implements dns.Resolver.
func (z Zone) LookupAddr(_ context.Context, name string) ([]netip.Addr, dns.Result, error) {
	records, result, err := answer(z, z.A, name, "A")
	var addrs []netip.Addr
	for _, r := range records {
		addrs = append(addrs, netip.MustParseAddr(r))
	}
	return addrs, result, err
}

// LookupTXT implements dns.Resolver.
func (z Zone) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	return answer(z, z.TXT, name, "TXT")
}

// LookupPTR implements dns.Resolver.
func (z Zone) LookupPTR(_ context.Context, ip netip.Addr) ([]string, dns.Result, error) {
	return answer(z, z.PTR, ip.String(), "PTR")
}

func answer[T any](z Zone, table map[string][]T, name, qtype string) ([]T, dns.Result, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if z.Fail[name] {
		return nil, dns.Result{}, &dns.Error{Name: name, Type: qtype, Detail: "made to fail", Err: dns.ErrTemporary}
	}
	result := dns.Result{Authentic: z.Authentic && !z.Inauthentic[name]}
	if records := table[name]; len(records) > 0 {
		return records, result, nil
	}
	return nil, result, &dns.Error{
		Name: name, Type: qtype, NoName: !z.has(name), Detail: "not in the zone", Err: dns.ErrNotFound,
	}
}

func (z Zone) has(name string) bool {
	return len(z.MX[name])+len(z.A[name])+len(z.TXT[name])+len(z.PTR[name]) > 0
}
