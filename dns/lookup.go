package dns

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	wire "github.com/miekg/dns"
)

// An Answer is what was found out about one name and type. Answers may be
// shared: they are not changed.
type Answer struct {
	Records []wire.RR // of the type that was asked for; none is an answer too
	Name    string    // at the end of the aliases, canonical
	NoName  bool      // the name does not exist at all
	Detail  string    // why there are no records, in words
	Finding Finding
	Asked   Security // of the first step alone
}

// A Source finds records out. Names are absolute, with or without the trailing
// dot. Its errors wrap ErrTemporary; that there is no such record is an answer,
// and so is Bogus, which comes without records.
type Source interface {
	Resolve(ctx context.Context, name string, qtype uint16) (*Answer, error)
}

// A rememberer is a Source that knows whether it would answer from memory.
type rememberer interface {
	Remembers(name string, qtype uint16) bool
}

// Lookups is a Resolver made of a Source.
type Lookups struct{ source Source }

var _ Resolver = Lookups{}

// NewLookups gives the lookups that stand on a source.
func NewLookups(s Source) Lookups { return Lookups{s} }

// lookup gives records, of which there is at least one unless it fails.
func (l Lookups) lookup(ctx context.Context, name string, qtype uint16) ([]wire.RR, Result, error) {
	a, err := l.source.Resolve(ctx, name, qtype)
	if err != nil {
		return nil, Result{}, err
	}
	result := Result{
		Authentic: a.Finding.Security == Secure, Security: a.Finding.Security, Reason: a.Finding.Reason, Code: a.Finding.Code,
		Name: hostName(a.Name), Asked: a.Asked,
	}
	if result.Security == Bogus {
		return nil, result, &Error{
			Name: wire.CanonicalName(name), Type: wire.Type(qtype).String(), Detail: "bogus: " + result.Reason, Code: result.Code, Err: ErrTemporary,
		}
	}
	if len(a.Records) == 0 {
		return nil, result, &Error{
			Name: wire.CanonicalName(name), Type: wire.Type(qtype).String(), NoName: a.NoName, Detail: a.Detail, Err: ErrNotFound,
		}
	}
	return a.Records, result, nil
}

// LookupMX implements Resolver. Exchangers of one preference come in random
// order, RFC 5321 §5.1.
func (l Lookups) LookupMX(ctx context.Context, name string) ([]MX, Result, error) {
	records, result, err := l.lookup(ctx, name, wire.TypeMX)
	if err != nil {
		return nil, result, err
	}
	var all []MX
	for _, rr := range records {
		if mx, ok := rr.(*wire.MX); ok {
			all = append(all, MX{Host: hostName(mx.Mx), Preference: mx.Preference})
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return all, result, nil
}

// LookupAddr implements Resolver. IPv6 and IPv4 addresses alternate, IPv6
// first, as RFC 8305 §4 sorts them.
func (l Lookups) LookupAddr(ctx context.Context, name string) ([]netip.Addr, Result, error) {
	type outcome struct {
		addrs  []netip.Addr
		result Result
		err    error
	}
	six := make(chan outcome, 1)
	ask := func() {
		addrs, result, err := l.addresses(ctx, name, wire.TypeAAAA)
		six <- outcome{addrs, result, err}
	}
	if r, ok := l.source.(rememberer); ok && r.Remembers(name, wire.TypeAAAA) {
		ask() // sooner done than a goroutine is begun
	} else {
		go ask()
	}
	v4, result4, err4 := l.addresses(ctx, name, wire.TypeA)
	v6 := <-six

	result := result4
	if result4.Security.Weaker(v6.result.Security) != result4.Security {
		result = v6.result
	}
	switch {
	case len(v4) > 0 && len(v6.addrs) > 0:
		return interleave(v6.addrs, v4), result, nil
	case len(v4) > 0:
		return v4, result4, nil
	case len(v6.addrs) > 0:
		return v6.addrs, v6.result, nil
	case errors.Is(v6.err, ErrTemporary):
		return nil, result, v6.err
	}
	return nil, result, err4
}

// LookupFamily implements Resolver.
func (l Lookups) LookupFamily(ctx context.Context, name string, f Family) ([]netip.Addr, Result, error) {
	if f == IPv6 {
		return l.addresses(ctx, name, wire.TypeAAAA)
	}
	return l.addresses(ctx, name, wire.TypeA)
}

func (l Lookups) addresses(ctx context.Context, name string, qtype uint16) ([]netip.Addr, Result, error) {
	records, result, err := l.lookup(ctx, name, qtype)
	if err != nil {
		return nil, result, err
	}
	var addrs []netip.Addr
	for _, rr := range records {
		switch rr := rr.(type) {
		case *wire.A:
			if ip, ok := netip.AddrFromSlice(rr.A.To4()); ok {
				addrs = append(addrs, ip)
			}
		case *wire.AAAA:
			if ip, ok := netip.AddrFromSlice(rr.AAAA); ok {
				addrs = append(addrs, ip)
			}
		}
	}
	return addrs, result, nil
}

func interleave(a, b []netip.Addr) []netip.Addr {
	all := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i])
		}
	}
	return all
}

// LookupTXT implements Resolver; the strings of one record are joined, as
// RFC 7208 §3.3 wants.
func (l Lookups) LookupTXT(ctx context.Context, name string) ([]string, Result, error) {
	records, result, err := l.lookup(ctx, name, wire.TypeTXT)
	if err != nil {
		return nil, result, err
	}
	var all []string
	for _, rr := range records {
		if txt, ok := rr.(*wire.TXT); ok {
			all = append(all, unescape(strings.Join(txt.Txt, "")))
		}
	}
	return all, result, nil
}

// unescape undoes the escapes of presentation format that the library leaves
// in strings. RFC 1035 §5.1
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + (s[i+3] - '0'))
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// LookupPTR implements Resolver.
func (l Lookups) LookupPTR(ctx context.Context, ip netip.Addr) ([]string, Result, error) {
	name, err := wire.ReverseAddr(ip.WithZone("").String())
	if err != nil {
		return nil, Result{}, &Error{Name: ip.String(), Type: "PTR", NoName: true, Detail: "not an address", Err: ErrNotFound}
	}
	records, result, err := l.lookup(ctx, name, wire.TypePTR)
	if err != nil {
		return nil, result, err
	}
	var names []string
	for _, rr := range records {
		if ptr, ok := rr.(*wire.PTR); ok {
			names = append(names, hostName(ptr.Ptr))
		}
	}
	return names, result, nil
}

// LookupTLSA implements Resolver.
func (l Lookups) LookupTLSA(ctx context.Context, name string) ([]TLSA, Result, error) {
	records, result, err := l.lookup(ctx, name, wire.TypeTLSA)
	if err != nil {
		return nil, result, err
	}
	var all []TLSA
	for _, rr := range records {
		if tlsa, ok := rr.(*wire.TLSA); ok {
			if data, err := hex.DecodeString(tlsa.Certificate); err == nil {
				all = append(all, TLSA{tlsa.Usage, tlsa.Selector, tlsa.MatchingType, data})
			}
		}
	}
	return all, result, nil
}

// hostName gives a name in the form that answers have: lower case, without
// the trailing dot; the root is ".".
func hostName(name string) string {
	name = strings.ToLower(name)
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
