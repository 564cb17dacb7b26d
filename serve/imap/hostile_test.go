package imap

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// Mail that is made to be a burden is kept and shown, whether it was appended
// or delivered.
func TestHostileMessages(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	c := h.dial(h.listen())
	c.ok("SELECT INBOX")
	var parts, people, header strings.Builder
	parts.WriteString("Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 4096 {
		fmt.Fprintf(&parts, "--b\r\nContent-Type: application/x-%d; name=\"file %d\"\r\n\r\n%d\r\n", i, i, i)
	}
	parts.WriteString("--b--\r\n")
	people.WriteString("Subject: people\r\nTo: a@example.test")
	for i := range 20_000 {
		fmt.Fprintf(&people, ",\r\n person%d@example.test", i)
	}
	people.WriteString("\r\n\r\nHello.\r\n")
	header.WriteString("Subject: header\r\n")
	for i := range 60_000 {
		fmt.Fprintf(&header, "X-Filler-%d: %s\r\n", i, "zzzzzzzzzzzzzzzz")
	}
	header.WriteString("\r\nbody\r\n")
	texts := []string{parts.String(), people.String(), header.String()}
	const prefix = "Return-Path: <eve@example.org>\r\n"
	for _, text := range texts {
		if _, err := fmt.Fprintf(c.conn, "a APPEND INBOX {%d+}\r\n%s\r\n", len(text), text); err != nil {
			t.Fatal(err)
		}
		for line := c.line(); !strings.HasPrefix(line, "a OK [APPENDUID"); line = c.line() {
			if strings.HasPrefix(line, "a ") {
				t.Fatal(line)
			}
		}
		body, err := blob.StageBytes(t.Context(), h.blobs, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.mailboxes.Account(h.accounts["alice"]).Append(t.Context(), time.Now(),
			mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body, Prefix: []byte(prefix), Flags: mail.Seen})
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.ok("NOOP")
	all := func(command string) string {
		t.Helper()
		if _, err := io.WriteString(c.conn, "x "+command+"\r\n"); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for {
			line, err := c.in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if rest, ok := strings.CutPrefix(line, "x "); ok {
				if !strings.HasPrefix(rest, "OK") {
					t.Errorf("%s: %s", command, rest)
				}
				return b.String()
			}
			b.WriteString(line)
		}
	}
	// The same is in 1 and 2, 3 and 4, 5 and 6, but for the prefix.
	if s := all("FETCH 1:2 BODYSTRUCTURE"); strings.Count(s, "\"application\"") < 2*4000 {
		t.Errorf("%d parts", strings.Count(s, "\"application\""))
	}
	if s := all("FETCH 3:4 ENVELOPE"); strings.Count(s, "\"example.test\"") < 2*2000 {
		t.Errorf("%d recipients", strings.Count(s, "\"example.test\""))
	}
	if s := all("FETCH 1:* (ENVELOPE BODYSTRUCTURE)"); strings.Count(s, " FETCH (") != 6 {
		t.Errorf("%d of 6", strings.Count(s, " FETCH ("))
	}
	for i, text := range texts {
		want, _, _ := strings.Cut(text, "\r\n\r\n")
		want += "\r\n\r\n"
		for k, before := range []string{"", prefix} {
			n := 2*i + k + 1
			for _, item := range []string{"BODY.PEEK[HEADER]", "RFC822.HEADER"} {
				s := all(fmt.Sprintf("FETCH %d %s", n, item))
				_, s, _ = strings.Cut(s, "}\r\n")
				if got := strings.TrimSuffix(s, ")\r\n"); got != before+want {
					t.Errorf("%s of %d has %d octets, not %d", item, n, len(got), len(before+want))
				}
			}
			s := all(fmt.Sprintf("FETCH %d BODY.PEEK[HEADER]<3.50>", n))
			if want := (before + want)[3:53]; !strings.Contains(s, want) {
				t.Errorf("part of header %d: %q", n, s)
			}
			s = all(fmt.Sprintf("FETCH %d BODY.PEEK[HEADER.FIELDS (Subject X-Filler-7 X-Filler-40000)]", n))
			if subject := want[:strings.Index(want, "\r\n")+2]; !strings.Contains(s, "}\r\n"+subject) ||
				strings.Contains(s, "X-Filler-7:") != (i == 2) {
				t.Errorf("fields of %d: %q", n, s)
			}
		}
	}
	// Fields are counted as they are written, cut or not.
	s := all("FETCH 5 (BODY.PEEK[HEADER.FIELDS.NOT (Subject X-Filler-0)] BODY.PEEK[HEADER.FIELDS.NOT (Subject)]<11.30> UID)")
	if !strings.Contains(s, "<11> {30}\r\n zzzzzzzzzzzzzzzz\r\nX-Filler-1: UID 5)\r\n") {
		t.Errorf("%.300q", s[max(0, len(s)-300):])
	}
	if s := all("SEARCH SUBJECT parts"); s != "* SEARCH 1 2\r\n" {
		t.Error(s)
	}
	if s := all("SEARCH HEADER X-Filler-2000 zzz BODY body"); s != "* SEARCH 5 6\r\n" {
		t.Error(s)
	}
}

// A message whose body has been lost from the disk spoils its own answer only.
func TestLostBody(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	c := h.dial(h.listen())
	for i := range 5 {
		h.append(short(i) + strings.Repeat(fmt.Sprintf("%d\r\n", i), 100_000))
	}
	for stat, err := range h.blobs.List(t.Context(), h.accounts["alice"]) {
		h.must(err)
		h.must(h.blobs.Delete(t.Context(), stat.Key))
		break
	}
	c.ok("SELECT INBOX")
	for _, item := range []string{"BODY.PEEK[HEADER.FIELDS (Subject)]", "RFC822.HEADER", "(ENVELOPE BODY.PEEK[HEADER])", "BODY.PEEK[]<0.10>"} {
		untagged, tagged := c.do("FETCH 1:5 " + item)
		n := 0
		for _, line := range untagged {
			if strings.Contains(line, " FETCH (") {
				n++
			}
		}
		if n != 4 || !strings.HasPrefix(tagged, "NO [UNAVAILABLE]") {
			t.Errorf("%s: %d answers, %s", item, n, tagged)
		}
	}
	if out := c.ok("FETCH 1:5 ENVELOPE"); len(out) != 5 {
		t.Errorf("%d envelopes", len(out))
	}
}
