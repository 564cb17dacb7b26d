package smtpclient_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/test/transcript"
)

// A door takes everything and keeps the last message.
type door struct {
	options smtpserver.Options
	mail    smtp.Mail
	rcpts   []smtp.Rcpt
	body    bytes.Buffer
	discard bool
}

func newDoor() *door { return &door{} }

func (d *door) open(context.Context, *smtpserver.Info) (smtpserver.Session, error) { return d, nil }
func (d *door) Hello(context.Context, string, bool) error                          { return nil }
func (d *door) Authenticated(context.Context, sasl.Identity) error                 { return nil }
func (d *door) Mail(_ context.Context, m smtp.Mail) error                          { d.mail, d.rcpts = m, nil; return nil }
func (d *door) Rcpt(_ context.Context, r smtp.Rcpt) error                          { d.rcpts = append(d.rcpts, r); return nil }
func (d *door) Reset()                                                             {}
func (d *door) Close()                                                             {}

func (d *door) Data(_ context.Context, r io.Reader) (smtp.Reply, error) {
	d.body.Reset()
	var w io.Writer = &d.body
	if d.discard {
		w = io.Discard
	}
	_, err := io.Copy(w, r)
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Text: "Taken"}, err
}

func (d *door) Verify(context.Context, string) (smtp.Reply, error) { return smtp.Reply{}, nil }
func (d *door) Expand(context.Context, string) (smtp.Reply, error) { return smtp.Reply{}, nil }

// connect gives a client that talks to the door over a pipe.
func (d *door) connect(t *testing.T) *smtpclient.Client {
	t.Helper()
	c, err := smtpclient.New(t.Context(), d.dial(t), smtpclient.Options{Hostname: "me.example"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d *door) dial(t *testing.T) net.Conn {
	server := smtpserver.New(d.open, d.options)
	return transcript.Pipe(t, func(nc net.Conn) { server.ServeConn(t.Context(), nc) })()
}

type password struct{}

func (password) Password(_ context.Context, _ sasl.Peer, _, user, word string) (sasl.Identity, error) {
	if user != "ann" || word != "secret" {
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: 1, Login: ann, Mechanism: "PLAIN"}, nil
}

func (password) SCRAM(context.Context, sasl.Peer, string) (sasl.SCRAMKeys, error) {
	return sasl.SCRAMKeys{}, sasl.ErrTemporary
}

func (password) SCRAMResult(context.Context, sasl.Peer, string, string, bool) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrTemporary
}

// The client and the server understand each other: TLS, a login, DSN and
// UTF-8 parameters, and a message of several blocks.
func TestAgainstServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.options = smtpserver.Options{
			TLS:  &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}},
			Auth: password{}, RequireAuth: true, RequireTLS: true, Honours: smtp.DSN,
		}
		ctx := t.Context()
		c := d.connect(t)
		_, err := c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader(""))
		wantRefusal(t, err, 530, smtp.Enhanced{5, 7, 0}, "MAIL")
		if err := c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, c.Auth(ctx, "ann", "wrong"), 535, smtp.Enhanced{5, 7, 8}, "AUTH")
		if err := c.Auth(ctx, "ann", "secret"); err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat(".leading dots\r\n..\r\nand text that is long enough to fill a line\r\n", 10000)
		m := smtp.Mail{From: ann, Size: mail.ByteCount(len(body)), EightBit: true, UTF8: true, Return: smtp.ReturnHeaders, EnvelopeID: "a+b=c"}
		r := smtp.Rcpt{To: mail.Address{Local: "jürgen", Domain: "bücher.example"}, Notify: mail.NotifyDelay, Original: "rfc822;j+b@x.example"}
		for range 2 {
			o, err := c.Send(ctx, m, []smtp.Rcpt{r}, strings.NewReader(body))
			if err != nil || o.Refused[0] != nil || o.Reply.Text != "Taken" {
				t.Fatalf("%+v, %v", o, err)
			}
			if got := d.body.String(); got != body {
				t.Fatalf("got %d octets, want %d", len(got), len(body))
			}
			d.mail.Uses, d.rcpts[0].Uses = 0, 0
			if d.mail != m || d.rcpts[0] != r {
				t.Fatalf("got %+v %+v, want %+v %+v", d.mail, d.rcpts, m, r)
			}
		}
		c.Quit(ctx)
	})
}

func BenchmarkTransaction(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		b.Run(mail.ByteCount(size).String(), func(b *testing.B) { benchmarkTransaction(b, size) })
	}
}

// benchmarkTransaction sends messages over loopback on one connection.
func benchmarkTransaction(b *testing.B, size int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	d := &door{discard: true}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- smtpserver.New(d.open, smtpserver.Options{}).Serve(ctx, l) }()
	defer func() { stop(); <-served }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c, err := smtpclient.New(ctx, nc, smtpclient.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	message := make([]byte, 0, size)
	line := make([]byte, 39)
	for len(message) < size {
		_, _ = rand.Read(line)
		for _, x := range line {
			message = append(message, 'a'+x>>4, 'a'+x&15)
		}
		message = append(message, '\r', '\n')
	}
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	body := bytes.NewReader(message)
	for b.Loop() {
		body.Reset(message)
		if _, err := c.Send(ctx, smtp.Mail{From: ann, Size: mail.ByteCount(size)}, to(bob), body); err != nil {
			b.Fatal(err)
		}
	}
}
