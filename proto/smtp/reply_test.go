package smtp

import (
	"errors"
	"strings"
	"testing"
)

func TestReplyAppend(t *testing.T) {
	tests := []struct {
		reply Reply
		want  string
	}{
		{Reply{Code: 250}, "250 \r\n"},
		{Reply{Code: 250, Text: "x"}, "250 x\r\n"},
		{Reply{Code: 250, Text: "x\ny\nz"}, "250-x\r\n250-y\r\n250 z\r\n"},
		// RFC 2034 §4: on every line.
		{Reply{Code: 550, Enhanced: Enhanced{5, 1, 1}, Text: "no\nsuch user"}, "550-5.1.1 no\r\n550 5.1.1 such user\r\n"},
		{Reply{Code: 250, Text: "a\rb\x00c\x7fd"}, "250 a b c d\r\n"},
		{Reply{Code: 250, Text: strings.Repeat("x", 490) + "\ny"}, "250-" + strings.Repeat("x", 480) + "\r\n250-" + strings.Repeat("x", 10) + "\r\n250 y\r\n"},
		{Reply{Code: 250, Text: strings.Repeat("x", 470) + " " + strings.Repeat("y", 20)}, "250-" + strings.Repeat("x", 470) + " \r\n250 " + strings.Repeat("y", 20) + "\r\n"},
		{Reply{Code: 250, Text: strings.Repeat("x", 479) + "ü"}, "250-" + strings.Repeat("x", 479) + "\r\n250 ?\r\n"},
		// RFC 6531 §3.7.4: UTF-8 is for those who have asked for it.
		{Reply{Code: 553, Text: "<jürgen@例.example>"}, "553 <j?rgen@?.example>\r\n"},
		{Reply{Code: 250, Text: "<jürgen@例.example>", UTF8: true}, "250 <jürgen@例.example>\r\n"},
	}
	for _, tt := range tests {
		if got := string(tt.reply.Append(nil)); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.reply, got, tt.want)
		}
	}
}

func TestParseReply(t *testing.T) {
	tests := []struct {
		in   string
		want Reply
		rest string
	}{
		{"250 ok\r\nmore", Reply{Code: 250, Text: "ok"}, "more"},
		{"250-a\r\n250-b\r\n250 c\r\n", Reply{Code: 250, Text: "a\nb\nc"}, ""},
		{"550 5.1.1 no\r\n", Reply{Code: 550, Enhanced: Enhanced{5, 1, 1}, Text: "no"}, ""},
		{"550-5.7.1 a\r\n550-b\r\n550 5.7.1 c\r\n", Reply{Code: 550, Enhanced: Enhanced{5, 7, 1}, Text: "a\nb\nc"}, ""},
		// A code of another class is text. RFC 2034 §4
		{"550 4.1.1 no\r\n", Reply{Code: 550, Text: "4.1.1 no"}, ""},
		{"250-5.1 x\r\n250 2.0.0\r\n", Reply{Code: 250, Enhanced: Enhanced{2, 0, 0}, Text: "5.1 x\n"}, ""},
		{"354\r\n", Reply{Code: 354}, ""},
		{"354 \r\n", Reply{Code: 354}, ""},
		{"220 lf only\n", Reply{Code: 220, Text: "lf only"}, ""},
		{"220 a\tb\x00\xff\r\n", Reply{Code: 220, Text: "a b ?"}, ""},
		{"250-5.5.0 a\r\n450 b\r\n", Reply{Code: 450, Text: "5.5.0 a\nb"}, ""},
	}
	for _, tt := range tests {
		r, n, err := ParseReply([]byte(tt.in))
		if err != nil || r != tt.want || tt.in[n:] != tt.rest {
			t.Errorf("ParseReply(%q) = %+v, %d, %v; want %+v", tt.in, r, n, err, tt.want)
		}
		for cut := range len(tt.in) - len(tt.rest) {
			if r, n, err := ParseReply([]byte(tt.in[:cut])); n != 0 || err != nil {
				t.Errorf("ParseReply(%q) = %+v, %d, %v", tt.in[:cut], r, n, err)
			}
		}
	}
	for _, in := range []string{
		"\r\n", "hello\r\n", "25\r\n", "2500 x\r\n", "150 x\r\n", "650 x\r\n", "250_x\r\n", "250-a\r\nb\r\n",
		strings.Repeat("x", MaxReply), strings.Repeat("250-x\r\n", 300), "250-" + strings.Repeat("x", MaxReply) + "\r\n",
	} {
		if r, n, err := ParseReply([]byte(in)); !errors.Is(err, ErrReply) {
			t.Errorf("ParseReply(%.20q) = %+v, %d, %v", in, r, n, err)
		}
	}
}

func TestRefusal(t *testing.T) {
	cause := errors.New("disk full")
	r := &Refusal{Code: 452, Enhanced: Enhanced{4, 2, 2}, Text: "Mailbox full\ntry later", Err: cause}
	if !r.Temporary() || !errors.Is(r, cause) || r.Error() != "452 4.2.2 Mailbox full / try later: disk full" {
		t.Errorf("%v", r)
	}
	if e, ok := ParseEnhanced("5.7.123"); !ok || e.String() != "5.7.123" {
		t.Error(e, ok)
	}
	for _, s := range []string{"", "5", "5.1", "5.1.1.1", "3.1.1", "5..1", "5.1.", "5.1.1000", "5.a.1", "55.1.1"} {
		if e, ok := ParseEnhanced(s); ok {
			t.Errorf("ParseEnhanced(%q) = %v", s, e)
		}
	}
}

// What is read whole is written back as something that reads the same, and
// the parse is of the bytes that it says it has used.
func FuzzParseReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 2.0.0 b\r\n", "550 5.1.1 x\n", "354\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := ParseReply(b)
		if err != nil || n == 0 {
			if n != 0 || r != (Reply{}) {
				t.Fatalf("%q: %+v, %d, %v", b, r, n, err)
			}
			return
		}
		if r2, n2, err := ParseReply(b[:n]); r2 != r || n2 != n || err != nil {
			t.Fatalf("%q: %+v, %d, %v", b[:n], r2, n2, err)
		}
		checkReplyBytes(t, r)
	})
}
