package dnssec

import (
	"slices"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// maxDenials is how many NSEC or NSEC3 records of one answer are looked at; a
// proof needs four at most.
const maxDenials = 8

// Denials are the proven records of an answer that say what does not exist.
type Denials struct {
	zone  string
	nsec  []*wire.NSEC
	nsec3 *hashed // nil without NSEC3 records
	// TTL and Until bound how long they hold.
	Proof Proof
	// weak says why nothing can be concluded though all is well signed.
	weak dns.Finding
}

// Denials proves the NSEC and NSEC3 records among the sets. Those whose
// signature does not hold are left out, and the finding says why if none is
// left.
func (c *Check) Denials(sets []*Set, keys *Keys) (*Denials, dns.Finding) {
	d := &Denials{zone: keys.Zone, weak: secure()}
	finding := bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that there is nothing", keys.Zone)
	n := 0
	for _, set := range sets {
		if set.Type != wire.TypeNSEC && set.Type != wire.TypeNSEC3 || len(set.Records) == 0 || !wire.IsSubDomain(keys.Zone, set.Name) {
			continue
		}
		if n++; n > maxDenials {
			break
		}
		proof, f := c.Verify(set, keys)
		if f.Security != dns.Secure {
			finding = f
			continue
		}
		// The records that span a zone are never made by a wildcard; those of
		// "*" itself have it in their name.
		if proof.Encloser != "" {
			finding = bogus(wire.ExtendedErrorCodeNSECMissing, "%s was made by a wildcard", describe(set))
			continue
		}
		d.add(set, proof, c)
	}
	if len(d.nsec) == 0 && d.nsec3 == nil && d.weak.Security == dns.Secure {
		return nil, finding
	}
	return d, secure()
}

func (d *Denials) add(set *Set, proof Proof, c *Check) {
	if d.Proof.Until.IsZero() {
		d.Proof = proof
	}
	d.Proof.TTL = min(d.Proof.TTL, proof.TTL)
	if proof.Until.Before(d.Proof.Until) {
		d.Proof.Until = proof.Until
	}
	for _, rr := range set.Records {
		switch rr := rr.(type) {
		case *wire.NSEC:
			d.nsec = append(d.nsec, rr)
		case *wire.NSEC3:
			d.addHashed(rr, c)
		}
	}
}

// NXDomain says whether it is proven that a name does not exist, and that no
// wildcard makes it. RFC 4035 §5.4, RFC 5155 §8.4
func (d *Denials) NXDomain(name string) dns.Finding {
	if d.nsec3 != nil {
		return d.nsec3.nxDomain(name)
	}
	if d.weak.Security != dns.Secure {
		return d.weak
	}
	encloser, ok := d.covered(name)
	if !ok {
		return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that %s does not exist", d.zone, name)
	}
	if _, ok := d.covered(wildcardOf(encloser)); !ok {
		return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that there is no wildcard for %s", d.zone, name)
	}
	return secure()
}

// NoData says whether it is proven that a name, or the wildcard that makes it,
// has no records of a type. RFC 4035 §5.4, RFC 5155 §8.5 to §8.7
func (d *Denials) NoData(name string, rrtype uint16) dns.Finding {
	if d.nsec3 != nil {
		return d.nsec3.noData(name, rrtype)
	}
	if d.weak.Security != dns.Secure {
		return d.weak
	}
	if rr := d.at(name); rr != nil {
		return lacks(rr.TypeBitMap, name, rrtype)
	}
	encloser, ok := d.covered(name)
	if !ok {
		if d.emptyName(name) {
			return secure()
		}
		return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that %s has no %s", d.zone, name, wire.Type(rrtype))
	}
	wildcard := wildcardOf(encloser)
	if rr := d.at(wildcard); rr != nil {
		return lacks(rr.TypeBitMap, wildcard, rrtype)
	}
	if d.emptyName(wildcard) {
		return secure()
	}
	return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that %s and its wildcard have no %s", d.zone, name, wire.Type(rrtype))
}

// Wildcard says whether it is proven that nothing is closer to a name than the
// closest encloser whose wildcard made the records. RFC 4035 §5.3.4
func (d *Denials) Wildcard(name, encloser string) dns.Finding {
	if d.nsec3 != nil {
		return d.nsec3.wildcard(name, encloser)
	}
	if d.weak.Security != dns.Secure {
		return d.weak
	}
	closest, ok := d.covered(name)
	if !ok || wire.CountLabel(closest) > wire.CountLabel(encloser) {
		return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that there is no %s beside the wildcard", d.zone, name)
	}
	return secure()
}

// A Cut says what the lack of a DS record at a name means.
type Cut uint8

// What Denials.NoDS finds.
const (
	NoProof  Cut = iota // bogus
	NoCut               // the name lies in the same zone, or does not exist
	Unsigned            // a zone without signatures begins there
)

// NoDS says what is proven by the absence of DS records at a name: that an
// unsigned zone begins there, or that none does. That there are none may be
// secure while the zone is insecure. RFC 4035 §5.2, RFC 6840 §4.4
func (d *Denials) NoDS(name string) (Cut, dns.Finding) {
	if d.nsec3 != nil {
		return d.nsec3.noDS(name)
	}
	if d.weak.Security != dns.Secure {
		return Unsigned, d.weak // nothing better can be found out
	}
	if rr := d.at(name); rr != nil {
		return cutAt(rr.TypeBitMap, name)
	}
	if d.emptyName(name) {
		return NoCut, secure()
	}
	if _, ok := d.covered(name); ok {
		return NoCut, secure()
	}
	return NoProof, bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove that %s has no DS", d.zone, name)
}

// cutAt reads the types at a name as the parent's side lists them.
func cutAt(types []uint16, name string) (Cut, dns.Finding) {
	switch {
	case slices.Contains(types, wire.TypeDS):
		return NoProof, bogus(wire.ExtendedErrorCodeNSECMissing, "%s has a DS, which is withheld", name)
	case slices.Contains(types, wire.TypeSOA) && name != ".":
		return NoProof, bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s answers for its parent", name)
	case slices.Contains(types, wire.TypeNS):
		return Unsigned, secure()
	}
	return NoCut, secure()
}

// typeNXName in a list of types says that a name does not exist, though it has
// a record of its own: compact denial. RFC 9824 §3.1
const typeNXName = 128

// NoName tells whether a proof of no data says that there is no such name.
func (d *Denials) NoName(name string) bool {
	rr := d.at(name)
	return rr != nil && slices.Contains(rr.TypeBitMap, typeNXName)
}

// lacks tells whether a list of types proves that one is absent. An alias
// would have been answered instead; a list from the parent's side of a cut
// says something of DS only, and one from the child's side nothing of it.
// RFC 6840 §4.1, §4.3
func lacks(types []uint16, name string, rrtype uint16) dns.Finding {
	has := func(t uint16) bool { return slices.Contains(types, t) }
	switch {
	case has(rrtype) || has(wire.TypeCNAME):
		return bogus(wire.ExtendedErrorCodeNSECMissing, "%s has a %s, which is withheld", name, wire.Type(rrtype))
	case rrtype != wire.TypeDS && has(wire.TypeNS) && !has(wire.TypeSOA):
		return bogus(wire.ExtendedErrorCodeNSECMissing, "the parent answers for the zone %s", name)
	case rrtype == wire.TypeDS && has(wire.TypeSOA) && name != ".":
		return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s answers for its parent", name)
	}
	return secure()
}

// at gives the NSEC record of a name.
func (d *Denials) at(name string) *wire.NSEC {
	for _, rr := range d.nsec {
		if wire.CanonicalName(rr.Hdr.Name) == name {
			return rr
		}
	}
	return nil
}

// covered tells whether an NSEC record spans the place where a name would be,
// and what its closest encloser is: the longest name that it shares with one
// of the span's ends, both of which exist.
func (d *Denials) covered(name string) (encloser string, ok bool) {
	for _, rr := range d.nsec {
		owner, next := wire.CanonicalName(rr.Hdr.Name), wire.CanonicalName(rr.NextDomain)
		if !wire.IsSubDomain(d.zone, name) || !wire.IsSubDomain(d.zone, next) || Compare(owner, name) >= 0 {
			continue
		}
		// The last record of a zone leads back to its apex.
		if next != d.zone && Compare(name, next) >= 0 {
			continue
		}
		// A name with something below it exists, though it has no record.
		if wire.IsSubDomain(name, next) {
			continue
		}
		if below(name, owner) && leadsAway(rr.TypeBitMap) {
			continue
		}
		a, b := shared(name, owner), shared(name, next)
		if wire.CountLabel(b) > wire.CountLabel(a) {
			a = b
		}
		return a, true
	}
	return "", false
}

// leadsAway tells whether what lies below a name with these types is none of
// this zone's: it is delegated, or a DNAME leads elsewhere. RFC 6840 §4.1
func leadsAway(types []uint16) bool {
	return slices.Contains(types, wire.TypeDNAME) ||
		slices.Contains(types, wire.TypeNS) && !slices.Contains(types, wire.TypeSOA)
}

// emptyName tells whether a name is proven to exist without any records: a
// span that begins before it ends below it. RFC 4592 §2.2.2
func (d *Denials) emptyName(name string) bool {
	for _, rr := range d.nsec {
		owner, next := wire.CanonicalName(rr.Hdr.Name), wire.CanonicalName(rr.NextDomain)
		if below(next, name) && Compare(owner, name) < 0 && wire.IsSubDomain(d.zone, name) &&
			(!below(name, owner) || !leadsAway(rr.TypeBitMap)) {
			return true
		}
	}
	return false
}
