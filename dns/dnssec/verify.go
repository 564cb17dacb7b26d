package dnssec

import (
	"encoding/base64"
	"fmt"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

const (
	// clockSkew is by how much our clock and a signer's may differ.
	clockSkew = 5 * time.Minute
	// maxSigs is how many signatures of one set are looked at.
	maxSigs = 8
)

// Work is what may still be spent on one question, against answers made to be
// costly (KeyTrap, CVE-2023-50387; NSEC3, CVE-2023-50868).
type Work struct {
	Signatures int // verifications
	Hashes     int // rounds of NSEC3's hash
}

// NewWork gives what one question may cost: some milliseconds.
func NewWork() *Work { return &Work{Signatures: 96, Hashes: 20_000} }

// A Check judges the data of one answer.
type Check struct {
	Now  time.Time
	Work *Work
	// SHA1 has signatures and digests with SHA-1 verified. RFC 9905 wants
	// zones that have nothing better to be insecure.
	SHA1 bool
}

// Keys are the proven keys of a zone.
type Keys struct {
	Zone string
	keys []key
	// Until is when the signature over them ends.
	Until time.Time
}

// A Proof is what is known of records whose signature holds.
type Proof struct {
	// Encloser is the closest encloser, if the records come from a wildcard
	// below it: that nothing closer exists is still to be proven.
	Encloser string
	TTL      uint32 // the signed one or the present one, whichever is shorter
	Until    time.Time
}

func secure() dns.Finding { return dns.Finding{Security: dns.Secure} }

func insecure(code uint16, format string, args ...any) dns.Finding {
	return dns.Finding{Security: dns.Insecure, Code: code, Reason: fmt.Sprintf(format, args...)}
}

func bogus(code uint16, format string, args ...any) dns.Finding {
	return dns.Finding{Security: dns.Bogus, Code: code, Reason: fmt.Sprintf(format, args...)}
}

func describe(set *Set) string { return set.Name + " " + wire.Type(set.Type).String() }

// Keys proves the keys of a zone by its DS records (or those of an anchor),
// which must be proven themselves. The finding is insecure if the DS records
// name nothing that we know how to verify. RFC 4035 §5.2
func (c *Check) Keys(set *Set, ds []*wire.DS) (*Keys, dns.Finding) {
	usable, finding := c.usableDS(set.Name, ds)
	if len(usable) == 0 {
		return nil, finding
	}
	keys := &Keys{Zone: set.Name}
	var trusted []key
	for i, rr := range set.Records {
		record, ok := rr.(*wire.DNSKEY)
		if !ok || i >= maxKeys {
			continue
		}
		k, ok := parseKey(record, c.SHA1)
		if !ok {
			continue
		}
		keys.keys = append(keys.keys, k)
		for _, d := range usable {
			if matches(d, record) {
				trusted = append(trusted, k)
				break
			}
		}
	}
	switch {
	case len(set.Records) == 0:
		return nil, bogus(wire.ExtendedErrorCodeDNSKEYMissing, "the zone %s is to be signed, and has no keys", set.Name)
	case len(trusted) == 0:
		return nil, bogus(wire.ExtendedErrorCodeDNSKEYMissing, "no key of %s is one that its parent vouches for", set.Name)
	}
	proof, finding := c.Verify(set, &Keys{Zone: set.Name, keys: trusted})
	if finding.Security != dns.Secure {
		return nil, finding
	}
	keys.Until = proof.Until
	return keys, secure()
}

// usableDS picks the DS records that we can follow. Where there is a better
// digest, SHA-1 does not count. RFC 4509 §3
func (c *Check) usableDS(zone string, ds []*wire.DS) ([]*wire.DS, dns.Finding) {
	finding := insecure(wire.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, "%s is signed with algorithms that are not supported", zone)
	var usable []*wire.DS
	better := false
	for _, d := range ds {
		switch {
		case !supportedAlgorithm(d.Algorithm, c.SHA1):
		case !supportedDigest(d.DigestType, c.SHA1):
			finding = insecure(wire.ExtendedErrorCodeUnsupportedDSDigestType, "the keys of %s are named by digests that are not supported", zone)
		default:
			better = better || d.DigestType != wire.SHA1
			usable = append(usable, d)
		}
	}
	if better {
		kept := usable[:0]
		for _, d := range usable {
			if d.DigestType != wire.SHA1 {
				kept = append(kept, d)
			}
		}
		usable = kept
	}
	return usable[:min(len(usable), maxKeys)], finding
}

// Verify proves a set by a zone's keys. One signature that holds is enough.
// RFC 4035 §5.3
func (c *Check) Verify(set *Set, keys *Keys) (Proof, dns.Finding) {
	if len(set.Records) == 0 {
		return Proof{}, bogus(wire.ExtendedErrorCodeOther, "%s has signatures without records", describe(set))
	}
	finding := bogus(wire.ExtendedErrorCodeRRSIGsMissing, "%s is not signed, and the zone %s is", describe(set), keys.Zone)
	for i, sig := range set.Sigs {
		if i == maxSigs {
			break
		}
		if f := c.acceptable(set, sig, keys.Zone); f.Security != dns.Secure {
			finding = f
			continue
		}
		if finding = c.tryKeys(set, sig, keys); finding.Security == dns.Secure {
			return c.proof(set, sig), finding
		}
	}
	return Proof{}, finding
}

// acceptable looks at a signature before its cost is spent. RFC 4035 §5.3.1
func (c *Check) acceptable(set *Set, sig *wire.RRSIG, zone string) dns.Finding {
	switch {
	case wire.CanonicalName(sig.SignerName) != zone || !wire.IsSubDomain(zone, set.Name):
		return bogus(wire.ExtendedErrorCodeDNSBogus, "%s is signed by %s, not by its zone %s", describe(set), sig.SignerName, zone)
	case sig.TypeCovered != set.Type || int(sig.Labels) > ownerLabels(set.Name):
		return bogus(wire.ExtendedErrorCodeDNSBogus, "the signature of %s is for something else", describe(set))
	case !supportedAlgorithm(sig.Algorithm, c.SHA1):
		return bogus(wire.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, "%s is signed with %s only, which is not supported",
			describe(set), algorithmName(sig.Algorithm))
	case int(sig.Labels) < wire.CountLabel(zone):
		return bogus(wire.ExtendedErrorCodeDNSBogus, "%s comes from a wildcard above its zone", describe(set))
	}
	inception, expiration := moment(sig.Inception, c.Now), moment(sig.Expiration, c.Now)
	switch {
	case expiration.Before(inception):
		return bogus(wire.ExtendedErrorCodeSignatureExpiredBeforeValid, "the signature of %s ends before it begins", describe(set))
	case c.Now.After(expiration.Add(clockSkew)):
		return bogus(wire.ExtendedErrorCodeSignatureExpired, "the signature of %s expired at %s", describe(set), expiration.UTC().Format(time.RFC3339))
	case c.Now.Before(inception.Add(-clockSkew)):
		return bogus(wire.ExtendedErrorCodeSignatureNotYetValid, "the signature of %s is valid from %s on", describe(set), inception.UTC().Format(time.RFC3339))
	}
	return secure()
}

// moment reads a time of 32 bits that may have wrapped: the one nearest to
// now. RFC 4034 §3.1.5
func moment(t uint32, now time.Time) time.Time {
	return now.Add(time.Duration(int32(t-uint32(now.Unix()))) * time.Second).Truncate(time.Second)
}

// tryKeys verifies one signature with the keys that it may be made with.
func (c *Check) tryKeys(set *Set, sig *wire.RRSIG, keys *Keys) dns.Finding {
	signature, err := base64.StdEncoding.DecodeString(sig.Signature)
	if err != nil {
		return bogus(wire.ExtendedErrorCodeDNSBogus, "the signature of %s cannot be read", describe(set))
	}
	var data []byte
	tried := 0
	for _, k := range keys.keys {
		if k.tag != sig.KeyTag || k.algorithm != sig.Algorithm {
			continue
		}
		if tried++; tried > maxSameTag {
			break
		}
		if c.Work.Signatures--; c.Work.Signatures < 0 {
			return bogus(wire.ExtendedErrorCodeDNSBogus, "proving %s takes too many verifications", describe(set))
		}
		if data == nil {
			if data, err = signedData(sig, set); err != nil {
				return bogus(wire.ExtendedErrorCodeDNSBogus, "%s: %v", describe(set), err)
			}
		}
		if k.verify(data, signature) {
			return secure()
		}
	}
	if tried == 0 {
		return bogus(wire.ExtendedErrorCodeDNSKEYMissing, "%s is signed with key %d, which %s does not have", describe(set), sig.KeyTag, keys.Zone)
	}
	return bogus(wire.ExtendedErrorCodeDNSBogus, "the signature of %s by key %d of %s does not hold", describe(set), sig.KeyTag, keys.Zone)
}

// proof says what a signature that holds says.
func (c *Check) proof(set *Set, sig *wire.RRSIG) Proof {
	p := Proof{Until: moment(sig.Expiration, c.Now).Add(clockSkew), TTL: min(set.TTL(), sig.OrigTtl)} // RFC 4035 §5.3.3
	if int(sig.Labels) < ownerLabels(set.Name) {
		p.Encloser = suffix(set.Name, int(sig.Labels))
	}
	return p
}

func algorithmName(a uint8) string {
	if name, ok := wire.AlgorithmToString[a]; ok {
		return name
	}
	return fmt.Sprintf("algorithm %d", a)
}
