package recursor

import (
	"context"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns/dnssec"
)

const (
	// How many queries with shortened names are made, and how many of them
	// with one label more each; then the labels are taken in equal parts.
	// RFC 9156 §2.3
	maxMinimised = 10
	oneLabel     = 4
	// Zones gone down through for one name. Real ones have under ten.
	maxZones = 24
)

// iterate finds the answer of the zone that a name lies in: it follows
// referrals, but no aliases. For DS it is the parent's zone.
func (t *task) iterate(ctx context.Context, name string, qtype uint16) (*response, error) {
	start := name
	if qtype == wire.TypeDS && name != "." {
		start = parentOf(name)
		// A referral may have brought them already.
		if known, until, ok := t.r.raw.Peek(question{name, qtype}); ok && t.now.Before(until) {
			r := *known
			r.ttl = min(r.ttl, until.Sub(t.now))
			return &r, nil
		}
	}
	d := t.r.closest(start, t.now)
	if d.zone == "." && !d.recursive {
		d = t.primed(ctx, d)
	}
	for range maxZones {
		resp, err := t.askDown(ctx, d, name, qtype)
		if err != nil || resp.kind != referral {
			return resp, err
		}
		t.learn(resp)
		if qtype == wire.TypeDS && resp.next.zone == name {
			// A parent that does not know of DS sends us to the child.
			return &response{
				name: name, qtype: qtype, kind: noData, zone: resp.zone, authority: resp.authority, server: resp.server, ttl: defaultNegTTL,
			}, nil
		}
		d = resp.next
		t.say("%s is delegated to %s", d.zone, d.names())
	}
	return nil, failed(name, qtype, wire.ExtendedErrorCodeNoReachableAuthority, "delegated again and again")
}

// askDown asks a zone's servers with ever longer names until one of them
// answers for the whole name, or refers to a zone below. RFC 9156 §3
func (t *task) askDown(ctx context.Context, d *delegation, name string, qtype uint16) (*response, error) {
	labels := wire.CountLabel(name)
	have := wire.CountLabel(d.zone)
	for made := 0; !d.recursive && made < maxMinimised; made++ {
		have += step(made, labels-have)
		// Labels with an underscore are no zones of their own; their parents
		// are asked for what follows at once. RFC 9156 §2.3
		for have < labels && strings.HasPrefix(lastLabels(name, have), "_") {
			have++
		}
		if have >= labels {
			break
		}
		shorter := lastLabels(name, have)
		key := question{shorter, wire.TypeA}
		if known, ok := t.r.raw.Get(key, t.now); ok && known.kind == noData {
			continue
		}
		resp, err := t.askZone(ctx, d, shorter, wire.TypeA)
		if err != nil || resp.kind == noName || resp.kind == alias {
			// Servers may be confused by such queries, say that a name does not
			// exist that only has no records, or rename it: the whole name
			// tells. RFC 9156 §2.3
			break
		}
		if resp.kind == referral {
			return resp, nil
		}
		if resp.kind == noData {
			t.r.raw.Put(key, resp, resp.size(), t.now.Add(resp.ttl))
		}
	}
	return t.askZone(ctx, d, name, qtype)
}

// step says how many labels more the next query has.
func step(made, left int) int {
	if made < oneLabel || left <= 1 {
		return 1
	}
	return max(1, (left+maxMinimised-made-1)/(maxMinimised-made))
}

// learn keeps what a referral says: who serves the zone below, and the proof
// that it is signed, or is not.
func (t *task) learn(resp *response) {
	d := resp.next
	d.withPort(t.r.port())
	t.r.zones.Put(d.zone, d, d.size(), t.now.Add(d.ttl))
	ds := &response{name: d.zone, qtype: wire.TypeDS, zone: resp.zone, kind: noData, authority: nil, server: resp.server, ttl: d.ttl}
	for _, set := range resp.authority {
		if len(set.Sigs) == 0 || len(set.Records) == 0 {
			continue
		}
		switch {
		case set.Type == wire.TypeDS && set.Name == d.zone:
			ds.kind, ds.answer = positive, []*dnssec.Set{set}
		case set.Type == wire.TypeNSEC || set.Type == wire.TypeNSEC3:
			ds.authority = append(ds.authority, set)
		default:
			continue
		}
		ds.ttl = min(ds.ttl, time.Duration(set.TTL())*time.Second)
	}
	if len(ds.answer) > 0 || len(ds.authority) > 0 {
		t.r.raw.Put(question{d.zone, wire.TypeDS}, ds, ds.size(), t.now.Add(ds.ttl))
	}
}

// size is what a response takes in the cache, about.
func (r *response) size() int {
	n := 200 + len(r.name)
	for _, sets := range [][]*dnssec.Set{r.answer, r.authority} {
		for _, s := range sets {
			n += 80
			for _, rr := range s.Records {
				n += 120 + wire.Len(rr)
			}
			for _, sig := range s.Sigs {
				n += 250 + wire.Len(sig)
			}
		}
	}
	return n
}

// closest gives the servers of the closest known zone at or above a name:
// those that were configured, those found, or the hints.
func (r *Resolver) closest(name string, now time.Time) *delegation {
	for at := name; ; at = parentOf(at) {
		if d := r.forwards[at]; d != nil {
			return d
		}
		if d, ok := r.zones.Get(at, now); ok {
			return d
		}
		if at == "." {
			return r.hints
		}
	}
}

// primed asks the hints who the root servers are. RFC 9609 §3
func (t *task) primed(ctx context.Context, d *delegation) *delegation {
	if d != t.r.hints {
		return d
	}
	m, server, err := t.anyReply(ctx, d, ".", wire.TypeNS)
	if err != nil {
		return d
	}
	root := &delegation{zone: "."}
	ttl := maxZoneTTL
	for _, rr := range m.Answer {
		if ns, ok := rr.(*wire.NS); ok && ns.Hdr.Name == "." && len(root.servers) < maxServers {
			root.servers = append(root.servers, nameserver{name: wire.CanonicalName(ns.Ns)})
			ttl = min(ttl, time.Duration(ns.Hdr.Ttl)*time.Second)
		}
	}
	root.addGlue(m.Extra, ".")
	root.withPort(t.r.port())
	root.ttl = ttl
	known := false
	for _, s := range root.servers {
		known = known || len(s.addrs) > 0
	}
	if !known { // the names alone lead nowhere
		return d
	}
	t.say("the root is served by %s, says %v", root.names(), server)
	t.r.zones.Put(".", root, root.size(), t.now.Add(ttl))
	return root
}

// names lists the servers, for people.
func (d *delegation) names() string {
	var all []string
	for _, s := range d.servers {
		all = append(all, strings.TrimSuffix(s.name, "."))
	}
	if len(all) > 4 {
		all = append(all[:3], "others")
	}
	return strings.Join(all, ", ")
}

// parentOf gives a name without its first label.
func parentOf(name string) string {
	if i, end := wire.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// lastLabels gives a name's last n labels.
func lastLabels(name string, n int) string {
	for range wire.CountLabel(name) - n {
		name = parentOf(name)
	}
	return name
}
