package surrogate

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"waxwing/format/message"
	"waxwing/mail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each testdata/*.eml has its surrogate beside it.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no messages", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		have := surrogateOf(t, strings.ReplaceAll(string(b), "\n", "\r\n"))
		golden := strings.TrimSuffix(path, ".eml") + ".golden"
		have = strings.ReplaceAll(have, "\r\n", "\n")
		if *update {
			if err := os.WriteFile(golden, []byte(have), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if have != string(want) {
			t.Errorf("%s: surrogate is\n%s\nwant\n%s", path, have, want)
		}
	}
}

func surrogateOf(t *testing.T, original string) string {
	t.Helper()
	m, err := message.Parse(strings.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(m, strings.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(io.NewSectionReader(s, 0, int64(s.Size())+1))
	if err != nil {
		t.Fatal(err)
	}
	if mail.ByteCount(len(whole)) != s.Size() {
		t.Fatalf("size is %d, reads %d", s.Size(), len(whole))
	}
	slow, err := io.ReadAll(iotest.OneByteReader(io.NewSectionReader(s, 0, int64(s.Size()))))
	if err != nil || !bytes.Equal(slow, whole) {
		t.Fatalf("reads differently octet by octet: %v", err)
	}
	return string(whole)
}

func TestNeeded(t *testing.T) {
	for s, want := range map[string]bool{"": false, "Subject: x\r\n": false, "Subject: é\r\n": true, "Subject: \xe9\r\n": false} {
		if Needed([]byte(s)) != want {
			t.Errorf("Needed(%q) = %v", s, !want)
		}
	}
}

// A header has no more fields than before, is ASCII, and cannot be broken out
// of by what encoded words hide.
func FuzzSurrogate(f *testing.F) {
	f.Add("From: é <é@example.com>\r\nSubject: é\r\n\r\nbody é\r\n")
	f.Add("To: é: a@b, \"c\" <d@é.example>;, =?utf-8?q?=0d=0aX:y?= <é@f>\r\n\r\n")
	f.Add("Content-Type: multipart/mixed; boundary=\"é\"\r\n\r\n--é\r\nContent-Disposition: attachment; filename=é\r\n\r\n--é--\r\n")
	f.Fuzz(func(t *testing.T, original string) {
		have := surrogateOf(t, original)
		m, err := message.Parse(strings.NewReader(original))
		if err != nil {
			t.Fatal(err)
		}
		header := original[m.Root.Header:m.Root.Body]
		if !Needed([]byte(header)) {
			return
		}
		body := original[m.Root.Body:]
		if len(m.Root.Parts) == 0 && !strings.HasSuffix(have, body) {
			t.Fatalf("%q has surrogate %q: the body is another", original, have)
		}
		rewritten := rewrite([]byte(header), &m.Root)
		if !ascii(rewritten) {
			t.Fatalf("%q is rewritten to %q: not ASCII", header, rewritten)
		}
		count := func(h []byte) (n int) {
			for range message.Fields(h) {
				n++
			}
			return n
		}
		if utf8.ValidString(header) && count(rewritten) > count([]byte(header)) {
			t.Fatalf("%q is rewritten to %q: fields have been added", header, rewritten)
		}
	})
}
