package imap

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestUTF7(t *testing.T) {
	for name, want := range map[string]string{
		"":                        "",
		"INBOX":                   "INBOX",
		"R&D":                     "R&-D",
		"&":                       "&-",
		"~peter/mail/台北/日本語":      "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"Entwürfe":                "Entw&APw-rfe",
		"☺!":                      "&Jjo-!",
		"a😀b":                     "a&2D3eAA-b",
		"tab\tx":                  "tab&AAk-x",
		"Отправленные":            "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-",
		strings.Repeat("ü", 1000): "&" + strings.Repeat("APwA,AD8", 333) + "APw-",
	} {
		if got := EncodeUTF7(name); got != want {
			t.Errorf("EncodeUTF7(%.40q) = %.60q, want %.60q", name, got, want)
		}
		if got, err := DecodeUTF7(want); err != nil || got != name {
			t.Errorf("DecodeUTF7(%.40q) = %.60q, %v", want, got, err)
		}
	}
	for _, s := range []string{
		"&", "&Jjo", "&Jjo!", "&U,BTFw-&ZeVnLIqe-", "&AGE-", "&Jjo=-", "&J-", "&2D0-", "&3gA-", "&2D0AYQ-",
		"ü", "a\x00", "&AAA\n-", "&Jj/-", "&Jjp-", "&JjoA-",
	} {
		if got, err := DecodeUTF7(s); err == nil {
			t.Errorf("DecodeUTF7(%q) = %q, want an error", s, got)
		}
	}
}

// What decodes is written in one way only, and all UTF-8 goes both ways.
func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"R&-D", "&Jjo-!", "Entwürfe", "&2D3eAA-", "&U,BTFw-&ZeVnLIqe-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := DecodeUTF7(s); err == nil && EncodeUTF7(name) != s {
			t.Fatalf("%q -> %q -> %q", s, name, EncodeUTF7(name))
		}
		if utf8.ValidString(s) {
			if again, err := DecodeUTF7(EncodeUTF7(s)); err != nil || again != s {
				t.Fatalf("%q -> %q -> %q, %v", s, EncodeUTF7(s), again, err)
			}
		}
	})
}

func TestDecodeMailbox(t *testing.T) {
	tests := []struct {
		in   string
		utf8 bool
		want string
	}{
		{"inbox", false, "INBOX"}, {"iNbOx/x", true, "INBOX/x"}, {"inboxes", false, "inboxes"},
		{"&Jjo-", false, "☺"}, {"&Jjo-", true, "&Jjo-"}, {"A&B", true, "A&B"}, {"☺", false, "☺"},
	}
	for _, tt := range tests {
		if got, err := DecodeMailbox(tt.in, tt.utf8); err != nil || got != tt.want {
			t.Errorf("DecodeMailbox(%q, %v) = %q, %v", tt.in, tt.utf8, got, err)
		}
	}
	for _, s := range []string{"A&B", "a\x01", "\xff", "a\u2028b", "a\u0085b"} {
		if got, err := DecodeMailbox(s, false); err == nil {
			t.Errorf("DecodeMailbox(%q) = %q, want an error", s, got)
		}
	}
}

func TestPattern(t *testing.T) {
	tests := []struct{ pattern, yes, no string }{
		{"*", "a a/b INBOX", ""},
		{"%", "a INBOX", "a/b"},
		{"a*", "a ab a/b", "b ba"},
		{"a%", "a ab", "a/b"},
		{"a/%", "a/b a/", "a a/b/c"},
		{"%/%", "a/b", "a a/b/c"},
		{"*b", "b ab a/b", "ba"},
		{"%*", "a a/b/c", ""},
		{"*%", "a a/b/c", ""},
		{"a%c*e", "ace abcde ac/e", "a/c/e"},
		{"inbox", "INBOX", "inboxes"},
		{"in*", "INBOX INBOX/x inn", "IN"},
		{"inBox/a", "INBOX/a", "INBOX/A"},
		{"%box", "INBOX", ""},
		{"", "", "a INBOX"},
	}
	for _, tt := range tests {
		p := CompilePattern(tt.pattern)
		for _, name := range strings.Fields(tt.yes) {
			if !p.Match(name) {
				t.Errorf("%q does not match %q", tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.no) {
			if p.Match(name) {
				t.Errorf("%q matches %q", tt.pattern, name)
			}
		}
	}
}

// A pattern means what the same regular expression means.
func FuzzPattern(f *testing.F) {
	f.Add("a%b*c", "axb/c")
	f.Add("%/%", "a/b")
	f.Add("*%*", "a/")
	f.Add("inb*/%x", "INBOX/x")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 100 || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		source := regexp.QuoteMeta(pattern)
		source = strings.ReplaceAll(strings.ReplaceAll(source, `\*`, "(?s:.*)"), "%", "[^/]*")
		fold := name == Inbox || strings.HasPrefix(name, Inbox+"/")
		want := regexp.MustCompile("^(?s:" + source + ")$").MatchString(name)
		got := CompilePattern(pattern).Match(name)
		if got != want && !(fold && got) {
			t.Fatalf("%q on %q: %v, want %v", pattern, name, got, want)
		}
	})
}
