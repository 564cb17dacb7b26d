package dnssec

import (
	wire "github.com/miekg/dns"
)

// A Set is all records of one name and type in a message, with the signatures
// over them. RFC 2181 §5
type Set struct {
	Name    string // canonical
	Type    uint16
	Records []wire.RR
	Sigs    []*wire.RRSIG
}

// Sets sorts the records of one section of a message, of class IN only, into
// sets; a signature without its records makes a set without records.
func Sets(section []wire.RR) []*Set {
	var sets []*Set
	find := func(name string, rrtype uint16) *Set {
		for _, s := range sets {
			if s.Type == rrtype && s.Name == name {
				return s
			}
		}
		s := &Set{Name: name, Type: rrtype}
		sets = append(sets, s)
		return s
	}
	for _, rr := range section {
		h := rr.Header()
		if h.Class != wire.ClassINET || h.Rrtype == wire.TypeOPT {
			continue
		}
		name := wire.CanonicalName(h.Name)
		if sig, ok := rr.(*wire.RRSIG); ok {
			s := find(name, sig.TypeCovered)
			s.Sigs = append(s.Sigs, sig)
			continue
		}
		s := find(name, h.Rrtype)
		s.Records = append(s.Records, rr)
	}
	return sets
}

// TTL is the shortest time of a set's records, in seconds.
func (s *Set) TTL() uint32 {
	if len(s.Records) == 0 {
		return 0
	}
	ttl := s.Records[0].Header().Ttl
	for _, rr := range s.Records[1:] {
		ttl = min(ttl, rr.Header().Ttl)
	}
	return ttl
}

// Signer gives the zone that claims to have signed the set, "" for none. A
// zone signs names at and below its own only.
func (s *Set) Signer() string {
	for _, sig := range s.Sigs {
		signer := wire.CanonicalName(sig.SignerName)
		if wire.IsSubDomain(signer, s.Name) {
			return signer
		}
	}
	return ""
}
