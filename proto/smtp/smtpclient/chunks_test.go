package smtpclient_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/proto/smtp/smtpserver"
)

// overTCP connects to a door through the kernel's buffers, which chunks that
// are sent ahead need.
func (d *door) overTCP(t *testing.T) *smtpclient.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtpserver.New(d.open, d.options)
	served := make(chan struct{})
	go func() {
		defer close(served)
		nc, err := l.Accept()
		if err == nil {
			server.ServeConn(t.Context(), nc)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-served })
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtpclient.New(t.Context(), nc, smtpclient.Options{Hostname: "c.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Large and binary messages go in chunks and arrive as they are; text with its
// line ends mended.
func TestChunks(t *testing.T) {
	d := newDoor()
	c := d.overTCP(t)
	large := strings.Repeat(".dots\r\n..\r\n"+strings.Repeat("x", 1000)+"\r\n", 3000)
	for _, tt := range []struct {
		m          smtp.Mail
		body, want string
	}{
		{smtp.Mail{From: ann, Size: mail.ByteCount(len(large))}, large, large},
		{smtp.Mail{From: ann, Size: 2 << 20}, "a\nb\rc", "a\r\nb\r\nc\r\n"},
		{smtp.Mail{From: ann, Size: 2 << 20}, "", ""},
		{smtp.Mail{From: ann, Size: 2 << 20}, "a\r", "a\r\n"},
		{smtp.Mail{From: ann, Binary: true, EightBit: true}, "\r\n\x00\n\r.\n.", "\r\n\x00\n\r.\n."},
		{smtp.Mail{From: ann}, "small\r\n.\r\n", "small\r\n.\r\n"},
	} {
		o, err := c.Send(t.Context(), tt.m, to(bob), io.LimitReader(strings.NewReader(tt.body), 1<<40))
		if err != nil || o.Refused[0] != nil || o.Reply.Code != 250 {
			t.Fatalf("%+v: %+v, %v", tt.m, o, err)
		}
		if got := d.body.String(); got != tt.want {
			t.Fatalf("%+v: got %d octets, want %d", tt.m, len(got), len(tt.want))
		}
	}
}

// A chunk that is refused ends the message; the connection goes on.
func TestChunkRefused(t *testing.T) {
	d := newDoor()
	d.options = smtpserver.Options{MaxSize: 1 << 20}
	c := d.overTCP(t)
	_, err := c.Send(t.Context(), smtp.Mail{From: ann, Size: 1 << 20}, to(bob), strings.NewReader(strings.Repeat("x\r\n", 2<<20)))
	wantRefusal(t, err, 552, smtp.Enhanced{5, 3, 4}, "message")
	o, err := c.Send(t.Context(), smtp.Mail{From: ann}, to(bob), strings.NewReader("next\r\n"))
	if err != nil || o.Reply.Code != 250 || d.body.String() != "next\r\n" {
		t.Fatalf("%+v, %v, %q", o, err, d.body.String())
	}
	// Binary content never goes to a peer that does not take it.
	broken := errors.New("disk")
	if _, err := c.Send(t.Context(), smtp.Mail{From: ann, Size: 1 << 20}, to(bob), io.MultiReader(strings.NewReader("x"), failing{broken})); !errors.Is(err, broken) || c.Usable() {
		t.Fatalf("%v", err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
