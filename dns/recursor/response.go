package recursor

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns/dnssec"
)

// A kind is what an answer amounts to.
type kind uint8

const (
	positive kind = iota // the records that were asked for
	alias                // a CNAME, or a DNAME above
	noData
	noName
	referral
)

// A response is what one server said to one question, with all taken away that
// it has no say in. It is not validated, and not changed any more.
type response struct {
	name      string
	qtype     uint16
	kind      kind
	noName    bool        // NXDOMAIN, of the end of the aliases
	zone      string      // whose servers were asked
	recursive bool        // a forwarder answered, for all zones
	next      *delegation // of a referral
	answer    []*dnssec.Set
	authority []*dnssec.Set
	server    netip.AddrPort
	ttl       time.Duration
}

var (
	errLame     = errors.New("does not know the zone")
	errNoAnswer = errors.New("its answer says nothing")
)

// read makes a response of a reply. Only names within the zone that was asked
// count. RFC 5452 §6
func read(m *wire.Msg, zone string, recursive bool, name string, qtype uint16) (*response, error) {
	if m.Rcode != wire.RcodeSuccess && m.Rcode != wire.RcodeNameError {
		return nil, fmt.Errorf("answered %s%s", rcodeName(m.Rcode), extendedError(m))
	}
	r := &response{
		name: name, qtype: qtype, zone: zone, recursive: recursive, noName: m.Rcode == wire.RcodeNameError,
		answer: dnssec.Sets(within(m.Answer, zone)), authority: dnssec.Sets(within(m.Ns, zone)),
	}
	if kind, ok := answered(r.answer, name, qtype); ok {
		r.kind, r.ttl = kind, maxTTL
		for _, set := range r.answer {
			if len(set.Records) > 0 {
				r.ttl = min(r.ttl, time.Duration(set.TTL())*time.Second)
			}
		}
		return r, nil
	}
	r.ttl = r.negativeTTL()
	switch {
	case r.noName:
		r.kind = noName
		return r, nil
	case r.soa() != nil:
		r.kind = noData
		return r, nil
	}
	if next := r.delegated(m); next != nil && !recursive {
		r.kind, r.next = referral, next
		return r, nil
	}
	switch {
	case len(m.Answer) == 0 && (m.Authoritative || recursive || r.hasDenials()):
		r.kind = noData
		return r, nil
	case len(m.Ns) > 0:
		return nil, errLame // leads upwards, or to itself
	}
	return nil, errNoAnswer
}

// within leaves out what lies in no part of the zone.
func within(section []wire.RR, zone string) []wire.RR {
	if zone == "." {
		return section
	}
	var kept []wire.RR
	for _, rr := range section {
		if wire.IsSubDomain(zone, rr.Header().Name) {
			kept = append(kept, rr)
		}
	}
	return kept
}

// answered tells whether sets answer a question.
func answered(sets []*dnssec.Set, name string, qtype uint16) (kind, bool) {
	if find(sets, name, qtype) != nil {
		return positive, true
	}
	if find(sets, name, wire.TypeCNAME) != nil || dnameFor(sets, name) != nil {
		return alias, true
	}
	return 0, false
}

// find gives a set that has records.
func find(sets []*dnssec.Set, name string, rrtype uint16) *dnssec.Set {
	for _, s := range sets {
		if s.Type == rrtype && s.Name == name && len(s.Records) > 0 {
			return s
		}
	}
	return nil
}

// dnameFor gives the DNAME set that renames what lies above a name.
func dnameFor(sets []*dnssec.Set, name string) *dnssec.Set {
	for _, s := range sets {
		if s.Type == wire.TypeDNAME && len(s.Records) > 0 && s.Name != name && wire.IsSubDomain(s.Name, name) {
			return s
		}
	}
	return nil
}

func (r *response) soa() *wire.SOA {
	for _, s := range r.authority {
		if s.Type == wire.TypeSOA && len(s.Records) > 0 && wire.IsSubDomain(s.Name, r.name) {
			if soa, ok := s.Records[0].(*wire.SOA); ok {
				return soa
			}
		}
	}
	return nil
}

// hasDenials tells whether there is something like a proof of absence.
func (r *response) hasDenials() bool {
	for _, s := range r.authority {
		if s.Type == wire.TypeNSEC || s.Type == wire.TypeNSEC3 {
			return true
		}
	}
	return false
}

// negativeTTL is how long there is nothing. RFC 2308 §5
func (r *response) negativeTTL() time.Duration {
	soa := r.soa()
	if soa == nil {
		return defaultNegTTL
	}
	return min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, maxNegativeTTL)
}

// delegated reads a referral: the servers of a zone strictly below the one
// that was asked, and above or at the name. Addresses count for servers within
// the zone that was asked only; the others are looked up.
func (r *response) delegated(m *wire.Msg) *delegation {
	for _, set := range r.authority {
		if set.Type != wire.TypeNS || len(set.Records) == 0 || set.Name == r.zone || !wire.IsSubDomain(set.Name, r.name) {
			continue
		}
		d := &delegation{zone: set.Name, ttl: min(time.Duration(set.TTL())*time.Second, maxZoneTTL)}
		for _, rr := range set.Records {
			if ns, ok := rr.(*wire.NS); ok && len(d.servers) < maxServers {
				d.servers = append(d.servers, nameserver{name: wire.CanonicalName(ns.Ns)})
			}
		}
		d.addGlue(m.Extra, r.zone)
		return d
	}
	return nil
}

func rcodeName(rcode int) string {
	if s, ok := wire.RcodeToString[rcode]; ok {
		return s
	}
	return fmt.Sprintf("rcode %d", rcode)
}

// extendedError gives what a server adds to its refusal. RFC 8914
func extendedError(m *wire.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	for _, o := range opt.Option {
		if ede, ok := o.(*wire.EDNS0_EDE); ok {
			return fmt.Sprintf(" (%s)", wire.ExtendedErrorCodeToString[ede.InfoCode])
		}
	}
	return ""
}
