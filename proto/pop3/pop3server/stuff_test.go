package pop3server

import (
	"bytes"
	"strings"
	"testing"

	"waxwing/mail"
)

func TestCopyMessage(t *testing.T) {
	long := strings.Repeat("0123456789abcdef\r\n..\r\n", 6000) // many chunks
	for _, test := range []struct {
		in    string
		lines int
		want  string
	}{
		{"", -1, ""},
		{"a: b\r\n\r\nc\r\n", -1, "a: b\r\n\r\nc\r\n"},
		// RFC 1939 §3: lines that begin with a dot get another one.
		{".\r\n", -1, "..\r\n"},
		{".a\r\n..\r\n\r\n.\r\nb.\r\n", -1, "..a\r\n...\r\n\r\n..\r\nb.\r\n"},
		// The dot that ends the response has to begin a line.
		{"a", -1, "a\r\n"},
		{".", -1, "..\r\n"},
		{"a\r", -1, "a\r\n"},
		{"a\n", -1, "a\r\n"},
		{"\n", -1, "\r\n"},
		{"a\r\n\n", -1, "a\r\n\r\n"},
		// A bare LF is sent as stored, and cannot hide the end of a message.
		{"a\n.\nb\r\n", -1, "a\n..\nb\r\n"},
		{long, -1, strings.ReplaceAll(long, "..", "...")},
		// RFC 1939 §7: the header, the empty line, and so many lines.
		{"a: b\r\n\r\nc\r\nd\r\n", 0, "a: b\r\n\r\n"},
		{"a: b\r\n\r\nc\r\nd\r\n", 1, "a: b\r\n\r\nc\r\n"},
		{"a: b\r\n\r\n.c\r\nd\r\n", 1, "a: b\r\n\r\n..c\r\n"},
		{"a: b\r\n\r\nc\r\nd\r\n", 2, "a: b\r\n\r\nc\r\nd\r\n"},
		{"a: b\r\n\r\nc\r\nd", 9, "a: b\r\n\r\nc\r\nd\r\n"},
		{"a: b\r\n", 5, "a: b\r\n"},
		{"\r\nc\r\nd\r\n", 1, "\r\nc\r\n"},
		{"a: b\n\nc\nd\n", 1, "a: b\n\nc\r\n"},
		{"", 1, ""},
	} {
		var out bytes.Buffer
		if err := copyMessage(&out, strings.NewReader(test.in), mail.ByteCount(len(test.in)), test.lines); err != nil {
			t.Errorf("%.40q, %d: %v", test.in, test.lines, err)
		}
		if out.String() != test.want {
			t.Errorf("copy of %.40q, %d = %.60q, want %.60q", test.in, test.lines, &out, test.want)
		}
	}
}

// A message that is shorter than it says breaks the copy off.
func TestCopyMessageTruncated(t *testing.T) {
	if err := copyMessage(new(bytes.Buffer), strings.NewReader("abc"), 4, -1); err == nil {
		t.Error("no error")
	}
}

// What is sent, read as RFC 1939 §3 says, is the message; it cannot be ended
// early by anything in it; and TOP sends a beginning of what RETR sends.
func FuzzCopyMessage(f *testing.F) {
	for _, s := range []string{"", ".", "a\r\n.\r\n", "\r\n\r\n..", "a: b\r\n\r\nc\n.\n", strings.Repeat("x\r\n.", 9000)} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, message string, lines int) {
		var whole, part bytes.Buffer
		size := mail.ByteCount(len(message))
		if err := copyMessage(&whole, strings.NewReader(message), size, -1); err != nil {
			t.Fatal(err)
		}
		if err := copyMessage(&part, strings.NewReader(message), size, max(lines, 0)); err != nil {
			t.Fatal(err)
		}
		sent := whole.String()
		if sent != "" && !strings.HasSuffix(sent, "\r\n") {
			t.Fatalf("%q is sent as %q", message, sent)
		}
		var back strings.Builder
		for line := range strings.Lines(sent) {
			if line == ".\r\n" || line == ".\n" {
				t.Fatalf("%q is sent as %q, which ends early", message, sent)
			}
			back.WriteString(strings.TrimPrefix(line, "."))
		}
		want := message
		switch {
		case message == "" || strings.HasSuffix(message, "\r\n"):
		case strings.HasSuffix(message, "\n"), strings.HasSuffix(message, "\r"):
			want = message[:len(message)-1] + "\r\n"
		default:
			want += "\r\n"
		}
		if back.String() != want {
			t.Fatalf("%q is sent as %q and read as %q", message, sent, back.String())
		}
		top := strings.TrimSuffix(strings.TrimSuffix(part.String(), "\n"), "\r")
		if !strings.HasPrefix(sent, top) {
			t.Fatalf("top of %q is %q", sent, &part)
		}
	})
}

func TestMarks(t *testing.T) {
	var a, b marks
	for _, i := range []int{0, 63, 64, 1000, 64} {
		a.set(i)
	}
	b.set(64)
	collect := func(m marks, other marks) (have []int) {
		for i := range m.without(other) {
			have = append(have, i)
		}
		return have
	}
	if have := collect(a, b); len(have) != 3 || have[0] != 0 || have[1] != 63 || have[2] != 1000 {
		t.Errorf("without: %v", have)
	}
	if have := collect(a, marks{}); len(have) != 4 || a.count != 4 || a.has(65) || a.has(1<<20) || !a.has(1000) {
		t.Errorf("all: %v of %d", have, a.count)
	}
}
