package recursor_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	wire "github.com/miekg/dns"

	"waxwing/dns/recursor"
)

// A world is a network of servers in memory, each with zones.
type world struct {
	mu    sync.Mutex
	asked []string // "address name type", guarded by mu
	// zones by address and name, as records.
	zones map[string]map[string][]wire.RR
	// rule may answer instead, or fail; nil and nil is for the zones.
	rule func(server netip.Addr, q *wire.Msg, overTCP bool) (*wire.Msg, error)
}

// newWorld makes one of texts: "address zone" leads to records.
func newWorld(t testing.TB, zones map[string]string) *world {
	t.Helper()
	w := &world{zones: make(map[string]map[string][]wire.RR)}
	for where, text := range zones {
		addr, zone, _ := strings.Cut(where, " ")
		if w.zones[addr] == nil {
			w.zones[addr] = make(map[string][]wire.RR)
		}
		parser := wire.NewZoneParser(strings.NewReader("$TTL 300\n"+text+"\n"), zone, "")
		var records []wire.RR
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			records = append(records, rr)
		}
		if err := parser.Err(); err != nil {
			t.Fatal(err)
		}
		w.zones[addr][zone] = records
	}
	return w
}

func (w *world) resolver(t testing.TB, o recursor.Options) *recursor.Resolver {
	t.Helper()
	o.Exchanger = w
	if o.Hints == nil {
		o.Hints = []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:53")}
	}
	if o.Anchors == "" {
		o.Anchors = recursor.NoAnchors
	}
	r, err := recursor.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// silent has servers of an address never answer.
func (w *world) silent(addr string) {
	w.rule = func(server netip.Addr, _ *wire.Msg, _ bool) (*wire.Msg, error) {
		if server.String() == addr {
			return nil, errSilent
		}
		return nil, nil
	}
}

// errSilent stands for no answer: who asks waits until he has no more time.
var errSilent = errors.New("no answer")

// count is how many queries contain a text.
func (w *world) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.asked {
		if strings.Contains(a, text) {
			n++
		}
	}
	return n
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = nil
}

func (w *world) Exchange(ctx context.Context, server netip.AddrPort, q *wire.Msg, overTCP bool) (*wire.Msg, error) {
	line := server.Addr().String() + " " + q.Question[0].Name + " " + wire.Type(q.Question[0].Qtype).String()
	if overTCP {
		line += " TCP"
	}
	w.mu.Lock()
	w.asked = append(w.asked, line)
	w.mu.Unlock()
	if w.rule != nil {
		m, err := w.rule(server.Addr(), q, overTCP)
		if errors.Is(err, errSilent) {
			<-ctx.Done()
		}
		if m != nil || err != nil {
			return m, err
		}
	}
	zones := w.zones[server.Addr().String()]
	if zones == nil {
		return nil, errors.New("nobody is there")
	}
	return answerFrom(zones, q), nil
}

// answerFrom answers as a server for zones does, with referrals.
func answerFrom(zones map[string][]wire.RR, q *wire.Msg) *wire.Msg {
	m := new(wire.Msg)
	m.SetReply(q)
	name, qtype := wire.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	zone := ""
	for z := range zones {
		if wire.IsSubDomain(z, name) && len(z) > len(zone) {
			zone = z
		}
	}
	if zone == "" {
		m.Rcode = wire.RcodeRefused
		return m
	}
	records := zones[zone]
	exists := false
	for _, rr := range records {
		owner := wire.CanonicalName(rr.Header().Name)
		if rr.Header().Rrtype == wire.TypeNS && owner != zone && wire.IsSubDomain(owner, name) {
			return refer(m, records, owner)
		}
		exists = exists || wire.IsSubDomain(name, owner)
		if owner == name && (rr.Header().Rrtype == qtype || rr.Header().Rrtype == wire.TypeCNAME) {
			m.Answer = append(m.Answer, rr)
		}
	}
	m.Authoritative = true
	if len(m.Answer) == 0 {
		soa, _ := wire.NewRR(zone + " 300 IN SOA ns. hostmaster. 1 2 3 4 60")
		m.Ns = []wire.RR{soa}
		if !exists {
			m.Rcode = wire.RcodeNameError
		}
	}
	return m
}

func refer(m *wire.Msg, records []wire.RR, zone string) *wire.Msg {
	for _, rr := range records {
		if ns, ok := rr.(*wire.NS); ok && wire.CanonicalName(ns.Hdr.Name) == zone {
			m.Ns = append(m.Ns, rr)
		}
	}
	for _, rr := range records {
		if t := rr.Header().Rrtype; (t == wire.TypeA || t == wire.TypeAAAA) && slices.ContainsFunc(m.Ns, func(ns wire.RR) bool {
			return strings.EqualFold(ns.(*wire.NS).Ns, rr.Header().Name)
		}) {
			m.Extra = append(m.Extra, rr)
		}
	}
	return m
}

// internet is a small ordinary one.
func internet() map[string]string {
	return map[string]string{
		"198.51.100.1 .": `@ NS ns.root.
ns.root. A 198.51.100.1
test. NS ns.test.
ns.test. A 198.51.100.2`,
		"198.51.100.2 test.": `@ NS ns
ns A 198.51.100.2
example NS ns.example
ns.example A 198.51.100.3
other NS ns.example`,
		"198.51.100.3 example.test.": `@ NS ns
ns A 198.51.100.3
@ MX 10 mx
mx A 192.0.2.1
www CNAME mx
away CNAME www.other.test.
loop1 CNAME loop2
loop2 CNAME loop1
a.b.c.d A 192.0.2.2
short 0 TXT "never kept"`,
		"198.51.100.3 other.test.": `@ NS ns.example.test.
www A 192.0.2.9`,
	}
}
