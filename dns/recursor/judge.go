package recursor

import (
	"context"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/dnssec"
)

// A judgement is what validation says of a link, and how long that holds.
type judgement struct {
	finding dns.Finding
	ttl     time.Duration
	// noName: the proof says that the name does not exist, whatever the code of
	// the response. RFC 9824 §3
	noName bool
	// cut says what an absence of DS records means.
	cut dnssec.Cut
}

// judge validates one link of an answer.
func (t *task) judge(ctx context.Context, l link) (judgement, error) {
	if l.set != nil {
		return t.judgeRecords(ctx, l)
	}
	return t.judgeNothing(ctx, l)
}

func (t *task) judgeRecords(ctx context.Context, l link) (judgement, error) {
	j := judgement{ttl: l.ttl}
	signer := l.set.Signer()
	keys, err := t.keysOf(ctx, signer, l.name, l.qtype, &j)
	if keys == nil || err != nil {
		return j, err
	}
	c := t.check()
	proof, finding := c.Verify(l.set, keys)
	j.finding = finding
	if finding.Security != dns.Secure {
		return j, nil
	}
	j.holds(proof, t.now)
	if proof.Encloser == "" {
		return j, nil
	}
	if l.set.Type == wire.TypeDNAME { // RFC 6672 §2.3
		j.finding = dns.Finding{Security: dns.Bogus, Code: wire.ExtendedErrorCodeDNSBogus, Reason: "a wildcard makes a DNAME at " + l.set.Name}
		return j, nil
	}
	denials, finding := c.Denials(l.authority, keys)
	if denials == nil {
		j.finding = finding
		return j, nil
	}
	j.finding = denials.Wildcard(l.set.Name, proof.Encloser)
	j.holds(denials.Proof, t.now)
	return j, nil
}

// judgeNothing validates that there is nothing.
func (t *task) judgeNothing(ctx context.Context, l link) (judgement, error) {
	j := judgement{ttl: l.ttl, noName: l.kind == noName}
	keys, err := t.keysOf(ctx, denialSigner(l), l.name, l.qtype, &j)
	if keys == nil || err != nil {
		return j, err
	}
	denials, finding := t.check().Denials(l.authority, keys)
	if denials == nil {
		j.finding = finding
		return j, nil
	}
	j.holds(denials.Proof, t.now)
	if l.qtype == wire.TypeDS {
		return t.judgeNoDS(l, denials, j), nil
	}
	if l.kind == noName {
		j.finding = denials.NXDomain(l.name)
		// Some servers say NXDOMAIN of names that only have no records.
		if j.finding.Security == dns.Bogus {
			if f := denials.NoData(l.name, l.qtype); f.Security == dns.Secure {
				j.finding, j.noName = f, false
			}
		}
		return j, nil
	}
	j.finding = denials.NoData(l.name, l.qtype)
	j.noName = denials.NoName(l.name)
	return j, nil
}

// judgeNoDS validates that a name has no DS, and is a zone or none.
func (t *task) judgeNoDS(l link, denials *dnssec.Denials, j judgement) judgement {
	j.cut, j.finding = denials.NoDS(l.name)
	if j.cut == dnssec.NoCut {
		j.noName = j.noName && denials.NXDomain(l.name).Security == dns.Secure
	}
	return j
}

// denialSigner gives the zone that signed the proof of absence.
func denialSigner(l link) string {
	signer := ""
	for _, set := range l.authority {
		s := set.Signer()
		if s == "" || !wire.IsSubDomain(s, l.name) {
			continue
		}
		if set.Type == wire.TypeNSEC || set.Type == wire.TypeNSEC3 {
			return s
		}
		if set.Type == wire.TypeSOA {
			signer = s
		}
	}
	return signer
}

// keysOf gives the keys of the zone that is said to have signed something at a
// name. If there are none, the judgement says what that means.
func (t *task) keysOf(ctx context.Context, signer, name string, qtype uint16, j *judgement) (*dnssec.Keys, error) {
	// The parent signs DS records, and what is said of them.
	ofParent := qtype == wire.TypeDS && name != "."
	if signer != "" && wire.IsSubDomain(signer, name) && (!ofParent || signer != name) {
		if _, ok := anchorAbove(*t.r.anchors.Load(), signer); ok {
			found, err := t.trust(ctx, signer)
			if err != nil {
				return nil, err
			}
			if found.keys != nil {
				return found.keys, nil
			}
		}
	}
	var err error
	j.finding, err = t.unsigned(ctx, name, qtype)
	if j.finding.Security == dns.Bogus {
		j.ttl = bogusTTL
	}
	return nil, err
}

// holds shortens the time that a judgement holds to that of a proof.
func (j *judgement) holds(p dnssec.Proof, now time.Time) {
	j.ttl = min(j.ttl, time.Duration(p.TTL)*time.Second, p.Until.Sub(now))
}
