package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
)

type read struct {
	from From
	meta Meta
	text string
}

// readAll reads a whole file.
func readAll(t testing.TB, file string, format Format) ([]read, *Reader, error) {
	t.Helper()
	r, err := NewReader(strings.NewReader(file), int64(len(file)), format)
	if err != nil {
		return nil, nil, err
	}
	var list []read
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, r, nil
		}
		if err != nil {
			return list, r, err
		}
		text, err := io.ReadAll(m)
		if err != nil {
			return list, r, err
		}
		list = append(list, read{m.From, m.Meta, string(text)})
	}
}

func TestParseFrom(t *testing.T) {
	for line, want := range map[string]string{
		"From ann@example.test Thu Jan  5 10:11:12 2006":                    "ann@example.test 2006-01-05T10:11:12Z",
		"From - Thu Jan 05 10:11:12 2006\r\n":                               "- 2006-01-05T10:11:12Z",
		"From 1234567890@xxx Thu Jan 05 10:11:12 +0000 2006\n":              "1234567890@xxx 2006-01-05T10:11:12Z",
		"From ann Thu Jan  5 10:11:12 2006 +0100":                           "ann 2006-01-05T10:11:12+01:00",
		"From ann Thu Jan  5 10:11 2006":                                    "ann 2006-01-05T10:11:00Z",
		"From Thu Jan  5 10:11:12 2006":                                     " 2006-01-05T10:11:12Z",
		"From \"ann smith\"@a.test Thu Jan  5 10:11:12 2006":                "\"ann smith\"@a.test 2006-01-05T10:11:12Z",
		"From ???@??? Thu Jan 05 10:11:12 2006":                             "???@??? 2006-01-05T10:11:12Z",
		"From ann Thu Jan  5 10:11:12 2006 remote from host":                "ann 2006-01-05T10:11:12Z",
		"From ann@a.test Thu, 5 Jan 2006 10:11:12 +0200":                    "ann@a.test 2006-01-05T10:11:12+02:00",
		"From ann Thu Jan  5 10:11:12 GMT 2006":                             "ann 2006-01-05T10:11:12Z",
		"From here on, all is well.":                                        "no",
		"From the Thursday meeting in 2006, at 10:11:12":                    "no",
		"from ann Thu Jan  5 10:11:12 2006":                                 "no",
		"From ":                                                             "no",
		"From " + strings.Repeat("x", 2000) + " Thu Jan  5 10:11:12 2006\n": "no",
	} {
		got := "no"
		if f, ok := ParseFrom([]byte(line)); ok {
			got = f.Sender + " " + f.Date.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

const sep = "From ann@example.test Thu Jan  5 10:11:12 2006\n"

func TestFormats(t *testing.T) {
	body := "Subject: a\n\nx\n>From me\n>>From you\nFrom nowhere\n"
	for _, tt := range []struct {
		what   string
		file   string
		format Format
		want   []string
		is     Format
	}{
		{"mboxrd", sep + body + "\n" + sep + "B: c\n\ny\n\n", Auto, []string{"Subject: a\n\nx\nFrom me\n>From you\nFrom nowhere\n", "B: c\n\ny\n"}, RD},
		{"mboxo", sep + body + "\n", O, []string{"Subject: a\n\nx\nFrom me\n>>From you\nFrom nowhere\n"}, O},
		{"no empty line between", sep + "A: b\n\nx\n" + sep + "A: b\n\ny", Auto, []string{"A: b\n\nx\n", "A: b\n\ny"}, RD},
		{"CRLF in the file", strings.ReplaceAll(sep+"A: b\n\nx\n\n"+sep+"A: c\n\n", "\n", "\r\n"), Auto, []string{"A: b\n\nx\n", "A: c\n"}, RD},
		{"mboxcl2", sep + "A: b\nContent-Length: 52\n\nx\n" + sep + "\n>\n\n" + sep + "Content-Length: 0\nA: c\n\n\n", Auto,
			[]string{"A: b\n\nx\n" + sep + "\n>\n", "A: c\n\n"}, CL2},
		{"mboxcl", sep + "A: b\nContent-Length: 11\n\nx\n>From me\n\n" + sep + "A: c\nContent-Length: 2\n\ny\n\n", Auto,
			[]string{"A: b\n\nx\nFrom me\n", "A: c\n\ny\n"}, CL},
		{"a length that lies", sep + "A: b\nContent-Length: 5\n\nx\n>From me\n\n" + sep + "A: c\n\ny\n\n", Auto,
			[]string{"A: b\nContent-Length: 5\n\nx\nFrom me\n", "A: c\n\ny\n"}, RD},
		{"a length out of the file", sep + "A: b\nContent-Length: 9999999999999\n\nx\n\n", Auto, []string{"A: b\nContent-Length: 9999999999999\n\nx\n"}, RD},
		{"header alone", sep + "A: b\n\n" + sep + "A: c\n", Auto, []string{"A: b\n", "A: c\n"}, RD},
		{"empty lines before", "\n\n" + sep + "A: b\n\nx\n", Auto, []string{"A: b\n\nx\n"}, RD},
		{"empty", "", Auto, nil, RD},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got, r, err := readAll(t, tt.file, tt.format)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, m := range got {
				if strings.Contains(strings.ReplaceAll(m.text, "\r\n", ""), "\n") {
					t.Errorf("%q has a bare LF", m.text)
				}
				texts = append(texts, strings.ReplaceAll(m.text, "\r\n", "\n"))
			}
			if !slices.Equal(texts, tt.want) || r.Format() != tt.is {
				t.Errorf("%s: got %q\nwant %q", r.Format(), texts, tt.want)
			}
		})
	}
	if _, _, err := readAll(t, "Subject: not an mbox\n\nx\n", Auto); !errors.Is(err, ErrNotMbox) {
		t.Error(err)
	}
}

func TestMeta(t *testing.T) {
	for _, tt := range []struct {
		what, fields string
		flags        mail.Flags
		words        string
		skip         bool
	}{
		{"mutt", "Status: RO\nX-Status: AF\n", mail.Seen | mail.Answered | mail.Flagged, "", false},
		{"Dovecot", "X-UID: 17\nStatus: O\nX-Keywords: $Forwarded Work   \n", 0, "$Forwarded Work", false},
		{"draft, deleted", "X-Status: TD\n", mail.Draft | mail.Deleted, "", false},
		{"Thunderbird", "X-Mozilla-Status: 1007\nX-Mozilla-Status2: 04000000\nX-Mozilla-Keys: $label1 work  \n", mail.Seen | mail.Answered | mail.Flagged, "$Forwarded $Label2 $label1 work", false},
		{"Thunderbird, expunged", "X-Mozilla-Status: 0009\n", mail.Seen, "", true},
		{"a note of the program's own", "X-IMAP: 1234 000\nStatus: RO\n", mail.Seen, "", true},
		{"Takeout", "X-GM-THRID: 17\nX-Gmail-Labels: =?UTF-8?Q?Inbox,Unread,\"a,_b\"?=\n", 0, "", false},
		{"Takeout, read", "X-Gmail-Labels: Archived,Starred,\n Opened\n", mail.Seen | mail.Flagged, "", false},
	} {
		got, _, err := readAll(t, sep+"A: b\n"+tt.fields+"C: d\n\nx\n\n", Auto)
		if err != nil || len(got) != 1 {
			t.Fatal(tt.what, err)
		}
		m := got[0].meta
		words := make([]string, len(m.Keywords))
		for i, k := range m.Keywords {
			words[i] = string(k)
		}
		if m.Flags != tt.flags || strings.Join(words, " ") != tt.words || m.Skip != tt.skip || got[0].text != "A: b\r\nC: d\r\n\r\nx\r\n" {
			t.Errorf("%s: %+v %q", tt.what, m, got[0].text)
		}
	}
}

func TestLabels(t *testing.T) {
	got, _, err := readAll(t, sep+"X-Gmail-Labels: Inbox,\"Friends, old\",Lists/Go\n\nx\n", Auto)
	if err != nil || !slices.Equal(got[0].meta.Labels, []string{"Inbox", "Friends, old", "Lists/Go"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is written is read again, octet for octet, whatever it is.
var oddTexts = []string{
	"", "\r\n", "\n", "x", "A: b\r\n", "A: b\r\n\r\n", "A: b\r\n\r\nx", "A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n\r\n\r\n",
	"A: b\n\nx\n", "A: b\r\n\r\nx\ny\r\n", "A: b\r\n\r\nx\ry\r\r\n", "From me\r\n\r\nFrom you\r\n>From all\r\n>>From\r\n",
	sep, strings.ReplaceAll(sep, "\n", "\r\n") + "A: b\r\n", "Status: RO\r\nX-Status: D\r\n\r\nx\r\n", "X-Waxwing-Mbox: fields=1\r\nStatus: R\r\n\r\n",
	"A: b\r\nContent-Length: 2\r\n\r\nxxxxx\r\n", " folded\r\nA: b\r\n\r\n", "\x00\xff\r\n\r\n\x00",
	"A: " + strings.Repeat("long ", 50_000) + "\r\n\r\n" + strings.Repeat("x", window-1) + "\r\ny\r\n", "A: b\r\n\r\n" + strings.Repeat("x", 3*window) + "\r",
}

func roundTrip(t testing.TB, texts []string, meta Meta) {
	t.Helper()
	var file bytes.Buffer
	w := bufio.NewWriter(&file)
	from := From{"ann@example.test", time.Unix(1_100_000_000, 0).UTC()}
	for _, text := range texts {
		if err := Append(w, from, meta, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush()
	got, _, err := readAll(t, file.String(), RD)
	if err != nil || len(got) != len(texts) {
		t.Fatalf("%d of %d: %v in %q", len(got), len(texts), err, file.String())
	}
	for i, m := range got {
		if m.text != texts[i] {
			t.Fatalf("%.300q came back as %.300q from\n%.500q", texts[i], m.text, file.String())
		}
		if m.from != from || m.meta.Flags != meta.Flags || !slices.Equal(m.meta.Keywords, meta.Keywords) || m.meta.Entry != meta.Entry {
			t.Fatalf("%+v, want %+v", m, meta)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	meta := Meta{Flags: mail.Seen | mail.Answered | mail.Draft, Keywords: []mail.Keyword{"$Forwarded", "work"}, Entry: "12.34"}
	roundTrip(t, oddTexts, meta)
	for _, text := range oddTexts {
		roundTrip(t, []string{text, text}, Meta{})
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, text := range oddTexts {
		if len(text) < 1000 {
			f.Add(text, "A: b\r\n\r\nx\r\n")
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) { roundTrip(t, []string{a, b, a}, Meta{Flags: mail.Seen, Entry: "1"}) })
}

// A reader gives each octet of a message once, wherever it is asked to begin.
func FuzzReader(f *testing.F) {
	f.Add(sep+"A: b\nContent-Length: 4\n\nx\ny\n\n"+sep+"C: d\n\n", "auto")
	f.Add(sep+"A: b\nX-Gmail-Labels: a,\"b\n\n>From x\n"+sep, "mboxo")
	f.Fuzz(func(t *testing.T, file, format string) {
		list, r, err := readAll(t, file, Format(format))
		if err != nil {
			return
		}
		size := 0
		for _, m := range list {
			size += len(m.text)
		}
		if size > 2*len(file) {
			t.Fatalf("%d octets from %d", size, len(file))
		}
		r.SeekTo(0)
		if m, err := r.Next(); err == nil {
			if again, err := io.ReadAll(m); err != nil || string(again) != list[0].text {
				t.Fatalf("%q, then %q", list[0].text, again)
			}
		}
	})
}
