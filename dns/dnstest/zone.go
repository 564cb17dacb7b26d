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
	// TLSA has names such as "_25._tcp.mx.example.test".
	TLSA map[string][]dns.TLSA
	// Alias leads from a name to another; one step only.
	Alias map[string]string

	// Fail holds names whose every lookup fails for the moment.
	Fail map[string]bool

	// Authentic makes all answers but those of Inauthentic authentic.
	Authentic   bool
	Inauthentic map[string]bool
	// Bogus holds names whose every lookup fails validation.
	Bogus map[string]bool
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

// LookupFamily implements dns.Resolver.
func (z Zone) LookupFamily(ctx context.Context, name string, f dns.Family) ([]netip.Addr, dns.Result, error) {
	all, result, err := z.LookupAddr(ctx, name)
	some := slices.DeleteFunc(all, func(a netip.Addr) bool { return dns.FamilyOf(a) != f })
	if err == nil && len(some) == 0 {
		return nil, result, &dns.Error{Name: name, Type: "A", Detail: "of the other family only", Err: dns.ErrNotFound}
	}
	return some, result, err
}

// LookupTXT implements dns.Resolver.
func (z Zone) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	return answer(z, z.TXT, name, "TXT")
}

// LookupPTR implements dns.Resolver.
func (z Zone) LookupPTR(_ context.Context, ip netip.Addr) ([]string, dns.Result, error) {
	return answer(z, z.PTR, ip.String(), "PTR")
}

// LookupTLSA implements dns.Resolver.
func (z Zone) LookupTLSA(_ context.Context, name string) ([]dns.TLSA, dns.Result, error) {
	return answer(z, z.TLSA, name, "TLSA")
}

func answer[T any](z Zone, table map[string][]T, name, qtype string) ([]T, dns.Result, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	result := z.result(name)
	result.Asked = result.Security
	if target := z.Alias[name]; target != "" {
		if !z.Fail[name] && !z.Bogus[name] {
			name = target
		}
		if end := z.result(name); result.Security.Weaker(end.Security) != result.Security {
			result.Security, result.Authentic = end.Security, end.Authentic
		}
	}
	result.Name = name
	if z.Fail[name] {
		return nil, dns.Result{}, &dns.Error{Name: name, Type: qtype, Detail: "made to fail", Err: dns.ErrTemporary}
	}
	if z.Bogus[name] {
		result = dns.Result{Security: dns.Bogus, Reason: "made bogus", Code: 6, Name: name, Asked: dns.Bogus}
		return nil, result, &dns.Error{Name: name, Type: qtype, Detail: "bogus: made bogus", Code: 6, Err: dns.ErrTemporary}
	}
	if records := table[name]; len(records) > 0 {
		return records, result, nil
	}
	return nil, result, &dns.Error{
		Name: name, Type: qtype, NoName: !z.has(name), Detail: "not in the zone", Err: dns.ErrNotFound,
	}
}

func (z Zone) result(name string) dns.Result {
	if z.Authentic && !z.Inauthentic[name] {
		return dns.Result{Authentic: true, Security: dns.Secure}
	}
	return dns.Result{Security: dns.Insecure, Reason: "the zone is not signed"}
}

func (z Zone) has(name string) bool {
	return len(z.MX[name])+len(z.A[name])+len(z.TXT[name])+len(z.PTR[name])+len(z.TLSA[name]) > 0
}
