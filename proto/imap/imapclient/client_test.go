package imapclient

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
)

// play runs a server that follows a script, in a bubble: "S: text" is said by
// it ("|" stands for a line end), "C: text" has to be what the client says
// next. It hangs up at the end, or waits for the client to do so with "!".
func play(t *testing.T, script string, client func(t *testing.T, ctx context.Context, nc net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			in := bufio.NewReader(theirs)
			for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
				op, text, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch op {
				case "S:":
					_, _ = io.WriteString(theirs, strings.ReplaceAll(text, "|", "\r\n")+"\r\n")
				case "S;": // without a line end
					_, _ = io.WriteString(theirs, strings.ReplaceAll(text, "|", "\r\n"))
				case "C:":
					if got, err := in.ReadString('\n'); strings.TrimSuffix(got, "\r\n") != text {
						t.Errorf("client said %q (%v), want %q", got, err, text)
						return
					}
				case "!":
					_, _ = io.Copy(io.Discard, in)
				}
			}
		}()
		client(t, t.Context(), ours)
		_ = ours.Close()
		<-done
	})
}

func connect(t *testing.T, ctx context.Context, nc net.Conn) *Client {
	t.Helper()
	c, err := New(ctx, nc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSession(t *testing.T) {
	play(t, `
		S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+] hello
		C: W1 AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=
		S: W1 OK [CAPABILITY IMAP4rev1 NAMESPACE ENABLE UTF8=ACCEPT] in
		C: W2 ENABLE UTF8=ACCEPT
		S: * ENABLED UTF8=ACCEPT|W2 OK
		C: W3 NAMESPACE
		S: * NAMESPACE (("INBOX." ".")) NIL NIL|W3 OK
		C: W4 LIST "" "*"
		S: * LIST (\HasChildren) "." INBOX|* LIST () "." "INBOX.Lists.Grüße"|* LIST (\Sent \HasNoChildren) "." {13}|INBOX.Sent it|* LIST (\Noselect) "." "INBOX.Lists"|W4 OK
		C: W5 LSUB "" "*"
		S: * LSUB () "." "INBOX.Lists.Grüße"|W5 OK
		C: W6 EXAMINE "INBOX.Lists.Grüße"
		S: * 3 EXISTS|* 0 RECENT|* FLAGS (\Seen)|* OK [UIDVALIDITY 77] ok|* OK [HIGHESTMODSEQ 5]|W6 OK [READ-ONLY] done
		C: W7 UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)
		S: * 1 FETCH (UID 4 FLAGS (\Seen $Forwarded \Recent) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 10 X-NEW (a (b "c")))
		S: * 2 FETCH (FLAGS () RFC822.SIZE 3 UID 9 INTERNALDATE " 1-Jan-2001 00:00:00 +0000")|* 4 EXISTS|W7 OK
		C: W8 UID FETCH 4,9 (UID BODY.PEEK[])
		C: W9 UID FETCH 11 (UID BODY.PEEK[])
		S: * 1 FETCH (UID 4 BODY[] {10}|0123456789 FLAGS (\Seen))
		S: * 2 FETCH (BODY[] "abc" UID 9)|W8 OK|* 3 FETCH (BODY[] {3}|x|)|W9 NO [UNAVAILABLE] cannot
		C: W10 LOGOUT
		S: * BYE|W10 OK
		!`, func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		if err := c.Login(ctx, "ann", "secret"); err != nil {
			t.Fatal(err)
		}
		list, err := c.List(ctx)
		if err != nil || len(list) != 4 {
			t.Fatalf("%+v, %v", list, err)
		}
		if l := list[1]; !slices.Equal(l.Levels, []string{"Lists", "Grüße"}) || !l.Subscribed {
			t.Errorf("%+v", l)
		}
		if l := list[2]; !slices.Equal(l.Levels, []string{"Sent it"}) && l.Role != mail.RoleSent || l.Subscribed {
			t.Errorf("%+v", l)
		}
		if !list[3].NoSelect || list[0].Levels[0] != "INBOX" {
			t.Errorf("%+v", list)
		}
		e, err := c.Examine(ctx, list[1].Raw)
		if err != nil || e.UIDValidity != 77 || e.Messages != 3 {
			t.Errorf("%+v, %v", e, err)
		}
		var told []string
		err = c.Listing(ctx, func(f *Fetched) error {
			told = append(told, fmt.Sprint(f.UID, f.Flags, f.Internal.Unix(), f.Size))
			return nil
		})
		if want := []string{`4 [\Seen $Forwarded \Recent] 837596665 10`, "9 [] 978307200 3"}; err != nil || !slices.Equal(told, want) {
			t.Errorf("%q, %v", told, err)
		}
		texts := map[mail.UID]string{}
		var refusals []string
		err = c.Messages(ctx, [][]mail.UID{{4, 9}, {11}}, func(uid mail.UID, size int64, text io.Reader) error {
			b, err := io.ReadAll(text)
			texts[uid] = string(b)
			if int64(len(b)) != size {
				t.Errorf("%d octets, told were %d", len(b), size)
			}
			return err
		}, func(group []mail.UID, r *Refusal) { refusals = append(refusals, fmt.Sprint(group, r.Code)) })
		if err != nil || texts[4] != "0123456789" || texts[9] != "abc" || texts[11] != "x\r\n" || !slices.Equal(refusals, []string{"[11]UNAVAILABLE"}) {
			t.Errorf("%v %q %v", texts, refusals, err)
		}
		c.Logout(ctx)
	})
}

func TestLogins(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte("user=ann\x01auth=Bearer tok\x01\x01"))
	for _, tt := range []struct {
		what, script string
		token        bool
		want         string
	}{
		{"PLAIN with a question", "S: * OK [CAPABILITY AUTH=PLAIN] x\nC: W1 AUTHENTICATE PLAIN\nS: + \nC: AGFubgBnZWhlaW0=\nS: W1 OK\nC: W2 CAPABILITY\nS: * CAPABILITY X|W2 OK", false, ""},
		{"LOGIN", "S: * OK x\nC: W1 CAPABILITY\nS: * CAPABILITY IMAP4rev1|W1 OK\nC: W2 LOGIN \"ann\" \"geheim\"\nS: W2 OK [CAPABILITY X] in", false, ""},
		{"refused", "S: * OK [CAPABILITY AUTH=PLAIN SASL-IR] x\nC: W1 AUTHENTICATE PLAIN AGFubgBnZWhlaW0=\nS: W1 NO [AUTHENTICATIONFAILED] wrong", false, "wrong"},
		{"nothing offered", "S: * OK [CAPABILITY LOGINDISABLED] x", false, ErrNoMechanism.Error()},
		{"token", "S: * OK [CAPABILITY AUTH=XOAUTH2 SASL-IR] x\nC: W1 AUTHENTICATE XOAUTH2 " + token + "\nS: W1 OK [CAPABILITY X] in", true, ""},
		{"token refused", "S: * OK [CAPABILITY AUTH=XOAUTH2 SASL-IR] x\nC: W1 AUTHENTICATE XOAUTH2 " + token + "\nS: + eyJzdGF0dXMiOiI0MDAifQ==\nC: \nS: W1 NO expired", true, "expired"},
		{"already in", "S: * PREAUTH [CAPABILITY X] x", false, ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			play(t, tt.script+"\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
				c := connect(t, ctx, nc)
				var err error
				if tt.token {
					err = c.LoginToken(ctx, "ann", "tok")
				} else {
					err = c.Login(ctx, "ann", "geheim")
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				c.Close()
			})
		})
	}
}

// A password that is not ASCII goes as a literal, which the server asks for.
func TestLoginLiteral(t *testing.T) {
	play(t, "S: * OK [CAPABILITY X] x\nC: W1 LOGIN \"ann\" {6}\nS: + go\nC: geh\u00fc!\nS: W1 OK [CAPABILITY X]\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		if err := c.Login(ctx, "ann", "geh\u00fc!"); err != nil {
			t.Error(err)
		}
		c.Close()
	})
}

func TestHostileServers(t *testing.T) {
	for what, say := range map[string]string{
		"nothing":            "S; ",
		"no greeting":        "S: HTTP/1.1 400 Bad Request",
		"BYE":                "S: * BYE full",
		"a line without end": "S; * OK " + strings.Repeat("x", maxOctets+10),
		"lists in lists":     "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS; * X " + strings.Repeat("(", 100_000),
		"a large literal":    "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS: * X {99999999}",
		"a literal of -1":    "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS: * 1 FETCH (BODY[] {-1}",
		"many small things":  "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS; * X " + strings.Repeat("a ", 1_000_000),
		"another tag":        "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS: W9 OK",
		"a question":         "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS: + what",
		"hangs up":           "S: * OK [CAPABILITY X]\nC: W1 NOOP\nS; * 1 FETCH (BODY[] {100}|abc",
	} {
		t.Run(what, func(t *testing.T) {
			play(t, say, func(t *testing.T, ctx context.Context, nc net.Conn) {
				c, err := New(ctx, nc)
				if err == nil {
					err = c.Noop(ctx)
				}
				var lost *Lost
				if !errors.As(err, &lost) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestSilence(t *testing.T) {
	play(t, "S: * OK [CAPABILITY X]\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		began := time.Now()
		if err := c.Noop(ctx); err == nil || time.Since(began) != commandTimeout || c.Usable() {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	play(t, "S: * OK [CAPABILITY X]\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := c.Noop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// An error of the one who takes messages is theirs, one of the line is not.
func TestWhoseError(t *testing.T) {
	own := errors.New("disk full")
	play(t, "S: * OK [CAPABILITY X]\nC: W1 UID FETCH 1 (UID BODY.PEEK[])\nS: * 1 FETCH (UID 1 BODY[] {3}|abc)\n!", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		err := c.Messages(ctx, [][]mail.UID{{1}}, func(mail.UID, int64, io.Reader) error { return own }, nil)
		var lost *Lost
		if !errors.Is(err, own) || errors.As(err, &lost) {
			t.Errorf("got %v", err)
		}
	})
	play(t, "S: * OK [CAPABILITY X]\nC: W1 UID FETCH 1 (UID BODY.PEEK[])\nS; * 1 FETCH (UID 1 BODY[] {3}|a", func(t *testing.T, ctx context.Context, nc net.Conn) {
		c := connect(t, ctx, nc)
		err := c.Messages(ctx, [][]mail.UID{{1}}, func(_ mail.UID, _ int64, r io.Reader) error {
			_, err := io.ReadAll(r)
			return err
		}, nil)
		var lost *Lost
		if !errors.As(err, &lost) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
}

// Whatever a server says, reading it ends, in bounded memory.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"* OK [CAPABILITY IMAP4rev1] hi\r\n", "* LIST (\\Sent) \"/\" {4}\r\nSent\r\n", "* 1 FETCH (UID 4 BODY[] {3}\r\nabc FLAGS (\\Seen \"a\"))\r\n",
		"* 1 FETCH (BODY[] ~{3}\r\nabc UID 3)\r\n", "* 1 FETCH (BODY[HEADER.FIELDS (A B)]<0> NIL)\r\n", "+ go\r\n", "* X (((a) b) \"c\\\"\")\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := newReader(strings.NewReader(s), func() {})
		taken := 0
		b := &bodies{wanted: []mail.UID{1}, fn: func(_ mail.UID, _ int64, text io.Reader) error {
			n, err := io.Copy(io.Discard, text)
			taken += int(n)
			return err
		}}
		for range len(s) + 1 {
			if _, err := r.response(b); err != nil {
				break
			}
		}
		if taken > len(s) {
			t.Fatalf("%d octets of messages in %d", taken, len(s))
		}
	})
}
