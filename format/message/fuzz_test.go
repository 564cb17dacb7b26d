package message

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkMessage holds what is true of any message.
func checkMessage(t testing.TB, b []byte, m *Message) {
	t.Helper()
	if int(m.Size) != len(b) || m.Root.Header != 0 || m.Root.End != int64(len(b)) {
		t.Fatalf("size %d of %d, root %+v", m.Size, len(b), m.Root)
	}
	if utf8.RuneCountInString(m.Preview) > maxPreview || !utf8.ValidString(m.Preview) {
		t.Fatalf("preview %q", m.Preview)
	}
	if len(m.Defects) > maxDefects || len(m.References) > maxReferences {
		t.Fatalf("%d defects, %d references", len(m.Defects), len(m.References))
	}
	checkPart(t, b, &m.Root, 0)
	checkStrings(t, reflect.ValueOf(m))
}

// checkPart: a part lies in its parent behind its elder sibling, and its lines
// are the line feeds of its body.
func checkPart(t testing.TB, b []byte, p *Part, depth int) {
	if p.Header > p.Body || p.Body > p.End || depth > 2*maxDepth {
		t.Fatalf("depth %d, %+v", depth, p)
	}
	if n := bytes.Count(b[p.Body:p.End], []byte("\n")); int64(n) != p.Lines {
		t.Fatalf("%d lines, %+v", n, p)
	}
	if p.Type == "" || p.Subtype == "" || p.Encoding == "" {
		t.Fatalf("%+v", p)
	}
	if p.Embedded != nil && len(p.Parts) != 1 || len(p.Parts) > 0 && !p.IsMultipart() && p.Embedded == nil {
		t.Fatalf("%+v", p)
	}
	at := p.Body
	for i := range p.Parts {
		child := &p.Parts[i]
		if child.Header < at || child.End > p.End {
			t.Fatalf("%+v in %+v", child, p)
		}
		checkPart(t, b, child, depth+1)
		at = child.End
	}
}

// checkStrings: no text holds what could break a line or a protocol.
func checkStrings(t testing.TB, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			checkStrings(t, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkStrings(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				checkStrings(t, v.Field(i))
			}
		}
	case reflect.String:
		if strings.ContainsAny(v.String(), "\r\n\x00") {
			t.Fatalf("text %q", v.String())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range samples(f) {
		if len(b) < 8<<10 {
			f.Add(withCRLF(b), uint16(7))
		}
	}
	for _, c := range structures {
		f.Add(crlf(c.in), uint16(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		m := parse(t, b)
		checkMessage(t, b, m)
		roundTrip(t, m)
		// How the message is cut changes nothing.
		p := NewParser()
		p.Write([]byte("Content-Type: multipart/mixed; boundary=x\n\n--x\n\nleft from before"))
		p.Reset()
		for rest := b; len(rest) > 0; {
			n := min(len(rest), 1+int(cut)%97)
			p.Write(rest[:n:n])
			rest = rest[n:]
			cut = cut*31 + 7
		}
		if again := p.Finish(); !reflect.DeepEqual(m, again) {
			t.Fatalf("in pieces\n%+v\nas one\n%+v", again, m)
		}
		// What is found in brief is what is found else. A header that does not
		// end before its parts is longer then.
		p.Reset()
		p.Brief()
		p.Write(b)
		brief := p.Finish()
		if brief.Size != m.Size || brief.Root.Body < m.Root.Body ||
			brief.Root.Body == m.Root.Body && !strings.HasPrefix(brief.Envelope.MessageID, m.Envelope.MessageID) {
			t.Fatalf("in brief\n%+v\nelse\n%+v", brief, m)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"=?utf-8?q?a=C3?= =?utf-8?b?pA==?= b", "=?x?q?", "=?utf-8?q?a?==?utf-8?q?b?=", "\xe4\xf6 =?iso-8859-1?q?=E4?=",
		"Bob <bob@x>, \"a, b\" <c@d> (x), G: e@f;", "<@a,@b:c@d>", "\"\\\"\\\"", "(((", "Mon, 2 Jan 2006 15:04:05 -0700",
		"Re: [a] Fwd: [b] x (fwd)", "text/plain; a*0*=utf-8''%41; a*1=b; c=\"d", "<a@b> <c@d>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := DecodeHeader(s); !utf8.ValidString(d) || strings.ContainsAny(d, "\r\n\x00") {
			t.Fatalf("decoded %q", d)
		}
		checkStrings(t, reflect.ValueOf(ParseAddressList(s)))
		for _, id := range ParseMessageIDs(s) {
			if id == "" || strings.ContainsAny(id, "<> \t\r\n\x00") {
				t.Fatalf("id %q", id)
			}
		}
		ParseDate(s)
		base := BaseSubject(s)
		if again := BaseSubject(base); again != base && !strings.Contains(base, "=?") {
			t.Fatalf("base subject %q, then %q", base, again)
		}
		for f := range Fields([]byte(s)) {
			if f.Start >= f.End || f.End > len(s) {
				t.Fatalf("%+v", f)
			}
		}
		head, body := SplitHeader([]byte(s))
		if string(head)+string(body) != s {
			t.Fatalf("%q %q", head, body)
		}
	})
}
