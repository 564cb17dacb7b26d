package imap

import (
	"reflect"
	"testing"
	"time"
)

// What is written means the same when it is read again.
func FuzzFetchItems(f *testing.F) {
	for _, s := range []string{
		"ALL", "(FLAGS UID)", "BODY[]", "BODY.PEEK[1.2.MIME]<3.4>", "BODY[HEADER.FIELDS (a \"b]\")]", "BINARY.PEEK[1]<0.1>",
		"BINARY.SIZE[]", "(RFC822 RFC822.HEADER RFC822.TEXT BODY BODYSTRUCTURE)",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		items, err := ParseFetchItems(s)
		if err != nil {
			return
		}
		text := "("
		for i, item := range items {
			if i > 0 {
				text += " "
			}
			text += item.String()
		}
		again, err := ParseFetchItems(text + ")")
		if err != nil || !reflect.DeepEqual(items, again) {
			t.Fatalf("%q -> %q -> %+v, %v", s, text, again, err)
		}
	})
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{
		"BODY.PEEK[1.TEXT]<5.10>":                        "BODY[1.TEXT]<5>",
		"BODY[HEADER.FIELDS.NOT (From {2}\r\nTo)]":       "BODY[HEADER.FIELDS.NOT (From To)]",
		"BINARY.PEEK[1]":                                 "BINARY[1]",
		"BINARY.SIZE[1.2]":                               "BINARY.SIZE[1.2]",
		"rfc822.text":                                    "RFC822.TEXT",
		"BODY.PEEK[HEADER.FIELDS (\"a(b\" X-]Odd)]<0.1>": "BODY[HEADER.FIELDS (\"a(b\" X-]Odd)]<0>",
	} {
		items, err := ParseFetchItems(in)
		if err != nil || string(items[0].AppendLabel(nil)) != want {
			t.Errorf("%q: %+v, %v; want %s", in, items, err, want)
		}
	}
}

// A search program is written as one that means the same.
func FuzzSearchProgram(f *testing.F) {
	for _, s := range []string{
		"ALL", "NEW", "OLD UNSEEN", "OR FROM a (NOT TO \"b c\" TEXT {1}\r\nx)", "1:5,7 UID *", "$", "KEYWORD $x UNKEYWORD y",
		"ON 1-Jan-2000 SENTBEFORE \"31-dec-1999\"", "LARGER 5 SMALLER 10", "HEADER \"\" \"\"", "BODY \"\\\"\"",
		"FUZZY (SUBJECT x NOT BODY y) OLDER 5", "FILTER a OR YOUNGER 3 UID 1:*", "MODSEQ 3 1,2:4 $", "EMAILID M1 THREADID T2 UIDAFTER 4",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseSearch(s)
		if err != nil {
			return
		}
		again, err := ParseSearch(k.String())
		if err != nil && err.Error() == "nested too deep" {
			return // a literal AND may be written with one level more
		}
		if err != nil || again.String() != k.String() {
			t.Fatalf("%q -> %q -> %q, %v", s, k.String(), again.String(), err)
		}
	})
}

func TestDateTime(t *testing.T) {
	for in, want := range map[string]string{
		`" 7-Feb-1994 21:52:25 -0800"`: "1994-02-07T21:52:25-08:00",
		`"07-feb-1994 21:52:25 +0530"`: "1994-02-07T21:52:25+05:30",
		`"7-Feb-1994 21:52:25 +0000"`:  "1994-02-07T21:52:25Z",
		`"31-Dec-1999 23:59:60 +0000"`: "2000-01-01T00:00:00Z",
	} {
		s := scanner{b: []byte(in)}
		got := s.dateTime()
		s.end()
		at, err := time.Parse(time.RFC3339, want)
		if s.err != nil || err != nil || !got.Equal(at) {
			t.Errorf("%s: %v, %v; want %s", in, got, s.err, want)
		}
	}
	for _, in := range []string{
		`"32-Jan-2000 00:00:00 +0000"`, `"1-Jan-2000 24:00:00 +0000"`, `"1-Jan-2000 00:00:00"`, `"1-Jan-00 00:00:00 +0000"`,
		`"1-Jan-2000 0:00:00 +0000"`, `"29-Feb-1999 00:00:00 +0000"`, `"0-Jan-2000 00:00:00 +0000"`, `"1-Jan-2000 00:00:00 +2400"`,
	} {
		s := scanner{b: []byte(in)}
		if got := s.dateTime(); s.err == nil {
			t.Errorf("%s: %v, want an error", in, got)
		}
	}
	for want, at := range map[string]time.Time{
		`" 7-Feb-1994 21:52:25 -0800"`: time.Date(1994, 2, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600)),
		`"17-Jul-1996 02:44:25 +0530"`: time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", 5*3600+1800)),
	} {
		if got := string(AppendDateTime(nil, at)); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

func TestAppendString(t *testing.T) {
	tests := []struct{ in, plain, utf8 string }{
		{"", `""`, `""`},
		{"a b", `"a b"`, `"a b"`},
		{`a"\`, `"a\"\\"`, `"a\"\\"`},
		{"a\r\n\"", "{4}\r\na\r\n\"", "{4}\r\na\r\n\""},
		{"ä", "{2}\r\nä", `"ä"`},
		{`"ä`, "{3}\r\n\"ä", `"\"ä"`},
		{"\xff", "{1}\r\n\xff", "{1}\r\n\xff"},
		{"a\x00b", "{2}\r\nab", "{2}\r\nab"},
		{"\"\x00", "{1}\r\n\"", "{1}\r\n\""},
	}
	for _, tt := range tests {
		if got := string(AppendString(nil, tt.in, false)); got != tt.plain {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.plain)
		}
		if got := string(AppendString(nil, tt.in, true)); got != tt.utf8 {
			t.Errorf("%q in UTF-8: %q, want %q", tt.in, got, tt.utf8)
		}
	}
	for in, want := range map[string]string{"a": "a", "": `""`, "nil": `"nil"`, "a b": `"a b"`, "a]": "a]", "a%": `"a%"`, "ä": "{2}\r\nä"} {
		if got := string(AppendAString(nil, in, false)); got != want {
			t.Errorf("astring %q: %q, want %q", in, got, want)
		}
	}
}

// What is written as a string is read as the same string.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", `"\`, "ä", "a\r\nb", "\xff"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, in string, utf8Strings bool) {
		b := AppendAString(nil, in, utf8Strings)
		s := scanner{b: b}
		got := s.astring()
		s.end()
		for i := 0; i < len(in); i++ {
			if in[i] == 0 {
				return // NUL is left out
			}
		}
		if s.err != nil || got != in {
			t.Fatalf("%q -> %q -> %q, %v", in, b, got, s.err)
		}
	})
}
