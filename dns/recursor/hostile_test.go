package recursor_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/recursor"
)

// However servers are made to lead us about, a question ends, and costs no
// more than it may.
func TestCostlyAnswersEnd(t *testing.T) {
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", i)
		}
		return b.String()
	}
	for name, tt := range map[string]struct {
		zones map[string]string // more of them
		ask   string
		// victim may be asked so often.
		victim string
		most   int
	}{
		// CVE-2020-8616: a zone with many servers, all in the victim's zone.
		"NXNS": {
			map[string]string{"198.51.100.2 test.": internet()["198.51.100.2 test."] + "\n" + many("evil NS n%d.example", 100)},
			"www.evil.test.", "198.51.100.3 ", 2*20 + 4,
		},
		"aliases in a circle": {nil, "loop1.example.test.", "198.51.100.3 ", 24},
		"an endless alias": {
			map[string]string{"198.51.100.3 example.test.": many("c%[1]d CNAME c%[1]d.x", 1) + "*.x CNAME a.x\n" + many("chain%d CNAME mx", 1)},
			"c0.example.test.", "198.51.100.3 ", 60,
		},
		"zones that wait for each other": {
			map[string]string{"198.51.100.2 test.": internet()["198.51.100.2 test."] + "\none NS ns.two\ntwo NS ns.one"},
			"www.one.test.", "198.51.100.2 ", 30,
		},
		"a chain of servers' names": {
			map[string]string{"198.51.100.2 test.": internet()["198.51.100.2 test."] + "\n" + func() string {
				var b strings.Builder
				for i := range 40 {
					fmt.Fprintf(&b, "z%d NS ns.z%d\n", i, i+1)
				}
				return b.String()
			}()},
			"www.z0.test.", "198.51.100.2 ", 80,
		},
		"a referral upwards": {
			map[string]string{"198.51.100.3 example.test.": "x A 192.0.2.1"}, "www.example.test.", "198.51.100.", 30,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zones := internet()
				for where, text := range tt.zones {
					zones[where] = text
				}
				w := newWorld(t, zones)
				r := w.resolver(t, recursor.Options{})
				_, err := r.Resolve(t.Context(), tt.ask, wire.TypeA)
				if err != nil && !errors.Is(err, dns.ErrTemporary) {
					t.Errorf("%v", err)
				}
				if n := w.count(tt.victim); n > tt.most {
					t.Errorf("%d queries to the victim: %q", n, w.asked)
				}
				if n := w.count(""); n > 100 {
					t.Errorf("%d queries", n)
				}
			})
		})
	}
}

// What a server says of names that are not its own is not believed.
func TestOutOfBailiwick(t *testing.T) {
	zones := internet()
	zones["198.51.100.66 evil."] = ""
	w := newWorld(t, zones)
	w.rule = func(server netip.Addr, q *wire.Msg, _ bool) (*wire.Msg, error) {
		if server.String() != "198.51.100.3" || q.Question[0].Qtype != wire.TypeTXT {
			return nil, nil
		}
		m := new(wire.Msg).SetReply(q)
		m.Authoritative = true
		add := func(to *[]wire.RR, s string) {
			rr, err := wire.NewRR(s)
			if err != nil {
				t.Fatal(err)
			}
			*to = append(*to, rr)
		}
		add(&m.Answer, q.Question[0].Name+" 300 IN TXT \"mine\"")
		add(&m.Answer, "www.victim.test. 300 IN A 198.51.100.66")
		add(&m.Ns, "test. 300 IN NS ns.evil.")
		add(&m.Ns, "victim.test. 300 IN NS ns.evil.")
		add(&m.Extra, "ns.evil. 300 IN A 198.51.100.66")
		add(&m.Extra, "ns.test. 300 IN A 198.51.100.66")
		return m, nil
	}
	r := w.resolver(t, recursor.Options{})
	if txt, _, err := r.LookupTXT(t.Context(), "x.example.test"); err != nil || txt[0] != "mine" {
		t.Fatalf("%v, %v", txt, err)
	}
	w.forget()
	if _, _, err := r.LookupAddr(t.Context(), "www.victim.test"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("a name that another zone's server gave: %v", err)
	}
	if n := w.count("198.51.100.66"); n > 0 {
		t.Errorf("a server that another zone's server named was asked: %q", w.asked)
	}
}

// How servers differ: cut answers, no EDNS, cookies, refusals.
func TestServersThatDiffer(t *testing.T) {
	reply := func(q *wire.Msg, change func(*wire.Msg)) *wire.Msg {
		m := new(wire.Msg).SetReply(q)
		change(m)
		return m
	}
	cookie := func(m *wire.Msg) string {
		if opt := m.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if c, ok := o.(*wire.EDNS0_COOKIE); ok {
					return c.Cookie
				}
			}
		}
		return ""
	}
	withCookie := func(m *wire.Msg, value string) *wire.Msg {
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &wire.EDNS0_COOKIE{Code: wire.EDNS0COOKIE, Cookie: value})
		return m
	}
	server, later := hex.EncodeToString([]byte("serverpt")), hex.EncodeToString([]byte("the next"))
	gave, secret := false, server
	for name, rule := range map[string]func(*world, *wire.Msg, bool) *wire.Msg{
		"cut over UDP": func(_ *world, q *wire.Msg, overTCP bool) *wire.Msg {
			if overTCP {
				return nil
			}
			return reply(q, func(m *wire.Msg) { m.Truncated = true })
		},
		"no EDNS": func(_ *world, q *wire.Msg, _ bool) *wire.Msg {
			if q.IsEdns0() == nil {
				return nil
			}
			return reply(q, func(m *wire.Msg) { m.Rcode, m.Question = wire.RcodeFormatError, nil })
		},
		"a cookie first": func(w *world, q *wire.Msg, _ bool) *wire.Msg {
			if c := cookie(q); strings.HasSuffix(c, server) {
				return withCookie(answerFrom(w.zones["198.51.100.3"], q), c)
			}
			return withCookie(reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeBadCookie }), cookie(q)+server)
		},
		// Its secret has changed: the cookie that it gave before is none any more,
		// and the new one is good over UDP.
		"a cookie that is renewed": func(w *world, q *wire.Msg, overTCP bool) *wire.Msg {
			c := cookie(q)
			if overTCP {
				t.Error("asked over TCP for a new cookie")
			}
			if strings.HasSuffix(c, secret) {
				secret = later
				return withCookie(answerFrom(w.zones["198.51.100.3"], q), c)
			}
			return withCookie(reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeBadCookie }), c[:16]+secret)
		},
		// A flock of servers that do not know each other's secrets: TCP helps.
		"a cookie that is never right": func(_ *world, q *wire.Msg, overTCP bool) *wire.Msg {
			if overTCP {
				return nil
			}
			return withCookie(reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeBadCookie }), cookie(q)[:16]+server)
		},
		// EDNS is known, and what is signed can be had, without options.
		"no options": func(w *world, q *wire.Msg, _ bool) *wire.Msg {
			if cookie(q) != "" {
				return reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeFormatError })
			}
			if q.IsEdns0() == nil || !q.IsEdns0().Do() {
				return reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeServerFailure })
			}
			return nil
		},
		// Somebody who does not know the cookie answers in the server's place;
		// over TCP nobody can.
		"a cookie that is missing": func(w *world, q *wire.Msg, overTCP bool) *wire.Msg {
			if !gave {
				gave = true
				return withCookie(reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeBadCookie }), cookie(q)+server)
			}
			if overTCP {
				return nil
			}
			return reply(q, func(m *wire.Msg) { m.Rcode = wire.RcodeNameError })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, internet())
			w.rule = func(server netip.Addr, q *wire.Msg, overTCP bool) (*wire.Msg, error) {
				if server.String() != "198.51.100.3" {
					return nil, nil
				}
				return rule(w, q, overTCP), nil
			}
			r := w.resolver(t, recursor.Options{})
			if mx, _, err := r.LookupMX(t.Context(), "example.test"); err != nil || len(mx) != 1 {
				t.Errorf("%v, %v, %q", mx, err, w.asked)
			}
			if _, _, err := r.LookupTXT(t.Context(), "example.test"); err != nil && !errors.Is(err, dns.ErrNotFound) {
				t.Errorf("another question: %v, %q", err, w.asked)
			}
		})
	}
}

// A zone whose servers are silent is not asked for every message: a question that
// has failed is left alone for a while, and for longer if it goes on. RFC 9520
func TestSilentZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internet())
		w.silent("198.51.100.3")
		r := w.resolver(t, recursor.Options{})
		ask := func() time.Duration {
			t.Helper()
			w.forget()
			began := time.Now()
			if _, _, err := r.LookupMX(t.Context(), "example.test"); !errors.Is(err, dns.ErrTemporary) {
				t.Errorf("a silent zone: %v", err)
			}
			return time.Since(began)
		}
		if took := ask(); took < time.Second || took > 20*time.Second {
			t.Errorf("given up after %v", took)
		}
		for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
			wait *= time.Second
			if took := ask(); took != 0 || w.count("") != 0 {
				t.Errorf("asked again at once: %v, %q", took, w.asked)
			}
			time.Sleep(wait - time.Second)
			if took := ask(); took != 0 {
				t.Errorf("asked again before %v", wait)
			}
			time.Sleep(time.Second)
			if took := ask(); took == 0 {
				t.Errorf("not asked again after %v", wait)
			}
		}
		w.rule = nil
		time.Sleep(2 * time.Minute)
		if _, _, err := r.LookupMX(t.Context(), "example.test"); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}

// One server of several is enough, and the dead one is asked less and less.
func TestDeadServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zones := internet()
		zones["198.51.100.2 test."] += "\nexample NS ns2.example\nns2.example A 198.51.100.98"
		w := newWorld(t, zones)
		w.rule = func(server netip.Addr, _ *wire.Msg, _ bool) (*wire.Msg, error) {
			if server.String() == "198.51.100.98" {
				time.Sleep(time.Second)
				return nil, errors.New("no answer")
			}
			return nil, nil
		}
		r := w.resolver(t, recursor.Options{})
		for i := range 100 {
			if _, err := r.Resolve(t.Context(), fmt.Sprintf("n%d.example.test.", i), wire.TypeA); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.count("198.51.100.98"); n > 20 {
			t.Errorf("the dead server was asked %d times of 100", n)
		}
	})
}

// RFC 5452: over a real socket, what does not fit the query is passed over,
// and letters of mixed case must come back.
func TestForgedReplies(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			q := new(wire.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			for i := range 4 {
				m := new(wire.Msg).SetReply(q)
				rr, _ := wire.NewRR("x.test. 60 IN TXT \"forged\"")
				switch i {
				case 0:
					m.Id++
				case 1:
					m.Question[0].Name = "y.test."
				case 2:
					m.Response = false
				case 3:
					rr, _ = wire.NewRR("x.test. 60 IN TXT \"true\"")
				}
				m.Answer = []wire.RR{rr}
				if packed, err := m.Pack(); err == nil {
					_, _ = conn.WriteToUDPAddrPort(packed, from)
				}
			}
		}
	}()
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, mixed := range []bool{false, true} {
		r, err := recursor.New(recursor.Options{Anchors: recursor.NoAnchors, MixedCase: mixed, Forward: map[string][]netip.AddrPort{".": {at}}})
		if err != nil {
			t.Fatal(err)
		}
		if txt, _, err := r.LookupTXT(t.Context(), "x.test"); err != nil || len(txt) != 1 || txt[0] != "true" {
			t.Errorf("mixed %v: %v, %v", mixed, txt, err)
		}
	}
}

func TestReply(t *testing.T) {
	q := new(wire.Msg).SetQuestion("Example.test.", wire.TypeMX)
	for name, tt := range map[string]struct {
		change func(*wire.Msg)
		want   bool
	}{
		"right":              {func(*wire.Msg) {}, true},
		"another number":     {func(m *wire.Msg) { m.Id++ }, false},
		"another type":       {func(m *wire.Msg) { m.Question[0].Qtype = wire.TypeA }, false},
		"another name":       {func(m *wire.Msg) { m.Question[0].Name = "other.test." }, false},
		"another case":       {func(m *wire.Msg) { m.Question[0].Name = "example.test." }, false},
		"no question":        {func(m *wire.Msg) { m.Question = nil }, false},
		"error, no question": {func(m *wire.Msg) { m.Question, m.Rcode = nil, wire.RcodeFormatError }, true},
		"two questions":      {func(m *wire.Msg) { m.Question = append(m.Question, m.Question[0]) }, false},
		"a notification":     {func(m *wire.Msg) { m.Opcode = wire.OpcodeNotify }, false},
	} {
		m := new(wire.Msg).SetReply(q)
		tt.change(m)
		if got := recursor.Reply(q, m); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
