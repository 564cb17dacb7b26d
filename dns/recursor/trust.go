package recursor

import (
	"context"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/dnssec"
)

// A trust is what is known of the signatures of a name as a zone.
type trust struct {
	// keys prove the zone's records if the finding is secure.
	keys    *dnssec.Keys
	finding dns.Finding
	// inside says that no zone begins at the name, and nothing that there is
	// no such name.
	inside  bool
	nothing bool
	ttl     time.Duration
}

// trust finds the keys of a zone, from the closest trust anchor down. Who asks
// for the same zone meanwhile waits; there is no circle in this, since a zone
// waits only for those above it.
func (t *task) trust(ctx context.Context, zone string) (*trust, error) {
	if known, ok := t.r.trusts.Get(zone, t.now); ok {
		return known, nil
	}
	for again := false; ; again = true {
		ours := false
		v, err, _ := t.r.trusting.Do(zone, func() (any, error) {
			ours = true
			return t.learnTrust(ctx, zone)
		})
		switch {
		case err == nil:
			return v.(*trust), nil
		case ours || again || ctx.Err() != nil:
			return nil, err
		}
		// It may have been the other's question that has come to its end.
	}
}

// learnTrust establishes what is known of a zone, and keeps it.
func (t *task) learnTrust(ctx context.Context, zone string) (*trust, error) {
	found, err := t.establish(ctx, zone)
	if err != nil {
		return nil, err
	}
	size := 200 + len(zone)
	if found.keys != nil {
		size += 2000
	}
	t.r.trusts.Put(zone, found, size, t.now.Add(found.ttl))
	t.describe(zone, found)
	return found, nil
}

func (t *task) describe(zone string, found *trust) {
	switch {
	case found.inside:
		t.say("%s is no zone of its own", zone)
	case found.finding.Security == dns.Secure:
		t.say("%s is signed, and its keys are proven", zone)
	default:
		t.say("%s: %s: %s", zone, found.finding.Security, found.finding.Reason)
	}
}

// establish finds out what is known of a zone. What is bogus is asked for once
// more: a server may be out of order, or the way to it tampered with.
func (t *task) establish(ctx context.Context, zone string) (*trust, error) {
	anchors := *t.r.anchors.Load()
	ds, anchored := anchors[zone]
	ttl := maxZoneTTL
	if !anchored {
		if _, ok := anchorAbove(anchors, zone); !ok {
			return &trust{finding: noAnchor(zone), ttl: maxZoneTTL}, nil
		}
		found, records, err := t.parentSays(ctx, zone)
		if err == nil && found.finding.Security == dns.Bogus {
			t.r.raw.Delete(question{zone, wire.TypeDS})
			found, records, err = t.parentSays(ctx, zone)
		}
		if err != nil || found.finding.Security != dns.Secure || found.inside {
			return found, err
		}
		ds, ttl = records, found.ttl
	}
	found, err := t.fetchKeys(ctx, zone, ds)
	if err == nil && found.finding.Security == dns.Bogus {
		found, err = t.fetchKeys(ctx, zone, ds)
	}
	if err != nil {
		return nil, err
	}
	found.ttl = min(found.ttl, ttl)
	return found, nil
}

// fetchKeys gets a zone's keys and proves them by its DS records.
func (t *task) fetchKeys(ctx context.Context, zone string, ds []*wire.DS) (*trust, error) {
	resp, err := t.iterate(ctx, zone, wire.TypeDNSKEY)
	if err != nil {
		return nil, err
	}
	set := find(resp.answer, zone, wire.TypeDNSKEY)
	if set == nil {
		set = &dnssec.Set{Name: zone, Type: wire.TypeDNSKEY}
	}
	keys, finding := t.check().Keys(set, ds)
	found := &trust{keys: keys, finding: finding, ttl: maxZoneTTL}
	if finding.Security == dns.Bogus {
		t.avoid[resp.server] = true
		found.ttl = bogusTTL
	} else if keys != nil {
		found.ttl = min(time.Duration(set.TTL())*time.Second, keys.Until.Sub(t.now))
	}
	return found, nil
}

// parentSays asks a zone's parent for its DS records, or the proof that it has
// none. The finding is secure with records, or if the name is inside its
// parent's zone.
func (t *task) parentSays(ctx context.Context, zone string) (*trust, []*wire.DS, error) {
	resp, err := t.iterate(ctx, zone, wire.TypeDS)
	if err != nil {
		return nil, nil, err
	}
	all := links(resp)
	if len(all) == 0 {
		return &trust{finding: unreadable(zone), ttl: bogusTTL}, nil, nil
	}
	first := all[0]
	found := &trust{ttl: min(resp.ttl, maxZoneTTL)}
	j, err := t.judge(ctx, first)
	if err != nil {
		return nil, nil, err
	}
	found.finding, found.ttl = j.finding, min(found.ttl, j.ttl)
	switch {
	case j.finding.Security == dns.Bogus:
		t.avoid[resp.server] = true
		found.ttl = bogusTTL
	case j.cut == dnssec.Unsigned && j.finding.Security == dns.Secure:
		found.finding = dns.Finding{Security: dns.Insecure, Reason: "the zone " + zone + " is not signed"}
	case j.finding.Security != dns.Secure:
	case first.kind == alias: // a zone has no alias at its top
		found.inside = true
	case first.kind == positive:
		var ds []*wire.DS
		for _, rr := range first.set.Records {
			if d, ok := rr.(*wire.DS); ok {
				ds = append(ds, d)
			}
		}
		return found, ds, nil
	default:
		found.inside, found.nothing = true, first.kind == noName
	}
	return found, nil, nil
}

// unsigned says what it means that something at a name has no signature: going
// down from the trust anchor, a zone must be proven to be unsigned, or else
// the signature has been withheld. RFC 4035 §5.2
func (t *task) unsigned(ctx context.Context, name string, qtype uint16) (dns.Finding, error) {
	if qtype == wire.TypeDS && name != "." {
		name = parentOf(name)
	}
	anchor, ok := anchorAbove(*t.r.anchors.Load(), name)
	if !ok {
		return noAnchor(name), nil
	}
	zone := anchor
	for n := wire.CountLabel(anchor); n <= wire.CountLabel(name); n++ {
		at := lastLabels(name, n)
		found, err := t.trust(ctx, at)
		if err != nil {
			return dns.Finding{}, err
		}
		if found.finding.Security != dns.Secure {
			return found.finding, nil
		}
		if found.nothing {
			break
		}
		if !found.inside {
			zone = at
		}
	}
	return dns.Finding{
		Security: dns.Bogus, Code: wire.ExtendedErrorCodeRRSIGsMissing,
		Reason: "the answer for " + name + " is not signed, and the zone " + zone + " is",
	}, nil
}

// anchorAbove gives the closest trust anchor at or above a name.
func anchorAbove(anchors map[string][]*wire.DS, name string) (string, bool) {
	for at := name; ; at = parentOf(at) {
		if _, ok := anchors[at]; ok {
			return at, true
		}
		if at == "." {
			return "", false
		}
	}
}

func noAnchor(name string) dns.Finding {
	return dns.Finding{
		Security: dns.Indeterminate, Code: wire.ExtendedErrorCodeDNSSECIndeterminate, Reason: "no trust anchor covers " + name,
	}
}

func unreadable(name string) dns.Finding {
	return dns.Finding{Security: dns.Bogus, Code: wire.ExtendedErrorCodeInvalidData, Reason: "the answer for " + name + " makes no sense"}
}
