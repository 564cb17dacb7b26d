package records

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/trust/mtasts"
)

// A State is what the DNS has of a record.
type State string

// The states.
const (
	OK        State = "ok"
	Missing   State = "missing"   // it is not there
	Different State = "different" // something else is there
	Unknown   State = "unknown"   // it could not be looked up
)

// A Finding is what the DNS has of one record.
type Finding struct {
	Record Record
	State  State
	Found  []string // the data of what is there
	// Mend says in words what to do; also something that might be better, of a
	// record that is right.
	Mend string
	// Security is that of the answer, as DNSSEC has it: "secure", "insecure"
	// or "bogus".
	Security string
}

// Wrong tells whether something has to be done.
func (f Finding) Wrong() bool { return f.State != OK && !f.Record.Optional }

// A Checker looks records up. Both resolvers of package dns are sources.
type Checker struct {
	Source dns.Source
	Now    time.Time
	// Policy fetches the MTA-STS policy of a domain as others do; may be nil.
	Policy func(ctx context.Context, domain string) (mtasts.Policy, error)
}

// Check compares a domain's records with what the DNS has. The findings are in
// the order of the records; after them come those on the server's name, and on
// the zones' signatures.
func (c Checker) Check(ctx context.Context, d Domain) []Finding {
	list := For(d)
	findings := make([]Finding, len(list))
	var looking sync.WaitGroup
	for i, r := range list {
		looking.Go(func() { findings[i] = c.record(ctx, d, r) })
	}
	looking.Wait()
	return append(append(findings, c.names(ctx, d)...), c.signed(ctx, d)...)
}

// record looks one record up.
func (c Checker) record(ctx context.Context, d Domain, r Record) Finding {
	f := Finding{Record: r}
	wanted, err := wire.NewRR(r.Line())
	if err != nil || wanted == nil {
		f.State, f.Mend = Unknown, fmt.Sprintf("the record cannot be written: %v", err)
		return f
	}
	answer, err := c.Source.Resolve(ctx, r.Name, wanted.Header().Rrtype)
	if err != nil {
		f.State, f.Mend = Unknown, "it could not be looked up: "+err.Error()
		return f
	}
	f.Security = answer.Finding.Security.String()
	if answer.Finding.Security == dns.Bogus {
		f.State, f.Mend = Unknown, "the zone's signatures are wrong, so that careful servers do not see the record: "+answer.Finding.Reason
		return f
	}
	for _, rr := range answer.Records {
		f.Found = append(f.Found, dataOf(rr))
	}
	c.judge(ctx, d, &f, wanted, answer)
	return f
}

// dataOf gives a record's data as a zone file holds it.
func dataOf(rr wire.RR) string {
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// same tells whether two records say the same.
func same(a, b wire.RR) bool {
	return strings.EqualFold(dataOf(a), dataOf(b))
}

// names checks that the server's addresses lead back to its name: others
// distrust mail without that.
func (c Checker) names(ctx context.Context, d Domain) []Finding {
	var findings []Finding
	lookups := dns.NewLookups(c.Source)
	addresses, _, err := lookups.LookupAddr(ctx, d.Host)
	if err != nil && len(d.Addresses) == 0 {
		f := Finding{Record: Record{Name: zoneName(d.Host), Type: "A", Why: "the server's address"}, State: Missing}
		f.Mend = "publish the public IPv4 address of the server as A, and its IPv6 address, if it has one, as AAAA"
		if !errors.Is(err, dns.ErrNotFound) {
			f.State, f.Mend = Unknown, "it could not be looked up: "+err.Error()
		}
		findings = append(findings, f)
	}
	for _, ip := range addresses {
		findings = append(findings, c.reverse(ctx, lookups, d, ip))
	}
	return findings
}

// reverse checks one address.
func (c Checker) reverse(ctx context.Context, lookups dns.Resolver, d Domain, ip netip.Addr) Finding {
	name, err := wire.ReverseAddr(ip.String())
	if err != nil {
		name = ip.String()
	}
	host := zoneName(d.Host)
	f := Finding{Record: Record{Name: name, Type: "PTR", Data: host, Why: "the address " + ip.String() + " leads back to the server's name"}}
	found, result, err := lookups.LookupPTR(ctx, ip)
	f.Security = result.Security.String()
	for _, n := range found {
		f.Found = append(f.Found, n+".")
	}
	switch {
	case errors.Is(err, dns.ErrTemporary):
		f.State, f.Mend = Unknown, "it could not be looked up: "+err.Error()
	case slices.Contains(f.Found, host):
		f.State = OK
	case len(found) == 0:
		f.State, f.Mend = Missing, "ask whoever gave you the address "+ip.String()+" (your provider) to let it lead back to "+host
	default:
		f.State, f.Mend = Different, "ask whoever gave you the address "+ip.String()+" (your provider) to let it lead back to "+host+" in place of "+strings.Join(f.Found, " ")
	}
	return f
}

// signed tells whether the zones are signed with DNSSEC, which is advice.
func (c Checker) signed(ctx context.Context, d Domain) []Finding {
	names := []string{zoneName(d.Name)}
	if host := zoneName(d.Host); host != names[0] && !wire.IsSubDomain(names[0], host) {
		names = append(names, host)
	}
	var findings []Finding
	for _, name := range names {
		f := Finding{State: OK, Record: Record{Name: name, Type: "DNSSEC", Optional: true, Why: "nobody can forge the records of the zone"}}
		answer, err := c.Source.Resolve(ctx, name, wire.TypeSOA)
		switch {
		case err != nil:
			f.State, f.Mend = Unknown, "it could not be looked up: "+err.Error()
		case answer.Finding.Security == dns.Secure:
			f.Security = answer.Finding.Security.String()
		case answer.Finding.Security == dns.Bogus:
			f.State, f.Security = Different, answer.Finding.Security.String()
			f.Record.Optional = false
			f.Mend = "the zone is signed, and the signatures are wrong: careful servers do not see it at all. Mend it where the zone is kept: " + answer.Finding.Reason
		default:
			f.State, f.Security = Missing, answer.Finding.Security.String()
			f.Mend = "have the zone signed where it is kept, and its DS record published by your registrar; TLSA records count only then"
		}
		findings = append(findings, f)
	}
	return findings
}
