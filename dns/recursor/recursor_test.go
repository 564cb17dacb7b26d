package recursor_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/recursor"
)

func TestRecursion(t *testing.T) {
	w := newWorld(t, internet())
	r := w.resolver(t, recursor.Options{})
	mx, result, err := r.LookupMX(t.Context(), "Example.TEST")
	if err != nil || len(mx) != 1 || mx[0].Host != "mx.example.test" || result.Security != dns.Indeterminate {
		t.Errorf("MX: %v, %+v, %v", mx, result, err)
	}
	for _, tt := range []struct{ name, want, end string }{
		{"mx.example.test", "192.0.2.1", "mx.example.test"},
		{"www.example.test", "192.0.2.1", "mx.example.test"},
		{"away.example.test", "192.0.2.9", "www.other.test"},
		{"a.b.c.d.example.test", "192.0.2.2", "a.b.c.d.example.test"},
	} {
		addrs, result, err := r.LookupAddr(t.Context(), tt.name)
		if err != nil || len(addrs) != 1 || addrs[0].String() != tt.want || result.Name != tt.end {
			t.Errorf("%s: %v, %+v, %v", tt.name, addrs, result, err)
		}
	}
	var failure *dns.Error
	if _, _, err := r.LookupTXT(t.Context(), "mx.example.test"); !errors.As(err, &failure) || failure.NoName || !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("no data: %v", err)
	}
	if _, _, err := r.LookupTXT(t.Context(), "nowhere.example.test"); !errors.As(err, &failure) || !failure.NoName {
		t.Errorf("no name: %v", err)
	}
	if _, _, err := r.LookupTXT(t.Context(), strings.Repeat("a", 64)+".test"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("not a name: %v", err)
	}
	// RFC 9156: nobody above is asked for more than its own children.
	if n := w.count("198.51.100.1 ") - w.count("198.51.100.1 . NS") - w.count("198.51.100.1 test. A"); n != 0 {
		t.Errorf("the root was asked for more than test.: %q", w.asked)
	}
	if n := w.count("198.51.100.2 a.b.c.d"); n != 0 {
		t.Errorf("test. was asked for whole names: %q", w.asked)
	}
}

// What is known is not asked for again: answers, that there are none
// (RFC 2308), zones, and for a moment that servers are dead (RFC 9520).
func TestCaching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zones := internet()
		zones["198.51.100.2 test."] += "\ndead NS ns.dead\nns.dead A 198.51.100.99"
		w := newWorld(t, zones)
		r := w.resolver(t, recursor.Options{})
		for _, name := range []string{"mx.example.test.", "nowhere.example.test.", "www.dead.test.", "loop1.example.test."} {
			first, err := r.Resolve(t.Context(), name, wire.TypeA)
			w.forget()
			again, err2 := r.Resolve(t.Context(), name, wire.TypeA)
			if n := w.count(""); n != 0 || (err == nil) != (err2 == nil) || err == nil && len(first.Records) != len(again.Records) {
				t.Errorf("%s: %d queries for the second time; %v, %v", name, n, err, err2)
			}
		}
		for _, tt := range []struct {
			name string
			wait time.Duration
			want int
		}{{"www.dead.test.", 6 * time.Second, 1}, {"nowhere.example.test.", 61 * time.Second, 1}, {"mx.example.test.", 301 * time.Second, 1}} {
			time.Sleep(tt.wait)
			w.forget()
			_, _ = r.Resolve(t.Context(), tt.name, wire.TypeA)
			if n := w.count(tt.name); n < tt.want {
				t.Errorf("%s after %v: %d queries", tt.name, tt.wait, n)
			}
		}
		for range 2 {
			w.forget()
			if txt, _, err := r.LookupTXT(t.Context(), "short.example.test"); err != nil || len(txt) != 1 || w.count("short") == 0 {
				t.Errorf("a TTL of nought: %v, %v, %d queries", txt, err, w.count("short"))
			}
		}
	})
}

// Who asks the same at the same time shares one flight.
func TestSharedFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internet())
		w.rule = func(netip.Addr, *wire.Msg, bool) (*wire.Msg, error) {
			time.Sleep(50 * time.Millisecond)
			return nil, nil
		}
		r := w.resolver(t, recursor.Options{})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, _, err := r.LookupMX(t.Context(), "example.test"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := w.count("198.51.100.3 example.test. MX"); n != 1 {
			t.Errorf("%d queries for one question", n)
		}
		// One that gives up does not take the others with it.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, _, err := r.LookupTXT(ctx, "nowhere.example.test"); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		if _, _, err := r.LookupTXT(t.Context(), "nowhere.example.test"); !errors.Is(err, dns.ErrNotFound) {
			t.Errorf("the other one: %v", err)
		}
	})
}

// RFC 8767: an answer that has expired is better than none, if that is wanted.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internet())
		r := w.resolver(t, recursor.Options{Stale: time.Hour})
		if _, _, err := r.LookupMX(t.Context(), "example.test"); err != nil {
			t.Fatal(err)
		}
		w.rule = func(netip.Addr, *wire.Msg, bool) (*wire.Msg, error) { return nil, errors.New("the cable is cut") }
		time.Sleep(10 * time.Minute)
		if mx, _, err := r.LookupMX(t.Context(), "example.test"); err != nil || len(mx) != 1 {
			t.Errorf("stale: %v, %v", mx, err)
		}
		time.Sleep(2 * time.Hour)
		if _, _, err := r.LookupMX(t.Context(), "example.test"); !errors.Is(err, dns.ErrTemporary) {
			t.Errorf("too stale: %v", err)
		}
	})
}

// Nobody waits long for a newer answer than the one that has expired, nor for
// each message. RFC 8767 §5
func TestStaleSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internet())
		r := w.resolver(t, recursor.Options{Stale: time.Hour})
		ask := func() time.Duration {
			t.Helper()
			began := time.Now()
			if mx, _, err := r.LookupMX(t.Context(), "example.test"); err != nil || len(mx) != 1 {
				t.Errorf("%v, %v", mx, err)
			}
			return time.Since(began)
		}
		ask()
		time.Sleep(10 * time.Minute)
		w.silent("198.51.100.3")
		w.forget()
		if took := ask(); took != 1800*time.Millisecond {
			t.Errorf("an expired answer after %v", took)
		}
		time.Sleep(20 * time.Second) // the flight has landed
		n := w.count("")
		for range 10 {
			if took := ask(); took != 0 || w.count("") != n {
				t.Errorf("another after %v, %d queries, %d before", took, w.count(""), n)
			}
		}
		time.Sleep(30 * time.Second)
		if took := ask(); took == 0 || w.count("") == n {
			t.Errorf("half a minute later nobody has tried")
		}
		// It does not last for ever.
		for range 60 {
			time.Sleep(time.Minute)
			_, _, _ = r.LookupMX(t.Context(), "example.test")
		}
		if _, _, err := r.LookupMX(t.Context(), "example.test"); !errors.Is(err, dns.ErrTemporary) {
			t.Errorf("too stale: %v", err)
		}
		w.rule = nil
		time.Sleep(2 * time.Minute)
		ask()
	})
}

func TestForwarding(t *testing.T) {
	w := newWorld(t, internet())
	w.rule = func(server netip.Addr, q *wire.Msg, _ bool) (*wire.Msg, error) {
		if server.String() != "203.0.113.53" {
			return nil, nil
		}
		if !q.RecursionDesired || !q.CheckingDisabled || q.IsEdns0() == nil || !q.IsEdns0().Do() {
			t.Errorf("a query to a forwarder: %v", q)
		}
		m := new(wire.Msg).SetReply(q)
		m.RecursionAvailable = true
		for _, s := range []string{"x.corp.test. 60 IN CNAME y.other.example.", "y.other.example. 60 IN A 192.0.2.77"} {
			rr, _ := wire.NewRR(s)
			m.Answer = append(m.Answer, rr)
		}
		return m, nil
	}
	r := w.resolver(t, recursor.Options{Forward: map[string][]netip.AddrPort{
		"corp.test": {netip.MustParseAddrPort("203.0.113.53:53")}, "other.example": {netip.MustParseAddrPort("203.0.113.53:53")},
	}})
	if _, _, err := r.LookupMX(t.Context(), "example.test"); err != nil {
		t.Errorf("beside the forwarder: %v", err)
	}
	w.forget()
	a, err := r.Resolve(t.Context(), "x.corp.test.", wire.TypeA)
	if err != nil || len(a.Records) != 1 || w.count("203.0.113.53") == 0 || w.count("198.51.100") != 0 {
		t.Errorf("forwarded: %+v, %v, %q", a, err, w.asked)
	}
}

// Names that the public DNS does not have are not asked for. RFC 6303, 6761
func TestSpecialNames(t *testing.T) {
	w := newWorld(t, internet())
	r := w.resolver(t, recursor.Options{})
	if addrs, _, err := r.LookupAddr(t.Context(), "localhost"); err != nil || len(addrs) != 2 {
		t.Errorf("localhost: %v, %v", addrs, err)
	}
	for _, ip := range []string{"127.0.0.1", "10.1.2.3", "192.168.1.1", "172.20.0.1", "100.64.0.1", "100.127.9.9", "::1", "fe80::1", "fd00::1"} {
		if _, _, err := r.LookupPTR(t.Context(), netip.MustParseAddr(ip)); !errors.Is(err, dns.ErrNotFound) {
			t.Errorf("%s: %v", ip, err)
		}
	}
	if _, _, err := r.LookupMX(t.Context(), "something.onion"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("onion: %v", err)
	}
	if n := w.count(""); n != 0 {
		t.Errorf("%d queries: %q", n, w.asked)
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, o := range []recursor.Options{
		{Anchors: "nonsense"}, {Anchors: "example. A 192.0.2.1"}, {Forward: map[string][]netip.AddrPort{".": nil}},
	} {
		if _, err := recursor.New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// Explain tells the way.
func TestExplain(t *testing.T) {
	w := newWorld(t, internet())
	r := w.resolver(t, recursor.Options{})
	var told []string
	if _, err := r.Explain(t.Context(), "away.example.test", wire.TypeA, func(s string) { told = append(told, s) }); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(told, "\n")
	for _, want := range []string{"test. is delegated to ns.test", "an alias of www.other.test.", "no trust anchor covers"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told:\n%s", want, text)
		}
	}
	if _, err := r.Explain(t.Context(), "x.dead.example.", wire.TypeA, func(string) {}); err != nil && !errors.Is(err, dns.ErrTemporary) {
		t.Error(fmt.Errorf("explain: %w", err))
	}
}
