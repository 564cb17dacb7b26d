package relay_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

var smartZone = dnstest.Zone{A: map[string][]string{
	"mail.example": {"127.0.0.1"}, "near.test": {"127.0.0.1"}, "far.test": {"127.0.0.1"},
}}

// blackhole takes an address in such a way that no connection to it comes
// about and none is refused: its queue is full.
func blackhole(t *testing.T, ip string, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(ip).As4()}), unix.Listen(fd, 0)); err != nil {
		t.Skip(err)
	}
	for range 10 {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(ip, strconv.Itoa(port)), 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("connections cannot be kept from coming about here")
}

func route(t *testing.T, to string, set func(*relay.Route)) relay.Route {
	t.Helper()
	r, err := relay.ParseRoute("", to)
	if err != nil {
		t.Fatal(err)
	}
	if set != nil {
		set(&r)
	}
	return r
}

// Mail of one sender goes over a smarthost with TLS from the first byte, to
// which we log in; that of others goes its way.
func TestSmarthost(t *testing.T) {
	cert := transcript.Certificate(t)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	want := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00us\x00secret"))
	for name, tt := range map[string]struct {
		to, password string
		roots        *x509.CertPool
		security     relay.Security
		waits        string // what the history says; empty if it arrives
	}{
		"logged in":           {to: "smtps:mail.example:%d", password: "secret", roots: roots, security: relay.Verified},
		"any certificate":     {to: "smtps:mail.example:%d", password: "secret", security: relay.Encrypted},
		"wrong password":      {to: "smtps:mail.example:%d", password: "wrong", roots: roots, security: relay.Verified, waits: "cannot log in to"},
		"unknown certificate": {to: "smtps:mail.example:%d", password: "secret", security: relay.Verified, waits: "the route demands it"},
		"no TLS":              {to: "smtp:near.test:%d", password: "secret", security: relay.Encrypted, waits: "offers no TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			h, far := house.New(t), newHost(t, nil)
			answer := func(line string) string {
				switch {
				case strings.HasPrefix(line, "EHLO"):
					return "250-smart.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"
				case line == want:
					return "235 2.7.0 welcome"
				case strings.HasPrefix(line, "AUTH"):
					return "535 5.7.8 who are you"
				}
				return ""
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port := l.Addr().(*net.TCPAddr).Port
			if strings.HasPrefix(tt.to, "smtps") {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			}
			smart := newHostOn(t, l, answer)
			r := route(t, fmt.Sprintf(tt.to, port), func(r *relay.Route) {
				r.Sender, r.User, r.Password, r.Security = "Alice@example.test", "us", tt.password, tt.security
			})
			o := relay.Options{Port: far.port(), Routes: []relay.Route{r}, Schedule: relay.Schedule{First: time.Hour}}
			o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
			if tt.roots != nil {
				o.TLS.RootCAs = tt.roots
			}
			runIn(t, h, smartZone, o)
			send(t, h, text, mail.Envelope{From: h.Bob.Address, To: []mail.Recipient{rcpt("carol@near.test", 0)}})
			eventually(t, "bob's message", func() bool { return len(far.got()) == 1 })
			send(t, h, text, mail.Envelope{To: []mail.Recipient{rcpt("carol@near.test", 0), rcpt("dave@far.test", 0)}})
			if tt.waits == "" {
				emptied(t, h)
				if got := smart.heard("RCPT"); len(got) != 2 || len(smart.got()) != 1 {
					t.Errorf("the smarthost has heard %q", got) // two domains in one transaction
				}
				return
			}
			eventually(t, "a try", func() bool { q := h.Queued(); return len(q) == 1 && q[0].Tries == 1 })
			it := h.Queued()[0]
			if try := it.History[0]; !strings.Contains(try.Text, tt.waits) || len(smart.got())+len(far.got()) != 1 {
				t.Errorf("tried: %+v", try)
			}
		})
	}
}

// Mail of a domain goes from an address of its own, under a name of its own.
func TestSource(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	direct := route(t, "direct", func(r *relay.Route) {
		r.SenderDomain, r.Sources, r.Hello = "example.test", []netip.Addr{netip.MustParseAddr("127.0.0.5")}, "five.example.test"
	})
	other := route(t, "direct", func(r *relay.Route) { r.Sources = []netip.Addr{netip.MustParseAddr("::1")} })
	runIn(t, h, smartZone, relay.Options{Port: far.port(), Routes: []relay.Route{direct, other}, Schedule: relay.Schedule{First: time.Hour}})
	enqueue(t, h, text, "carol@near.test")
	emptied(t, h)
	if far.from[0] != "127.0.0.5" || far.heard("EHLO")[0] != "EHLO five.example.test" {
		t.Errorf("from %q, %q", far.from, far.heard("EHLO"))
	}
	// A route with an address of one family uses only that.
	send(t, h, text, mail.Envelope{From: house.Address("x@elsewhere.test"), To: []mail.Recipient{rcpt("carol@near.test", 0)}})
	eventually(t, "a refusal", func() bool { q := h.Queued(); return len(q) == 1 && q[0].Tries == 1 })
	if text := h.Queued()[0].History[0].Text; !strings.Contains(text, "no address of a family") {
		t.Errorf("tried: %s", text)
	}
}

// Which way is taken, and where mail may be left by strangers.
func TestRoutesLead(t *testing.T) {
	store, err := relay.ParseRoute("Store.test", "unix:/s")
	if err != nil {
		t.Fatal(err)
	}
	smart, err := relay.ParseRoute("gmail.test", "smtp:smart.test")
	if err != nil {
		t.Fatal(err)
	}
	all, err := relay.ParseRoute("*", "lmtp:127.0.0.1:24")
	if err != nil {
		t.Fatal(err)
	}
	routes := relay.Routes{smart, store}
	for domain, want := range map[string]bool{"store.test": true, "gmail.test": false, "other.test": false} {
		if got := routes.Lead(domain, false); got != want {
			t.Errorf("%s: %v", domain, got)
		}
	}
	if routes.Lead("example.test", true) || !append(routes, all).Lead("example.test", true) || append(routes, all).Lead("x.test", false) {
		t.Error("the route for our domains is wrong")
	}
}

// An address that does not answer costs a quarter of a second, not a timeout.
// RFC 8305
func TestRace(t *testing.T) {
	h, far := house.New(t), newHost(t, nil)
	blackhole(t, "127.0.0.9", far.port())
	world := dnstest.Zone{A: map[string][]string{"race.test": {"127.0.0.9", "127.0.0.1"}}}
	runIn(t, h, world, relay.Options{Port: far.port()})
	begun := time.Now()
	enqueue(t, h, text, "carol@race.test")
	emptied(t, h)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(far.got()) != 1 {
		t.Errorf("%d messages", len(far.got()))
	}
}
