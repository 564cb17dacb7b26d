package dnssec

import (
	"crypto/sha1"
	"encoding/base32"
	"encoding/hex"
	"strings"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

const (
	// MaxIterations is how many extra rounds of the hash a zone may ask for;
	// beyond it the zone counts as insecure. RFC 9276 §3.2
	MaxIterations = 150
	flagOptOut    = 1 // RFC 5155 §3.1.2.1
)

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// hashed are the NSEC3 records of an answer, all of the same parameters.
type hashed struct {
	zone       string
	salt       []byte
	saltHex    string
	iterations uint16
	records    []*wire.NSEC3
	hashes     map[string]string // of names, in base32
	work       *Work
}

// addHashed takes an NSEC3 record in. Those of unknown kinds are left out;
// RFC 5155 §8.1, §8.2
func (d *Denials) addHashed(rr *wire.NSEC3, c *Check) {
	if rr.Hash != wire.SHA1 || rr.Flags&^flagOptOut != 0 || parent(wire.CanonicalName(rr.Hdr.Name)) != d.zone {
		return
	}
	if rr.Iterations > MaxIterations {
		d.weak = insecure(wire.ExtendedErrorCodeUnsupportedNSEC3IterValue,
			"the zone %s hashes its names %d times, which is more than %d", d.zone, rr.Iterations, MaxIterations)
		return
	}
	if d.nsec3 == nil {
		salt, err := hex.DecodeString(rr.Salt)
		if err != nil {
			return
		}
		d.nsec3 = &hashed{
			zone: d.zone, salt: salt, saltHex: rr.Salt, iterations: rr.Iterations, hashes: make(map[string]string), work: c.Work,
		}
	}
	if rr.Iterations == d.nsec3.iterations && strings.EqualFold(rr.Salt, d.nsec3.saltHex) {
		d.nsec3.records = append(d.nsec3.records, rr)
	}
}

// hash gives the hash of a name, "" when that would cost too much.
// RFC 5155 §5
func (h *hashed) hash(name string) string {
	if s, ok := h.hashes[name]; ok {
		return s
	}
	b, ok := wireName(name)
	if h.work.Hashes -= int(h.iterations) + 1; h.work.Hashes < 0 || !ok {
		return ""
	}
	sum := sha1.Sum(append(b, h.salt...))
	buf := make([]byte, 0, sha1.Size+len(h.salt))
	for range h.iterations {
		buf = append(append(buf[:0], sum[:]...), h.salt...)
		sum = sha1.Sum(buf)
	}
	s := base32hex.EncodeToString(sum[:])
	h.hashes[name] = s
	return s
}

// match gives the record whose owner is the hash of a name.
func (h *hashed) match(name string) *wire.NSEC3 {
	hash := h.hash(name)
	if hash == "" {
		return nil
	}
	for _, rr := range h.records {
		if ownerHash(rr) == hash {
			return rr
		}
	}
	return nil
}

// cover gives the record in whose span the hash of a name lies.
func (h *hashed) cover(name string) *wire.NSEC3 {
	hash := h.hash(name)
	if hash == "" {
		return nil
	}
	for _, rr := range h.records {
		owner, next := ownerHash(rr), strings.ToUpper(rr.NextDomain)
		if len(owner) != len(hash) || len(next) != len(hash) {
			continue
		}
		inside := owner < hash && hash < next
		if owner >= next { // the last record leads back to the first
			inside = owner < hash || hash < next
		}
		if inside && hash != owner {
			return rr
		}
	}
	return nil
}

func ownerHash(rr *wire.NSEC3) string {
	first, _, _ := strings.Cut(rr.Hdr.Name, ".")
	return strings.ToUpper(first)
}

// encloser finds the closest name above that is proven to exist, and the
// record that covers the next closer one. RFC 5155 §8.3
func (h *hashed) encloser(name string) (closest string, next *wire.NSEC3) {
	if !below(name, h.zone) {
		return "", nil
	}
	closer := name
	for at := parent(name); ; at = parent(at) {
		if rr := h.match(at); rr != nil {
			if leadsAway(rr.TypeBitMap) { // RFC 5155 §8.3, RFC 6840 §4.1
				return "", nil
			}
			return at, h.cover(closer)
		}
		if at == h.zone || at == "." {
			return "", nil
		}
		closer = at
	}
}

func (h *hashed) missing(format string, name string) dns.Finding {
	if h.work.Hashes < 0 {
		return bogus(wire.ExtendedErrorCodeNSECMissing, "proving %s takes too much hashing", name)
	}
	return bogus(wire.ExtendedErrorCodeNSECMissing, "the zone %s does not prove "+format, h.zone, name)
}

// optedOut is the finding where a span may hide unsigned delegations.
// RFC 5155 §9.2
func (h *hashed) optedOut(name string) dns.Finding {
	return insecure(wire.ExtendedErrorCodeOther, "the zone %s leaves unsigned names near %s out of its signatures", h.zone, name)
}

func (h *hashed) nxDomain(name string) dns.Finding {
	closest, next := h.encloser(name)
	if next == nil {
		return h.missing("that %s does not exist", name)
	}
	if h.cover(wildcardOf(closest)) == nil {
		return h.missing("that there is no wildcard for %s", name)
	}
	if next.Flags&flagOptOut != 0 {
		return h.optedOut(name)
	}
	return secure()
}

func (h *hashed) noData(name string, rrtype uint16) dns.Finding {
	if rr := h.match(name); rr != nil {
		return lacks(rr.TypeBitMap, name, rrtype)
	}
	closest, next := h.encloser(name)
	if next == nil {
		return h.missing("what %s is", name)
	}
	if rr := h.match(wildcardOf(closest)); rr != nil { // RFC 5155 §8.7
		if f := lacks(rr.TypeBitMap, wildcardOf(closest), rrtype); f.Security != dns.Secure {
			return f
		}
		if next.Flags&flagOptOut != 0 {
			return h.optedOut(name)
		}
		return secure()
	}
	// RFC 5155 §8.6, and for names that lie above unsigned delegations only:
	// errata 3441.
	if next.Flags&flagOptOut != 0 {
		return h.optedOut(name)
	}
	return h.missing("that %s has no such records", name)
}

func (h *hashed) wildcard(name, encloser string) dns.Finding {
	closer := suffix(name, wire.CountLabel(encloser)+1)
	rr := h.cover(closer) // RFC 5155 §8.8
	switch {
	case rr == nil:
		return h.missing("that there is no %s beside the wildcard", name)
	case rr.Flags&flagOptOut != 0:
		return h.optedOut(name)
	}
	return secure()
}

func (h *hashed) noDS(name string) (Cut, dns.Finding) {
	if rr := h.match(name); rr != nil {
		return cutAt(rr.TypeBitMap, name)
	}
	_, next := h.encloser(name)
	switch {
	case next == nil:
		return NoProof, h.missing("that %s has no DS", name)
	case next.Flags&flagOptOut != 0: // RFC 5155 §8.9
		return Unsigned, insecure(wire.ExtendedErrorCodeOther, "the zone %s is not signed", name)
	}
	return NoCut, secure()
}
