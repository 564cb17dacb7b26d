package recursor

import (
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns/dnssec"
)

// A link is one step of an answer: the records at a name, or the alias that
// leads on, or that there is nothing.
type link struct {
	name   string
	qtype  uint16
	kind   kind
	set    *dnssec.Set // the records, the CNAME or the DNAME; nil for nothing
	target string      // of an alias
	// authority holds the proofs that come with it.
	authority []*dnssec.Set
	ttl       time.Duration
}

// links cuts a response at its aliases. The last link may be an alias whose
// target is asked for by itself: what a server says of names that are not in
// its zone does not count, and what it leaves out may be elsewhere.
func links(r *response) []link {
	var all []link
	name := r.name
	for range maxAliases {
		l := link{name: name, qtype: r.qtype, authority: r.authority}
		switch set := find(r.answer, name, r.qtype); {
		case set != nil:
			l.kind, l.set = positive, set
		case l.alias(r.answer):
		case len(all) == 0 && (r.kind == noData || r.kind == noName) || len(all) > 0 && r.denies(name):
			l.kind, l.ttl = noData, r.negativeTTL()
			if r.noName {
				l.kind = noName
			}
		default:
			return all
		}
		if l.set != nil {
			l.ttl = min(time.Duration(l.set.TTL())*time.Second, maxTTL)
		}
		all = append(all, l)
		if l.kind != alias || !wire.IsSubDomain(r.zone, l.target) {
			break
		}
		name = l.target
	}
	return all
}

// alias finds the alias at the link's name. RFC 6672 §3.1: where a DNAME is,
// the CNAME is made of it, and is not signed.
func (l *link) alias(answer []*dnssec.Set) bool {
	cname := find(answer, l.name, wire.TypeCNAME)
	if cname != nil && len(cname.Sigs) > 0 {
		return l.follow(cname)
	}
	if dname := dnameFor(answer, l.name); dname != nil {
		return l.rename(dname)
	}
	return cname != nil && l.follow(cname)
}

// follow takes a CNAME. A name has one, RFC 2181 §10.1.
func (l *link) follow(set *dnssec.Set) bool {
	c, ok := set.Records[0].(*wire.CNAME)
	if !ok || len(set.Records) > 1 {
		return false
	}
	l.kind, l.set, l.target = alias, set, wire.CanonicalName(c.Target)
	return true
}

// rename takes a DNAME: the end of the name that is its owner becomes its
// target. RFC 6672 §2.2
func (l *link) rename(set *dnssec.Set) bool {
	d, ok := set.Records[0].(*wire.DNAME)
	if !ok || len(set.Records) > 1 {
		return false
	}
	target := wire.CanonicalName(d.Target)
	first := l.name[:len(l.name)-len(set.Name)]
	if set.Name == "." {
		first = l.name
	}
	if target == "." {
		target = ""
	}
	target = first + target
	if _, ok := wire.IsDomainName(target); !ok { // too long, RFC 6672 §2.2
		return false
	}
	l.kind, l.set, l.target = alias, set, target
	return true
}

// denies tells whether a response, which has led by aliases to a name of the
// same zone, says that there is nothing.
func (r *response) denies(name string) bool {
	for _, s := range r.authority {
		switch s.Type {
		case wire.TypeSOA:
			if len(s.Records) > 0 && wire.IsSubDomain(s.Name, name) {
				return true
			}
		case wire.TypeNSEC, wire.TypeNSEC3:
			if r.noName {
				return true
			}
		}
	}
	return false
}
