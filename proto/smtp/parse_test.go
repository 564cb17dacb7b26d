package smtp

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"waxwing/mail"
)

var ann = mail.Address{Local: "ann", Domain: "a.example"}

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want Command
	}{
		{"EHLO c.example", Hello{Name: "c.example", Extended: true}},
		{"helo [192.0.2.1]", Hello{Name: "[192.0.2.1]"}},
		{"HELO\tc.example \t", Hello{Name: "c.example"}},
		{"EHLO under_score", Hello{Name: "under_score", Extended: true}},
		{"DATA", Data{}},
		{"data ", Data{}},
		{"RSET", Reset{}},
		{"NOOP whatever you say", Noop{}},
		{"HELP", Help{}},
		{"HELP MAIL", Help{Topic: "MAIL"}},
		{"VRFY ann b", Verify{Who: "ann b"}},
		{"EXPN staff", Expand{List: "staff"}},
		// RFC 6531 §3.7.4.2
		{"VRFY jürgen  smtputf8", Verify{Who: "jürgen", UTF8: true}},
		{"VRFY SMTPUTF8", Verify{Who: "SMTPUTF8"}},
		{"EXPN staff SMTPUTF8", Expand{List: "staff", UTF8: true}},
		{"QUIT", Quit{}},
		{"StartTLS", StartTLS{}},
		{"AUTH plain", Auth{Mechanism: "PLAIN"}},
		{"AUTH PLAIN =", Auth{Mechanism: "PLAIN", Initial: "="}},
		{"AUTH PLAIN AGE=", Auth{Mechanism: "PLAIN", Initial: "AGE="}},

		{"MAIL FROM:<ann@a.example>", Mail{From: ann}},
		{"mail from:<ann@A.Example>", Mail{From: ann}},
		{"MAIL FROM: <ann@a.example>", Mail{From: ann}},
		{"MAIL FROM:ann@a.example", Mail{From: ann}},
		{"MAIL FROM:<>", Mail{}},
		{"MAIL FROM:<@b.example,@c.example:ann@a.example>", Mail{From: ann}},
		{`MAIL FROM:<"a> b"@a.example>`, Mail{From: mail.Address{Local: "a> b", Domain: "a.example"}}},
		{"MAIL FROM:<ann@a.example> SIZE=12 BODY=8BITMIME", Mail{From: ann, Size: 12, EightBit: true, Uses: Size | EightBitMIME}},
		{"MAIL FROM:<ann@a.example>  size=0  body=7bit ", Mail{From: ann, Uses: Size | EightBitMIME}},
		{"MAIL FROM:<ann@a.example> SIZE=99999999999999999999", Mail{From: ann, Size: math.MaxInt64, Uses: Size}},
		{"MAIL FROM:<jürgen@bücher.example> SMTPUTF8", Mail{From: mail.Address{Local: "jürgen", Domain: "bücher.example"}, UTF8: true, Uses: SMTPUTF8}},
		// RFC 4954 §5
		{"MAIL FROM:<e=mc2@example.com> AUTH=e+3Dmc2@example.com", Mail{From: mail.Address{Local: "e=mc2", Domain: "example.com"}, Auth: "e=mc2@example.com", Uses: AUTH}},
		{"MAIL FROM:<> AUTH=<>", Mail{Auth: "<>", Uses: AUTH}},
		// RFC 3461 §10
		{"MAIL FROM:<ann@a.example> RET=HDRS ENVID=QQ314159", Mail{From: ann, Return: ReturnHeaders, EnvelopeID: "QQ314159", Uses: DSN}},
		{"MAIL FROM:<ann@a.example> ret=full", Mail{From: ann, Return: ReturnFull, Uses: DSN}},

		{"RCPT TO:<ann@a.example>", Rcpt{To: ann}},
		{"RCPT TO:<postMaster>", Rcpt{To: mail.Address{Local: "postMaster"}}},
		{"RCPT TO:<ann@a.example> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM", Rcpt{To: ann, Notify: mail.NotifySuccess, Original: "rfc822;Bob@Example.COM", Uses: DSN}},
		{"RCPT TO:<ann@a.example> NOTIFY=Failure,DELAY", Rcpt{To: ann, Notify: mail.NotifyFailure | mail.NotifyDelay, Uses: DSN}},
		// RFC 3030 §2, §3
		{"bdat 12", Bdat{Size: 12}},
		{"BDAT 0 last", Bdat{Last: true}},
		{"MAIL FROM:<ann@a.example> BODY=BINARYMIME", Mail{From: ann, EightBit: true, Binary: true, Uses: EightBitMIME | BinaryMIME}},
		// RFC 2852 §4, RFC 6710 §3, RFC 4865 §3, RFC 8689 §2, RFC 3865 §2.3
		{"MAIL FROM:<ann@a.example> BY=-120;NT", Mail{From: ann, By: By{Seconds: -120, Trace: true}, Uses: DeliverBy}},
		{"MAIL FROM:<ann@a.example> BY=+98;r", Mail{From: ann, By: By{Seconds: 98, Return: true}, Uses: DeliverBy}},
		{"MAIL FROM:<ann@a.example> MT-PRIORITY=-9", Mail{From: ann, Priority: -9, Uses: MTPriority}},
		{"MAIL FROM:<ann@a.example> HOLDFOR=120", Mail{From: ann, HoldFor: 2 * time.Minute, Uses: FutureRelease}},
		{"MAIL FROM:<ann@a.example> HOLDUNTIL=2030-01-02T03:04:05Z", Mail{From: ann, HoldUntil: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Uses: FutureRelease}},
		{"MAIL FROM:<ann@a.example> REQUIRETLS", Mail{From: ann, RequireTLS: true, Uses: RequireTLS}},
		{"MAIL FROM:<ann@a.example> SOLICIT=net.example:ADV,x", Mail{From: ann, Solicit: "net.example:ADV,x", Uses: NoSoliciting}},
		// RFC 4468 §3.5
		{"BURL imap://a@b/c LAST", Burl{URL: "imap://a@b/c", Last: true}},
		{"ETRN x", Turn{Name: "ETRN"}},
		{"LHLO x", Hello{Name: "x", Extended: true, Local: true}},
		{"RCPT TO:<ann@a.example> NOTIFY=NEVER", Rcpt{To: ann, Notify: mail.NotifyNever, Uses: DSN}},
		{"RCPT TO:<ann@a.example> ORCPT=rfc822;a+2Bb+3Dc@a.example", Rcpt{To: ann, Original: "rfc822;a+b=c@a.example", Uses: DSN}},
		// RFC 6533 §3
		{`RCPT TO:<ann@a.example> ORCPT=utf-8;j\x{FC}rgen@a.example`, Rcpt{To: ann, Original: "utf-8;jürgen@a.example", Uses: DSN}},
		{`RCPT TO:<ann@a.example> ORCPT=utf-8;jürgen@a.example`, Rcpt{To: ann, Original: "utf-8;jürgen@a.example", Uses: DSN}},
	}
	for _, tt := range tests {
		got, err := Parse([]byte(tt.line))
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", tt.line, got, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[int][]string{
		500: {"", " ", " NOOP", "FROB", "NOOP\x00", "NO\nOP", "NOOP\r", "NOOP\nRSET", "VRFY \xff", "EHLO:x", "\x16\x03\x01", "MAILFROM:<a@b>"},
		501: {
			"EHLO", "HELO ", "EHLO a b", "EHLO bücher.example", "EHLO " + strings.Repeat("x", 256),
			"DATA x", "RSET x", "QUIT x", "STARTTLS x", "VRFY", "EXPN", "AUTH", "AUTH PLAIN a b", "AUTH " + strings.Repeat("X", 21),
			"MAIL", "MAIL FROM", "MAIL FROM:", "MAIL <a@b>", "MAIL TO:<a@b>", "MAIL FROM <a@b>", "MAIL FROM:<a@b", "MAIL FROM:a@b>",
			"MAIL FROM:<a@b>SIZE=1", "MAIL FROM:<a@b>>", "MAIL FROM:<postmaster>", "MAIL FROM:< a@b>", "MAIL FROM:<a b@c>",
			"MAIL FROM:<@a>", "MAIL FROM:<@a,b:c@d>", "MAIL FROM:<@a:@b:c@d>", "MAIL FROM:<@:c@d>",
			"MAIL FROM:<a@b> SIZE", "MAIL FROM:<a@b> SIZE=", "MAIL FROM:<a@b> SIZE=-1", "MAIL FROM:<a@b> SIZE=1 size=2",
			"MAIL FROM:<a@b> SIZE=123456789012345678901", "MAIL FROM:<a@b> BODY", "MAIL FROM:<a@b> SMTPUTF8=1",
			"MAIL FROM:<a@b> AUTH=", "MAIL FROM:<a@b> AUTH=a", "MAIL FROM:<a@b> RET=SOME", "MAIL FROM:<a@b> ENVID=",
			"MAIL FROM:<a@b> ENVID=+0A", "MAIL FROM:<a@b> ENVID=+", "MAIL FROM:<a@b> ENVID=" + strings.Repeat("x", 101),
			"MAIL FROM:<a@b>" + strings.Repeat(" X=1", 17),
			"BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST", "BDAT 1 LAST x", "BDAT 1234567890123456789", "BURL", "BURL x", "BURL a:b c",
			"MAIL FROM:<a@b> BY=1", "MAIL FROM:<a@b> BY=--1;N", "MAIL FROM:<a@b> BY=;N", "MAIL FROM:<a@b> BY=0;R", "MAIL FROM:<a@b> BY=1;RN",
			"MAIL FROM:<a@b> MT-PRIORITY=10", "MAIL FROM:<a@b> MT-PRIORITY=+1", "MAIL FROM:<a@b> MT-PRIORITY=", "MAIL FROM:<a@b> HOLDFOR=0",
			"MAIL FROM:<a@b> HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z", "MAIL FROM:<a@b> HOLDUNTIL=2030-01-01", "MAIL FROM:<a@b> REQUIRETLS=1",
			"MAIL FROM:<a@b> SOLICIT=", "MAIL FROM:<a@b> SOLICIT=a,,b", "MAIL FROM:<a@b> SOLICIT=a=b",
			"XCLIENT", "XCLIENT NAME", "XCLIENT ADDR=x", "XCLIENT ADDR=IPV6:192.0.2.1", "XCLIENT PORT=65536", "XCLIENT PROTO=X", "XCLIENT NAME=", "XCLIENT NAME=a NAME=b", "XCLIENT NAME=+zz",
			"RCPT TO:<>", "RCPT TO:<bob>", "RCPT TO:<a@b> NOTIFY=", "RCPT TO:<a@b> NOTIFY=NEVER,DELAY", "RCPT TO:<a@b> NOTIFY=NOW",
			"RCPT TO:<a@b> ORCPT=a@b", "RCPT TO:<a@b> ORCPT=rfc822;", "RCPT TO:<a@b> ORCPT=;x", "RCPT TO:<a@b> ORCPT=rfc822;+0D+0A",
			`RCPT TO:<a@b> ORCPT=utf-8;\x{A}`, `RCPT TO:<a@b> ORCPT=utf-8;\x{D800}`, `RCPT TO:<a@b> ORCPT=utf-8;\x`, "RCPT TO:<a@b> ORCPT=rf c822;x",
		},
		502: {"SEND FROM:<a@b>", "SOML", "SAML"},
		555: {"MAIL FROM:<a@b> FROB=1", "MAIL FROM:<a@b> NOTIFY=NEVER", "MAIL FROM:<a@b> BODY=OTHER", "RCPT TO:<a@b> SIZE=1", "RCPT TO:<a@b> =x"},
	}
	for code, lines := range tests {
		for _, line := range lines {
			cmd, err := Parse([]byte(line))
			var r *Refusal
			if !errors.As(err, &r) || r.Code != code || cmd != nil || r.Enhanced[0] != 5 {
				t.Errorf("Parse(%q) = %#v, %v; want %d", line, cmd, err, code)
			}
		}
	}
}

// A line gives a command or a refusal; MAIL and RCPT that parse are written
// back as lines that parse to the same; no reply can be made to break lines.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"EHLO x", "MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME SMTPUTF8 AUTH=a@b RET=FULL ENVID=x+2By",
		"RCPT TO:<\"a\\\"b\"@[IPv6:::1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b", `RCPT TO:<Postmaster> ORCPT=utf-8;\x{FC}`, "AUTH PLAIN =",
		"MAIL FROM:<> BODY=BINARYMIME BY=-1;NT MT-PRIORITY=-3 HOLDFOR=5 REQUIRETLS SOLICIT=a:b", "BDAT 5 LAST", "BURL imap://x LAST",
		"MAIL FROM:<> HOLDUNTIL=2030-01-02T03:04:05Z", "XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:::1 PORT=1 PROTO=ESMTP HELO=a+2Bb LOGIN=x DESTADDR=192.0.2.1 DESTPORT=25",
		"mail from: a@b", "RCPT TO:<@x,@y:a@b>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		cmd, err := Parse(line)
		if err != nil {
			var r *Refusal
			if !errors.As(err, &r) || r.Code < 500 || cmd != nil {
				t.Fatalf("%q: %v, %v", line, cmd, err)
			}
			checkReplyBytes(t, r.Reply())
			return
		}
		var again []byte
		switch c := cmd.(type) {
		case Mail:
			again = c.Append(nil)
		case Rcpt:
			again = c.Append(nil)
		case Bdat:
			again = c.Append(nil)
		default:
			return
		}
		if len(again) > MaxLine+2 && len(line) <= MaxLine/2 {
			t.Fatalf("%q is written as %d octets", line, len(again))
		}
		cmd2, err := Parse(again[:len(again)-2])
		if err != nil || !same(cmd, cmd2) {
			t.Fatalf("%q -> %#v -> %q -> %#v, %v", line, cmd, again, cmd2, err)
		}
	})
}

// same compares but for Uses: a value that says nothing is not written.
func same(a, b Command) bool {
	if m, ok := a.(Mail); ok {
		n, ok := b.(Mail)
		m.Uses, n.Uses = 0, 0
		return ok && m == n
	}
	if _, ok := a.(Bdat); ok {
		return a == b
	}
	r, s := a.(Rcpt), b.(Rcpt)
	r.Uses, s.Uses = 0, 0
	return r == s
}

func checkReplyBytes(t *testing.T, r Reply) {
	t.Helper()
	b := r.Append(nil)
	back, n, err := ParseReply(b)
	if err != nil || n != len(b) || back.Code != r.Code || back.Enhanced != r.Enhanced {
		t.Fatalf("%+v written as %q reads as %+v, %d, %v", r, b, back, n, err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
		if len(line) > 510 || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%+v written as %q", r, b)
		}
	}
}

func TestXtext(t *testing.T) {
	for _, s := range []string{"", "plain", "a+b=c d", "!~", "<>"} {
		if got, err := DecodeXtext(EncodeXtext(s)); err != nil || got != s {
			t.Errorf("%q -> %q -> %q, %v", s, EncodeXtext(s), got, err)
		}
	}
	for _, s := range []string{"jürgen", `a\b`, "a+b=c", "日本語", "a b"} {
		got, err := DecodeUTF8Xtext(EncodeUTF8Xtext(s))
		if err != nil || got != s || strings.ContainsFunc(EncodeUTF8Xtext(s), func(r rune) bool { return r >= utf8.RuneSelf || r <= ' ' }) {
			t.Errorf("%q -> %q -> %q, %v", s, EncodeUTF8Xtext(s), got, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	line := []byte("MAIL FROM:<ann@a.example> SIZE=12345 BODY=8BITMIME")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}
