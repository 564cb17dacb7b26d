package pop3server

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
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
