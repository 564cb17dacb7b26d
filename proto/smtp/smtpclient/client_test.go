package smtpclient_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/test/transcript"
)

// play runs a peer that follows a script, in a bubble: "> text" is said by
// it (">! text" even if nobody listens), "< text" has to be what the client says next, "!" waits for the client
// to hang up, "W 5m" waits. Several lines in "> a|b" are written at once. The
// peer hangs up at the end.
func play(t *testing.T, script string, client func(t *testing.T, ctx context.Context, nc net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			if err := peer(theirs, script); err != nil {
				t.Error(err)
			}
		}()
		client(t, t.Context(), ours)
		_ = ours.Close()
		<-done
	})
}

func peer(nc net.Conn, script string) error {
	in := bufio.NewReader(nc)
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		op, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch op {
		case ">":
			if _, err := io.WriteString(nc, strings.ReplaceAll(text, "|", "\r\n")+"\r\n"); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		case ">!":
			_, _ = io.WriteString(nc, text) // nobody listens to the end
		case "<":
			got, err := in.ReadString('\n')
			if want := text + "\r\n"; got != want {
				return fmt.Errorf("client said %q (%v), want %q", got, err, want)
			}
		case "W":
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			time.Sleep(d)
		case "!":
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				return fmt.Errorf("client did not hang up: %q, %v", rest, err)
			}
		default:
			return fmt.Errorf("bad script line %q", line)
		}
	}
	return nil
}

var (
	ann = mail.Address{Local: "ann", Domain: "a.example"}
	bob = mail.Address{Local: "bob", Domain: "b.example"}
	eve = mail.Address{Local: "eve", Domain: "b.example"}
)

func to(addresses ...mail.Address) []smtp.Rcpt {
	var list []smtp.Rcpt
	for _, a := range addresses {
		list = append(list, smtp.Rcpt{To: a})
	}
	return list
}

func connect(t *testing.T, ctx context.Context, nc net.Conn) *smtpclient.Client {
	t.Helper()
	c, err := smtpclient.New(ctx, nc, smtpclient.Options{Hostname: "me.example"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantRefusal(t *testing.T, err error, code int, enhanced smtp.Enhanced, step string) {
	t.Helper()
	var r *smtp.Refusal
	var in smtpclient.InReplyTo
	if !errors.As(err, &r) || r.Code != code || r.Enhanced != enhanced || !errors.As(err, &in) || string(in) != step {
		t.Errorf("got %v, want %d %v in reply to %s", err, code, enhanced, step)
	}
}

func TestPipelined(t *testing.T) {
	play(t, `
		> 220-hello|220 there
		< EHLO me.example
		> 250-b.example|250-PIPELINING|250-size 1000|250-X-FOO a b|250 ENHANCEDSTATUSCODES
		< MAIL FROM:<ann@a.example> SIZE=7
		< RCPT TO:<bob@b.example>
		< RCPT TO:<eve@b.example>
		< DATA
		> 250 2.1.0 ok|550-5.1.1 no|550 5.1.1 such user|250 ok|354 go
		< hello
		< ..
		< .
		> 250 2.0.0 done
		< QUIT
		> 221 bye
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		if x, ok := c.Offers("X-FOO"); !ok || x != "a b" || c.MaxSize() != 1000 || c.Greeting() != "hello\nthere" {
			t.Errorf("offers %q, size %d, greeting %q", x, c.MaxSize(), c.Greeting())
		}
		o, err := c.Send(ctx, smtp.Mail{From: ann, Size: 7}, to(bob, eve), strings.NewReader("hello\n."))
		if err != nil || o.Reply.Text != "done" || o.Refused[1] != nil {
			t.Errorf("%+v, %v", o, err)
		}
		wantRefusal(t, o.Refused[0], 550, smtp.Enhanced{5, 1, 1}, "RCPT")
		if r := o.Refused[0].(*smtp.Refusal); r.Text != "no\nsuch user" {
			t.Errorf("text %q", r.Text)
		}
		c.Quit(ctx)
	})
}

func TestOneByOne(t *testing.T) {
	// RFC 5321 §3.2: EHLO is refused, HELO works.
	play(t, `
		> 220 old
		< EHLO me.example
		> 500 what
		< HELO me.example
		> 250 fine
		< MAIL FROM:<ann@a.example>
		> 250 ok
		< RCPT TO:<bob@b.example>
		> 550 no
		< RCPT TO:<eve@b.example>
		> 450 later
		< RSET
		> 250 ok
		< MAIL FROM:<ann@a.example>
		> 250 ok
		< RCPT TO:<bob@b.example>
		> 251 will forward
		< DATA
		> 354 go
		< .
		> 554 did not like it
		< MAIL FROM:<>
		> 250 ok
		< RCPT TO:<bob@b.example>
		> 250 ok
		< DATA
		> 451 disk full
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		o, err := c.Send(ctx, smtp.Mail{From: ann, Size: 5}, to(bob, eve), iotest.ErrReader(errors.New("not to be read")))
		if err != nil || o.Reply.Code != 0 {
			t.Errorf("%+v, %v", o, err)
		}
		wantRefusal(t, o.Refused[0], 550, smtp.Enhanced{}, "RCPT")
		wantRefusal(t, o.Refused[1], 450, smtp.Enhanced{}, "RCPT")
		_, err = c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader(""))
		wantRefusal(t, err, 554, smtp.Enhanced{}, "message")
		_, err = c.Send(ctx, smtp.Mail{}, to(bob), strings.NewReader(""))
		wantRefusal(t, err, 451, smtp.Enhanced{}, "DATA")
		if !c.Usable() {
			t.Error("not usable")
		}
	})
}

// RFC 2920 §3.1: DATA may be accepted although no recipient was.
func TestAllRefusedAfter354(t *testing.T) {
	play(t, `
		> 220 b.example
		< EHLO me.example
		> 250-b.example|250 PIPELINING
		< MAIL FROM:<ann@a.example>
		< RCPT TO:<bob@b.example>
		< DATA
		> 250 ok|550 no|354 go
		< .
		> 554 no valid recipients
		< MAIL FROM:<ann@a.example>
		< RCPT TO:<bob@b.example>
		< DATA
		> 550 5.7.1 not you|503 no mail|354 well
		< .
		> 250 whatever
		< MAIL FROM:<ann@a.example>
		< RCPT TO:<bob@b.example>
		< DATA
		> 250 ok|550 no|554 no
		< RSET
		< MAIL FROM:<ann@a.example>
		< RCPT TO:<bob@b.example>
		< DATA
		> 250 ok|250 ok|250 ok|354 go
		< .
		> 250 ok
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		o, err := c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader("x"))
		if err != nil {
			t.Error(err)
		}
		wantRefusal(t, o.Refused[0], 550, smtp.Enhanced{}, "RCPT")
		o, err = c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader("x"))
		wantRefusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "MAIL")
		if o.Refused[0] != nil {
			t.Errorf("bob was refused for himself: %v", o.Refused[0])
		}
		if _, err = c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader("")); err != nil {
			t.Error(err)
		}
		if o, err = c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader("")); err != nil || o.Refused[0] != nil {
			t.Error(o, err)
		}
	})
}

func TestLost(t *testing.T) {
	const start = `
		> 220 b.example
		< EHLO me.example
		> 250-b.example|250 PIPELINING
		< MAIL FROM:<ann@a.example>
		< RCPT TO:<bob@b.example>
		< DATA
		`
	tests := map[string]struct {
		script  string
		unknown bool
		step    string
		after   time.Duration
	}{
		"in the group":         {"> 250 ok", false, "RCPT", 0},
		"after the message":    {"> 250 ok|250 ok|354 go\n< x\n< .", true, "message", 0},
		"silent after message": {"> 250 ok|250 ok|354 go\n< x\n< .\nW 11m", true, "message", 10 * time.Minute}, // RFC 5321 §4.5.3.2.6
		"silent in the group":  {"W 6m", false, "MAIL", 5 * time.Minute},                                       // RFC 5321 §4.5.3.2.2
		"silent before 354":    {"> 250 ok|250 ok\nW 3m", false, "DATA", 2 * time.Minute},                      // RFC 5321 §4.5.3.2.4
		"no SMTP":              {"> hello world", false, "MAIL", 0},
		"endless reply":        {">! 250-" + strings.Repeat("x", 20000), false, "MAIL", 0},
		"an odd reply":         {"> 250 ok|250 ok|250 go\nW 1s", false, "DATA", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			play(t, start+tt.script, func(t *testing.T, ctx context.Context, nc net.Conn) {
				c := connect(t, ctx, nc)
				began := time.Now()
				_, err := c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader("x"))
				var lost *smtpclient.Lost
				if !errors.As(err, &lost) || lost.Unknown != tt.unknown || lost.Step != tt.step || !lost.Temporary() {
					t.Errorf("got %#v", err)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if c.Usable() {
					t.Error("still usable")
				}
			})
		})
	}
}

func TestGreetings(t *testing.T) {
	for _, tt := range []struct {
		script string
		code   int
	}{
		{"> 554 no mail here\n!", 554},
		{"> 421 busy\n!", 421},
		{"> 220 hi\n< EHLO me.example\n> 421 bye\n!", 421},
		{"> 220 hi\n< EHLO me.example\n> 451 later\n!", 451},
		{"> 220 hi\n< EHLO me.example\n> 550 no\n< HELO me.example\n> 550 no\n!", 550},
	} {
		play(t, tt.script, func(t *testing.T, ctx context.Context, nc net.Conn) {
			_, err := smtpclient.New(ctx, nc, smtpclient.Options{Hostname: "me.example"})
			var r *smtp.Refusal
			if !errors.As(err, &r) || r.Code != tt.code || r.Temporary() != (tt.code < 500) {
				t.Errorf("%q: %v", tt.script, err)
			}
		})
	}
}

func TestTooLateFor421(t *testing.T) {
	play(t, `
		> 220 b.example
		< EHLO me.example
		> 250-b.example|250 PIPELINING
		< MAIL FROM:<ann@a.example>
		< RCPT TO:<bob@b.example>
		< RCPT TO:<eve@b.example>
		< DATA
		> 250 ok|250 ok|421 4.3.2 going down`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		_, err := c.Send(ctx, smtp.Mail{From: ann}, to(bob, eve), strings.NewReader("x"))
		wantRefusal(t, err, 421, smtp.Enhanced{4, 3, 2}, "RCPT")
		if c.Usable() {
			t.Error("still usable")
		}
		c.Quit(ctx) // says nothing
	})
}

// A peer that refuses in the middle of a message is heard.
func TestLastWord(t *testing.T) {
	play(t, `
		> 220 b.example
		< EHLO me.example
		> 250 b.example
		< MAIL FROM:<ann@a.example>
		> 250 ok
		< RCPT TO:<bob@b.example>
		> 250 ok
		< DATA
		> 354 go
		< x
		W 3m2s
		> 552 5.3.4 too much`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		_, err := c.Send(ctx, smtp.Mail{From: ann}, to(bob), strings.NewReader("x\r\n"+strings.Repeat("y\r\n", 100000)))
		// The block has its three minutes (RFC 5321 §4.5.3.2.5), then the
		// peer's word is still waited for.
		wantRefusal(t, err, 552, smtp.Enhanced{5, 3, 4}, "message")
		if c.Usable() {
			t.Error("still usable")
		}
	})
}

func TestBrokenBody(t *testing.T) {
	play(t, `
		> 220 b.example
		< EHLO me.example
		> 250 b.example
		< MAIL FROM:<ann@a.example>
		> 250 ok
		< RCPT TO:<bob@b.example>
		> 250 ok
		< DATA
		> 354 go
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		broken := errors.New("broken disk")
		_, err := c.Send(ctx, smtp.Mail{From: ann}, to(bob), iotest.ErrReader(broken))
		var lost *smtpclient.Lost
		if !errors.Is(err, broken) || errors.As(err, &lost) || c.Usable() {
			t.Errorf("got %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	play(t, "> 220 hi\nW 1h", func(t *testing.T, ctx context.Context, nc net.Conn) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := smtpclient.New(ctx, nc, smtpclient.Options{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestNotOffered(t *testing.T) {
	play(t, "> 220 hi\n< EHLO me.example\n> 250-b.example|250 SIZE 10\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		for _, tt := range []struct {
			mail smtp.Mail
			rcpt mail.Address
			code int
		}{
			{smtp.Mail{From: ann, EightBit: true}, bob, 554},
			{smtp.Mail{From: ann, UTF8: true}, bob, 553},
			{smtp.Mail{From: ann, Size: 11}, bob, 552},
			{smtp.Mail{From: mail.Address{Local: "a>\r\nRSET", Domain: "x"}}, bob, 501},
			{smtp.Mail{From: ann}, mail.Address{Local: "a", Domain: "x>\r\nRSET"}, 501},
			{smtp.Mail{From: ann}, mail.Address{}, 501},
		} {
			_, err := c.Send(ctx, tt.mail, to(tt.rcpt), strings.NewReader(""))
			var r *smtp.Refusal
			if !errors.As(err, &r) || r.Code != tt.code {
				t.Errorf("%+v: %v", tt.mail, err)
			}
		}
		if err := c.Auth(ctx, "ann", "secret"); !errors.Is(err, smtpclient.ErrPlaintext) {
			t.Error(err)
		}
	})
}

func TestStartTLSInjection(t *testing.T) {
	play(t, "> 220 hi\n< EHLO me.example\n> 250-b.example|250 STARTTLS\n< STARTTLS\n> 220 go|250-evil\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		err := c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
		var lost *smtpclient.Lost
		if !errors.As(err, &lost) || c.Usable() {
			t.Errorf("got %v", err)
		}
	})
	// RFC 3207 §4: refused, the dialog goes on.
	play(t, "> 220 hi\n< EHLO me.example\n> 250-b.example|250 STARTTLS\n< STARTTLS\n> 454 4.7.0 no\n< NOOP\n> 250 ok\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		wantRefusal(t, c.StartTLS(ctx, &tls.Config{ServerName: "b.example"}), 454, smtp.Enhanced{4, 7, 0}, "STARTTLS")
		if err := c.Noop(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestUntrustedCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if err := peer(theirs, "> 220 hi\n< EHLO me.example\n> 250-b|250 STARTTLS\n< STARTTLS\n> 220 go"); err != nil {
				t.Error(err)
			}
			_ = tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}}).Handshake()
		}()
		c := connect(t, t.Context(), ours)
		err := c.StartTLS(t.Context(), &tls.Config{ServerName: "mail.example", RootCAs: x509.NewCertPool()})
		var untrusted *tls.CertificateVerificationError
		if !errors.As(err, &untrusted) {
			t.Errorf("got %v", err)
		}
		c.Close()
	})
}

// Many recipients go out in groups that nobody chokes on.
func TestManyRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		c := d.connect(t)
		var many []smtp.Rcpt
		for i := range 1100 {
			many = append(many, smtp.Rcpt{To: mail.Address{Local: fmt.Sprint("user", i), Domain: "b.example"}})
		}
		o, err := c.Send(t.Context(), smtp.Mail{From: ann}, many, strings.NewReader("hello\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if n := slices.IndexFunc(o.Refused, func(err error) bool { return err != nil }); n != 1000 {
			t.Errorf("%d accepted", n)
		}
		wantRefusal(t, o.Refused[1050], 452, smtp.Enhanced{4, 5, 3}, "RCPT")
		c.Quit(t.Context())
	})
}
