package netserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/test/transcript"
)

// An echo greets, and then says back what it hears until it is told to end.
type echo struct{ stubborn bool }

func (e echo) Serve(c *Conn) {
	defer c.Close()
	if !e.stubborn {
		defer context.AfterFunc(c.Ending, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })()
	}
	defer context.AfterFunc(c.Working, func() { _ = c.Close() })()
	if _, err := io.WriteString(c, "hello"); err == nil {
		_, _ = io.Copy(c, c)
	}
}

func (echo) TurnAway(c net.Conn) { _, _ = io.WriteString(c, "busy!") }

// start serves until the test ends, and checks that nothing stays counted.
func start(t *testing.T, h Handler, o Options) (*transcript.Listener, context.CancelFunc) {
	t.Helper()
	s := New(h, o)
	l := transcript.Listen(25)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if s.total != 0 || len(s.from) != 0 {
			t.Errorf("%d connections are still counted", s.total)
		}
	})
	return l, stop
}

func dial(t *testing.T, l *transcript.Listener, from string) net.Conn {
	t.Helper()
	c := l.DialFrom(netip.AddrPortFrom(netip.MustParseAddr(from), 1))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func hear(t *testing.T, c net.Conn) string {
	t.Helper()
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// Addresses are counted one by one for IPv4 and by /64 for IPv6; loopback is
// not counted.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := start(t, echo{}, Options{MaxPerAddress: 2, MaxConnections: 5})
		for i, tt := range []struct{ from, want string }{
			{"192.0.2.1", "hello"}, {"192.0.2.1", "hello"}, {"192.0.2.1", "busy!"},
			{"2001:db8::1", "hello"}, {"2001:db8::2", "hello"}, {"2001:db8::3", "busy!"},
			{"127.0.0.1", "hello"}, {"127.0.0.1", "busy!"}, // the most of all
		} {
			if got := hear(t, dial(t, l, tt.from)); got != tt.want {
				t.Errorf("%d: %s hears %q, want %q", i, tt.from, got, tt.want)
			}
		}
	})
}

// What is idle ends at once; what goes on is cut off when the time is over.
func TestDrain(t *testing.T) {
	for _, tt := range []struct {
		h    echo
		ends time.Duration
	}{{echo{}, 0}, {echo{stubborn: true}, 10 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			l, stop := start(t, tt.h, Options{DrainTimeout: 10 * time.Second})
			c := dial(t, l, "127.0.0.1")
			if got := hear(t, c); got != "hello" {
				t.Fatalf("heard %q", got)
			}
			began := time.Now()
			stop()
			if got := hear(t, c); got != "" {
				t.Errorf("heard %q", got)
			}
			if took := time.Since(began); took != tt.ends {
				t.Errorf("ended after %v, want %v", took, tt.ends)
			}
		})
	}
}

// The certificate of the handshake is known, however the configuration chose
// it.
func TestPresentedCertificate(t *testing.T) {
	cert := transcript.Certificate(t)
	chosen := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
	list := &tls.Config{Certificates: []tls.Certificate{cert}}
	for name, config := range map[string]*tls.Config{
		"list":          list,
		"function":      {GetCertificate: chosen},
		"configuration": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return list, nil }},
	} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- tls.Client(client, &tls.Config{InsecureSkipVerify: true, ServerName: "mail.example"}).Handshake()
		}()
		_, leaf, err := NewSecure(config).Handshake(t.Context(), server)
		if err = errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(leaf, cert.Certificate[0]) {
			t.Errorf("%s: certificate is %d octets", name, len(leaf))
		}
	}
}
