package receive_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/receive"
	"waxwing/mail"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
	"waxwing/test/house"
)

// guarded gives a receiver with the usual rules, at which 192.0.2.7 has a name.
func guarded(tb testing.TB, h *house.House) (*receive.Receiver, *peers.Store) {
	tb.Helper()
	known, err := peers.Open(tb.Context(), memkv.New(), peers.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	rules := policy.Defaults()
	rules.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	rules.Connections, rules.Messages, rules.Recipients = 0, 0, 0
	zone := dnstest.Zone{PTR: map[string][]string{"192.0.2.7": {"mx.a.example"}}, A: map[string][]string{"mx.a.example": {"192.0.2.7"}}}
	return receive.New(h.Deliverer, h.Blobs, receive.Options{
		Hostname: house.Hostname, Rules: rules, Peers: known, Resolver: zone, Log: h.Log,
	}), known
}

// visit brings one message.
func visit(tb testing.TB, h *house.House, r *receive.Receiver, from netip.Addr, text string) {
	tb.Helper()
	v, to := knock(tb, h, r, from)
	defer v.Close()
	hop := deliver.Hop{Hello: "mx.a.example", Addr: from, By: house.Hostname, Protocol: "ESMTP"}
	env := mail.Envelope{From: ann, To: []mail.Recipient{to.Recipient}}
	if _, err := v.Message(tb.Context(), env, []deliver.Recipient{to}, hop, strings.NewReader(text)); err != nil {
		tb.Fatal(err)
	}
}

var ann = mail.Address{Local: "ann", Domain: "a.example"}

// knock comes as far as the message.
func knock(tb testing.TB, h *house.House, r *receive.Receiver, from netip.Addr) (*receive.Visit, deliver.Recipient) {
	tb.Helper()
	v, err := r.Visit(tb.Context(), receive.Caller{Addr: from, Log: h.Log})
	if err != nil {
		tb.Fatal(err)
	}
	v.Hello("mx.a.example")
	if err := v.Mail(ann); err != nil {
		tb.Fatal(err)
	}
	to, err := v.Recipient(tb.Context(), mail.Recipient{Address: h.Bob.Address})
	if err != nil {
		tb.Fatal(err)
	}
	return v, to
}

// A host makes its name by what it brings; trusted ones are not counted.
func TestHistory(t *testing.T) {
	h := house.New(t)
	r, known := guarded(t, h)
	host, loop := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("127.0.0.1")
	for range 4 {
		visit(t, h, r, host, "From: ann@a.example\r\n\r\n")
		visit(t, h, r, loop, "From: ann@a.example\r\n\r\n")
	}
	if n := len(h.Inbox(h.Bob)); n != 8 {
		t.Errorf("%d messages", n)
	}
	p := known.Peer(peers.OfAddress(host), time.Now())
	if c := p.Counts; c[peers.Delivered] < 3.9 || c[peers.Connections] < 3 || c[peers.Messages] < 3.9 || c[peers.Recipients] < 3.9 {
		t.Errorf("%v", c)
	}
	if !(policy.Host{Peer: p}).Known() {
		t.Error("it is not known yet")
	}
	if all := known.All(time.Now()); len(all) != 1 {
		t.Errorf("%d peers", len(all))
	}
}

// What the door costs for a connection, up to the message.
func BenchmarkVisit(b *testing.B) {
	for name, from := range map[string]string{"trusted": "127.0.0.1", "known": "192.0.2.7"} {
		b.Run(name, func(b *testing.B) {
			h := house.New(b)
			r, _ := guarded(b, h)
			addr := netip.MustParseAddr(from)
			b.ReportAllocs()
			for b.Loop() {
				v, _ := knock(b, h, r, addr)
				v.Close()
			}
		})
	}
}
