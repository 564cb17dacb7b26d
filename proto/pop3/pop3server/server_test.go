package pop3server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/test/transcript"
)

// The rules of POP3 are tested where there are real mailboxes, in serve/pop3.
// Here a Session can be made to fail, and a server to end.

// drop is a Session in memory whose methods fail where it says so.
type drop struct {
	messages []string
	fails    string
	closed   func()
}

func (d *drop) Len() int                  { return len(d.messages) }
func (d *drop) Size(i int) mail.ByteCount { return mail.ByteCount(len(d.messages[i])) }
func (d *drop) AppendUniqueID(dst []byte, i int) []byte {
	return strconv.AppendInt(dst, int64(i)+100, 10)
}
func (d *drop) Close() { d.closed() }

var errDisk = errors.New("disk on fire at /var/secret")

func (d *drop) Open(ctx context.Context, i int, _ bool) (Message, error) {
	switch d.fails {
	case "open":
		return nil, errDisk
	case "panic":
		panic("a bug")
	case "slow":
		select {
		case <-time.After(20 * time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m := &body{Reader: strings.NewReader(d.messages[i]), size: len(d.messages[i])}
	if d.fails == "read" {
		m.size++
	}
	return m, nil
}

func (d *drop) Update(_ context.Context, deleted, retrieved iter.Seq[int]) error {
	if d.fails == "update" {
		return errDisk
	}
	return nil
}

type body struct {
	*strings.Reader
	size int
}

func (b *body) Size() mail.ByteCount { return mail.ByteCount(b.size) }
func (b *body) Close() error         { return nil }

// users is a sasl.Backend that knows bob.
type users struct{ err error }

func (u users) Password(_ context.Context, _ sasl.Peer, _, user, password string) (sasl.Identity, error) {
	if u.err != nil {
		return sasl.Identity{}, u.err
	}
	if user != "bob" || password != "waxwing" {
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: 1, Mechanism: "PLAIN"}, nil
}

func (u users) SCRAM(context.Context, sasl.Peer, string) (sasl.SCRAMKeys, error) {
	return sasl.SCRAMKeys{}, sasl.ErrTemporary
}

func (u users) SCRAMResult(context.Context, sasl.Peer, string, string, bool) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrTemporary
}

// serve starts a server and gives a way to end it.
func serve(t *testing.T, o Options, d *drop) (l *transcript.Listener, drain func()) {
	if o.Auth == nil {
		o.Auth = users{}
	}
	var mu sync.Mutex // guards open
	open := 0
	d.closed = func() {
		mu.Lock()
		defer mu.Unlock()
		open--
	}
	server := New(func(context.Context, *Info, sasl.Identity) (Session, error) {
		if d.fails == "login" {
			return nil, errDisk
		}
		mu.Lock()
		defer mu.Unlock()
		open++
		return d, nil
	}, o)
	l = transcript.Listen(110)
	ctx, drain := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		drain()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if open != 0 {
			t.Errorf("%d sessions are still open", open)
		}
		if server.total != 0 || len(server.perAddr) != 0 {
			t.Errorf("%d connections are still counted", server.total)
		}
	})
	return l, drain
}

func TestTranscripts(t *testing.T) {
	var log bytes.Buffer
	transcript.Run(t, "testdata/*.pop3", func(t *testing.T, o transcript.Options) transcript.Dial {
		d := &drop{messages: []string{"Subject: one\r\n\r\nhello\r\n"}, fails: o["fails"]}
		options := Options{Hostname: "mail.example", PlaintextAuth: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
		if s := o["perAddress"]; s != "" {
			options.MaxPerAddress, _ = strconv.Atoi(s)
		}
		switch o["auth"] {
		case "throttled":
			options.Auth = users{sasl.ErrThrottled}
		case "down":
			options.Auth = users{errDisk}
		}
		l, drain := serve(t, options, d)
		if after, err := time.ParseDuration(o["drain"]); err == nil {
			stop := time.AfterFunc(after, drain)
			t.Cleanup(func() { stop.Stop() })
		}
		return l.Dial
	})
	if !strings.Contains(log.String(), "disk on fire") {
		t.Error("what went wrong has not been logged")
	}
}

// Addresses are counted one by one for IPv4 and by /64 for IPv6; loopback is
// not counted.
func TestConnectionsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := serve(t, Options{MaxPerAddress: 2, MaxConnections: 5}, &drop{})
		greeted := func(from string) bool {
			c := l.DialFrom(netip.AddrPortFrom(netip.MustParseAddr(from), 1))
			t.Cleanup(func() { _ = c.Close() })
			b := make([]byte, 100)
			n, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			return strings.HasPrefix(string(b[:n]), "+OK")
		}
		for i, test := range []struct {
			from string
			want bool
		}{
			{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false},
			{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::3", false},
			{"127.0.0.1", true}, {"127.0.0.1", false}, // the most of all
		} {
			if greeted(test.from) != test.want {
				t.Errorf("%d: %s greeted: %v", i, test.from, !test.want)
			}
		}
	})
}

// The certificate of the handshake is known, for tls-server-end-point.
func TestPresentedCertificate(t *testing.T) {
	cert := transcript.Certificate(t)
	byFunction := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }}
	for name, config := range map[string]*tls.Config{"function": byFunction, "list": {Certificates: []tls.Certificate{cert}}} {
		var k certificates
		k.watch(&config)
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, ServerName: "mail.example"})
			done <- c.Handshake()
		}()
		der, err := k.handshake(t.Context(), tls.Server(server, config))
		if err = errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(der, cert.Certificate[0]) {
			t.Errorf("%s: certificate is %d octets", name, len(der))
		}
	}
}

// What goes out is all there and in order, however it was written, and no
// buffer stays behind.
func TestOutput(t *testing.T) {
	client, server := net.Pipe()
	o := output{conn: server, timeout: time.Minute}
	heard := make(chan []byte)
	go func() {
		var all bytes.Buffer
		_, _ = all.ReadFrom(client)
		heard <- all.Bytes()
	}()
	var want bytes.Buffer
	for i, size := range []int{1, 100, bufferSize - 101, bufferSize, 3*bufferSize + 1, 0, 7} {
		b := bytes.Repeat([]byte{byte('a' + i)}, size)
		want.Write(b)
		if n, err := o.Write(b); n != size || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := o.flush(); err != nil || o.buffer != nil {
		t.Fatal(err, o.buffer != nil)
	}
	_ = server.Close()
	if have := <-heard; !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%d octets came, %d were written", len(have), want.Len())
	}
	if o.line("more"); o.flush() == nil {
		t.Error("writing to a closed connection gives no error")
	}
}
