package dns_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

func stub(t *testing.T, servers ...string) *dns.Stub {
	t.Helper()
	s, err := dns.NewStub(dns.StubOptions{Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStubLookups(t *testing.T) {
	server := dnstest.Serve(t, dnstest.Zone{
		MX: map[string][]dns.MX{
			"example.test": {{Host: "b.example.test", Preference: 20}, {Host: "a.example.test", Preference: 10}},
			"null.test":    {{Host: "."}},
		},
		A:    map[string][]string{"a.example.test": {"192.0.2.1", "192.0.2.2", "2001:db8::1"}},
		TXT:  map[string][]string{"example.test": {"v=spf1 -all", `a\b"c`}},
		Fail: map[string]bool{"broken.test": true},
	})
	s := stub(t, server)
	ctx := t.Context()

	mx, _, err := s.LookupMX(ctx, "Example.TEST.")
	if err != nil || len(mx) != 2 || mx[0].Host != "a.example.test" || mx[1].Preference != 20 {
		t.Errorf("MX: %v, %v", mx, err)
	}
	if mx, _, err := s.LookupMX(ctx, "null.test"); err != nil || len(mx) != 1 || mx[0].Host != "." {
		t.Errorf("null MX: %v, %v", mx, err)
	}
	addrs, _, err := s.LookupAddr(ctx, "a.example.test")
	if err != nil || len(addrs) != 3 || addrs[0].String() != "2001:db8::1" || !addrs[1].Is4() {
		t.Errorf("addresses: %v, %v", addrs, err)
	}
	txt, _, err := s.LookupTXT(ctx, "example.test")
	if err != nil || !slices.Contains(txt, "v=spf1 -all") || !slices.Contains(txt, `a\b"c`) {
		t.Errorf("TXT: %q, %v", txt, err)
	}

	var failure *dns.Error
	if _, _, err := s.LookupMX(ctx, "a.example.test"); !errors.Is(err, dns.ErrNotFound) || !errors.As(err, &failure) || failure.NoName {
		t.Errorf("no MX at a name that exists: %v", err)
	}
	if _, _, err := s.LookupAddr(ctx, "nowhere.test"); !errors.Is(err, dns.ErrNotFound) || !errors.As(err, &failure) || !failure.NoName {
		t.Errorf("a name that does not exist: %v", err)
	}
	if _, _, err := s.LookupMX(ctx, "broken.test"); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("SERVFAIL: %v", err)
	}
	if _, _, err := s.LookupMX(ctx, strings.Repeat("a", 70)+".test"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("a label that is too long: %v", err)
	}
}

// serveWire answers with handler on a free port of loopback.
func serveWire(t *testing.T, handler wire.HandlerFunc) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Skip("the port is taken for TCP")
	}
	for _, s := range []*wire.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return udp.LocalAddr().String()
}

func record(t *testing.T, s string) wire.RR {
	t.Helper()
	rr, err := wire.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// A CNAME to a name that the answer does not hold is asked for; a loop ends.
func TestStubFollowsAliases(t *testing.T) {
	zone := map[string]wire.RR{
		"www.test.":   record(t, "www.test. 60 IN CNAME real.test."),
		"real.test.":  record(t, "real.test. 60 IN A 192.0.2.7"),
		"loop1.test.": record(t, "loop1.test. 60 IN CNAME loop2.test."),
		"loop2.test.": record(t, "loop2.test. 60 IN CNAME loop1.test."),
	}
	s := stub(t, serveWire(t, func(w wire.ResponseWriter, q *wire.Msg) {
		m := new(wire.Msg).SetReply(q)
		rr := zone[q.Question[0].Name]
		if rr != nil && (rr.Header().Rrtype == wire.TypeCNAME || rr.Header().Rrtype == q.Question[0].Qtype) {
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	}))
	addrs, _, err := s.LookupAddr(t.Context(), "www.test")
	if err != nil || len(addrs) != 1 || addrs[0].String() != "192.0.2.7" {
		t.Errorf("through a CNAME: %v, %v", addrs, err)
	}
	if _, _, err := s.LookupAddr(t.Context(), "loop1.test"); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("a loop: %v", err)
	}
}

// A cut UDP answer is asked for again over TCP; the second time comes from
// the cache. RFC 7766 §5
func TestStubTruncationAndCache(t *testing.T) {
	var asked atomic.Int32
	s := stub(t, serveWire(t, func(w wire.ResponseWriter, q *wire.Msg) {
		asked.Add(1)
		m := new(wire.Msg).SetReply(q)
		if w.RemoteAddr().Network() == "udp" {
			m.Truncated = true
		} else {
			m.Answer = append(m.Answer, record(t, "big.test. 60 IN TXT \"whole\""))
		}
		_ = w.WriteMsg(m)
	}))
	for range 3 {
		txt, _, err := s.LookupTXT(t.Context(), "big.test")
		if err != nil || len(txt) != 1 || txt[0] != "whole" {
			t.Fatalf("TXT: %q, %v", txt, err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d queries, want one over UDP and one over TCP", n)
	}
}

// When the first server is out of order the second one answers.
func TestStubSecondServer(t *testing.T) {
	good := dnstest.Serve(t, dnstest.Zone{TXT: map[string][]string{"x.test": {"yes"}}})
	bad := serveWire(t, func(w wire.ResponseWriter, q *wire.Msg) {
		_ = w.WriteMsg(new(wire.Msg).SetRcode(q, wire.RcodeRefused))
	})
	if txt, _, err := stub(t, bad, good).LookupTXT(t.Context(), "x.test"); err != nil || txt[0] != "yes" {
		t.Errorf("TXT: %q, %v", txt, err)
	}
}

func TestNewStubRefuses(t *testing.T) {
	for _, server := range []string{"127.0.0.1", "localhost:53", "::1:53x"} {
		if _, err := dns.NewStub(dns.StubOptions{Servers: []string{server}}); err == nil {
			t.Errorf("NewStub(%q) did not fail", server)
		}
	}
}
