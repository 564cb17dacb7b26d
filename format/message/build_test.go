package message

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func build(t testing.TB, b *Builder) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := b.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatal(n, err)
	}
	return out.Bytes()
}

func TestBuild(t *testing.T) {
	data := bytes.Repeat([]byte{0, 1, 2, 255}, 100)
	b := NewMultipart("mixed",
		NewMultipart("alternative", NewText("plain", "Grüße\nund mehr"), NewText("html", "<p>hi")),
		NewAttachment("ein sehr langer Name für eine Datei mit Umlauten äöü, damit er umbrochen wird.pdf", "application/pdf", bytes.NewReader(data)),
		NewContent("message/rfc822", "8bit", strings.NewReader("Subject: in\r\n\r\nü\r\n")))
	b.AddAddresses("From", Address{Name: "Jörg \"J\" Müller", Local: "joerg", Domain: "a.example"})
	b.AddAddresses("To", Address{Name: "A Group", Group: true}, Address{Name: "Bob B. Example", Local: "bob smith", Domain: "b.example"},
		Address{Local: "carol", Domain: "c.example"}, Address{Group: true}, Address{Name: "Dan", Local: "dan", Domain: "d.example"})
	b.AddText("Subject", "Ein Gruß aus der Küche, der so lang ist, dass er umbrochen werden muss, and then some plain words")
	b.AddDate("Date", time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", -5400)))
	b.AddMessageIDs("References", "a@b", "c@d")
	out := build(t, b)
	for line := range strings.SplitSeq(string(out), "\r\n") {
		if len(line) > 78 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
	m := parse(t, out)
	checkMessage(t, out, m)
	if len(m.Defects) > 0 {
		t.Errorf("%v\n%s", m.Defects, out)
	}
	if s := DecodeHeader(m.Envelope.Subject); s != "Ein Gruß aus der Küche, der so lang ist, dass er umbrochen werden muss, and then some plain words" {
		t.Errorf("subject %q", s)
	}
	if got := m.Envelope.From[0]; DecodeHeader(got.Name) != "Jörg \"J\" Müller" || got.Local != "joerg" {
		t.Errorf("from %+v", got)
	}
	want := []Address{{Name: "A Group", Group: true}, {Name: "Bob B. Example", Local: "bob smith", Domain: "b.example"},
		{Local: "carol", Domain: "c.example"}, {Group: true}, {Name: "Dan", Local: "dan", Domain: "d.example"}}
	if !reflect.DeepEqual(m.Envelope.To, want) {
		t.Errorf("to %+v", m.Envelope.To)
	}
	if !reflect.DeepEqual(m.References, []string{"a@b", "c@d"}) || m.Date.Unix() != time.Date(2026, 2, 3, 5, 35, 6, 0, time.UTC).Unix() {
		t.Errorf("%v %v", m.References, m.Date)
	}
	if m.Root.Encoding != "8bit" || m.Preview != "Grüße und mehr" {
		t.Errorf("%q %q", m.Root.Encoding, m.Preview)
	}
	file := m.Root.Parts[1]
	if file.Filename() != "ein sehr langer Name für eine Datei mit Umlauten äöü, damit er umbrochen wird.pdf" {
		t.Errorf("file name %q", file.Filename())
	}
	got, _ := io.ReadAll(DecodeBody(bytes.NewReader(out[file.Body:file.End]), file.Encoding))
	if !bytes.Equal(got, data) {
		t.Errorf("attachment %q", got)
	}
}

func TestBuildUTF8(t *testing.T) {
	b := NewText("plain", "x")
	b.UTF8 = true
	b.AddText("Subject", "Grüße")
	b.AddAddresses("To", Address{Name: "Jörg", Local: "jörg", Domain: "bücher.example"})
	out := string(build(t, b))
	if !strings.Contains(out, "Subject: Grüße\r\n") || !strings.Contains(out, "To: Jörg <jörg@bücher.example>\r\n") {
		t.Error(out)
	}
}

func TestTextEncoding(t *testing.T) {
	for text, want := range map[string]string{
		"plain\n": "7bit", "": "7bit", "ein Gruß\n": "quoted-printable", "日本語\n": "base64",
		strings.Repeat("x", 999): "quoted-printable", "nul\x00": "quoted-printable",
	} {
		b := NewText("plain", text)
		out := build(t, b)
		m := parse(t, out)
		if m.Root.Encoding != want {
			t.Errorf("%.20q: %s, want %s", text, m.Root.Encoding, want)
		}
		got, _ := io.ReadAll(DecodeBody(bytes.NewReader(out[m.Root.Body:]), m.Root.Encoding))
		if string(got) != strings.ReplaceAll(text, "\n", "\r\n") {
			t.Errorf("%.20q came back as %.40q", text, got)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, name := range []string{"", "a b", "a:", "a\r\nb", "ä"} {
		b := NewText("plain", "")
		b.AddText(name, "x")
		if _, err := b.WriteTo(io.Discard); err == nil {
			t.Errorf("field name %q accepted", name)
		}
	}
}

// FuzzBuild: whatever the values, the fields are those that were added, and
// come back as they were but for white space.
func FuzzBuild(f *testing.F) {
	for _, s := range []string{"a", "Grüße und mehr", "a\r\nBcc: evil@x", "=?utf-8?q?x?=", " a  b ", "a\x00b", "\xff", strings.Repeat("x", 2000), strings.Repeat("ü ", 500)} {
		f.Add(s, s, s, false)
	}
	f.Fuzz(func(t *testing.T, subject, name, file string, utf bool) {
		b := NewAttachment(file, "text/plain", strings.NewReader("x"))
		b.UTF8 = utf
		b.AddText("Subject", subject)
		b.AddAddresses("From", Address{Name: name, Local: "a", Domain: "b.example"})
		b.AddAddresses("To", Address{Local: name, Domain: subject})
		b.AddMessageIDs("References", subject, file)
		b.AddRaw("X-Raw", file)
		out := build(t, b)
		head, body := SplitHeader(out)
		if string(body) != "eA==\r\n" {
			t.Fatalf("body %q", body)
		}
		var names []string
		for f := range Fields(head) {
			names = append(names, string(f.Name))
			if f.Is("X-Raw") || f.Is("To") || f.Is("References") {
				continue
			}
			for line := range strings.SplitSeq(string(head[f.Start:f.End]), "\r\n") {
				if len(line) > 998 {
					t.Fatalf("line %q", line)
				}
			}
		}
		want := "Subject From To References X-Raw MIME-Version Content-Type Content-Transfer-Encoding Content-Disposition"
		if got := strings.Join(names, " "); got != want && got != strings.Replace(want, "References ", "", 1) {
			t.Fatalf("fields %q\n%s", got, out)
		}
		m := parse(t, out)
		checkMessage(t, out, m)
		same(t, "subject", DecodeHeader(m.Envelope.Subject), subject)
		if len(m.Envelope.From) != 1 || m.Envelope.From[0].Domain != "b.example" {
			t.Fatalf("from %+v", m.Envelope.From)
		}
		same(t, "name", DecodeHeader(m.Envelope.From[0].Name), name)
		if len(file) < 1000 && !strings.Contains(file, "=?") {
			same(t, "file", m.Root.Filename(), file)
		}
	})
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if !utf8.ValidString(want) {
		return
	}
	words := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' }), " ")
	}
	if words(got) != words(want) {
		t.Fatalf("%s %q, want %q", what, got, want)
	}
}
