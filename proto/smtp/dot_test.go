package smtp

import (
	"bytes"
	"strings"
	"testing"
)

// unstuff runs an Unstuffer over s as if it came in pieces of the given
// sizes, over and over. rest is what follows the end of the message.
func unstuff(t testing.TB, s string, normalise bool, sizes ...int) (body, rest string, u Unstuffer, ended bool) {
	t.Helper()
	u.Normalise = normalise
	var out []byte
	from, to := 0, 0
	for i := 0; ; {
		piece, used, end := u.Next([]byte(s[from:to]))
		out = append(out, piece...)
		from += used
		switch {
		case end:
			return string(out), s[from:], u, true
		case used > 0:
		case to == len(s):
			if to-from > 2 {
				t.Fatalf("stuck with %q", s[from:to])
			}
			return string(out), s[from:], u, false
		case to-from > 2:
			t.Fatalf("wants more than %q", s[from:to])
		default:
			to = min(len(s), to+sizes[i%len(sizes)])
			i++
		}
	}
}

func TestUnstuffer(t *testing.T) {
	tests := []struct {
		in, body, rest string
		ended, cr, lf  bool
	}{
		{".\r\nQUIT\r\n", "", "QUIT\r\n", true, false, false},
		{"a\r\n.\r\nrest", "a\r\n", "rest", true, false, false},
		{"a\r\n..\r\n.\r\n", "a\r\n.\r\n", "", true, false, false},
		{"..a\r\n.\r\n", ".a\r\n", "", true, false, false},
		{".a\r\n.\r\n", "a\r\n", "", true, false, false},
		{"a\r\nb.c\r\n.\r\n", "a\r\nb.c\r\n", "", true, false, false},
		// What servers have taken for the end of a message, and is not.
		{"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "", true, false, true},
		{"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "", true, false, true},
		{"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", "", true, false, true},
		{"a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", "", true, true, false},
		{"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "", true, true, false},
		{"a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", "", true, true, false},
		{"a\r\n\x00.\r\nb\r\n.\r\n", "a\r\n\x00.\r\nb\r\n", "", true, false, false},
		{"a\r\n.\x00\r\nb\r\n.\r\n", "a\r\n\x00\r\nb\r\n", "", true, false, false},
		{"a\r\r\n.\r\n", "a\r\r\n", "", true, true, false},
		{"a\r\r\n.\r\r\n.\r\n", "a\r\r\n\r\r\n", "", true, true, false},
		{"a\n\r\n.\r\n", "a\n\r\n", "", true, false, true},
		{"\n.\r\nb\r\n.\r\n", "\n.\r\nb\r\n", "", true, false, true},
		{"\r.\r\nb\r\n.\r\n", "\r.\r\nb\r\n", "", true, true, false},
		{"a\r\n.\r", "a\r\n", ".\r", false, false, false},
		{"a\r\n", "a\r\n", "", false, false, false},
	}
	for _, tt := range tests {
		for size := 1; size <= len(tt.in); size++ {
			body, rest, u, ended := unstuff(t, tt.in, false, size)
			if body != tt.body || rest != tt.rest || ended != tt.ended || u.BareCR != tt.cr || u.BareLF != tt.lf {
				t.Errorf("%q by %d: %q, rest %q, ended %v, CR %v, LF %v; want %q, %q, %v, %v, %v", tt.in, size,
					body, rest, ended, u.BareCR, u.BareLF, tt.body, tt.rest, tt.ended, tt.cr, tt.lf)
			}
		}
	}
}

func TestUnstufferNormalises(t *testing.T) {
	tests := []struct{ in, body, rest string }{
		{"a\nb\r\n.\r\nrest", "a\r\nb\r\n", "rest"},
		{"a\rb\r\n.\r\n", "a\r\nb\r\n", ""},
		{"a\r\rb\n\nc\r\n.\r\n", "a\r\n\r\nb\r\n\r\nc\r\n", ""},
		{"a\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", ""},
		{"a\n.\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n", ""},
		{"a\n..b\r\n.\r\n", "a\r\n.b\r\n", ""},
		{"a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", ""},
		{"a\r.\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n", ""},
		{"a\r\r\n.\r\n", "a\r\n\r\n", ""},
		{"a\r\n..b\r\n.\r\n", "a\r\n.b\r\n", ""},
		{".\r\n", "", ""},
	}
	for _, tt := range tests {
		for size := 1; size <= len(tt.in); size++ {
			body, rest, _, ended := unstuff(t, tt.in, true, size)
			if body != tt.body || rest != tt.rest || !ended {
				t.Errorf("%q by %d: %q, rest %q, ended %v; want %q, %q", tt.in, size, body, rest, ended, tt.body, tt.rest)
			}
		}
	}
}

func stuff(s string, sizes ...int) string {
	var st Stuffer
	var out []byte
	for i := 0; s != ""; i++ {
		n := min(len(s), max(1, sizes[i%len(sizes)]))
		out = st.Append(out, []byte(s[:n]))
		s = s[n:]
	}
	return string(st.Finish(out))
}

func TestStuffer(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ".\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{".", "..\r\n.\r\n"},
		{"a\r\n.\r\n..b", "a\r\n..\r\n...b\r\n.\r\n"},
		{"a\nb", "a\r\nb\r\n.\r\n"},
		{"a\rb", "a\r\nb\r\n.\r\n"},
		{"a\r", "a\r\n.\r\n"},
		{"a\n.\r.\r\n", "a\r\n..\r\n..\r\n.\r\n"},
		{"a\r\r\n\n", "a\r\n\r\n\r\n.\r\n"},
	}
	for _, tt := range tests {
		for size := 1; size <= len(tt.in)+1; size++ {
			if got := stuff(tt.in, size); got != tt.want {
				t.Errorf("stuff(%q by %d) = %q, want %q", tt.in, size, got, tt.want)
			}
		}
	}
}

// How the bytes are cut into pieces makes no difference, the end is where
// CR LF . CR LF is, and taking away what a Stuffer added gives the same
// message.
func FuzzDot(f *testing.F) {
	f.Add("a\r\n.\r\nrest", uint8(1), uint8(3))
	f.Add("a\n.\n.\r.\r\n..\r\n.\r\n", uint8(2), uint8(1))
	f.Add("\r\n..\r\r\n.\n\r\n.\r\n", uint8(5), uint8(2))
	f.Fuzz(func(t *testing.T, s string, a, b uint8) {
		sizes := []int{int(a) + 1, int(b) + 1}
		for _, normalise := range []bool{false, true} {
			body, rest, u, ended := unstuff(t, s, normalise, sizes...)
			body1, rest1, u1, ended1 := unstuff(t, s, normalise, max(1, len(s)))
			if body != body1 || ended != ended1 || ended && rest != rest1 || u.BareLF != u1.BareLF || u.BareCR != u1.BareCR {
				t.Fatalf("normalise %v: %q by %v gives %q %q %v %+v, whole %q %q %v %+v", normalise, s, sizes, body, rest, ended, u, body1, rest1, ended1, u1)
			}
			if at := strings.Index("\r\n"+s, "\r\n.\r\n"); (at >= 0) != ended || ended && len(rest) != len(s)-at-3 {
				t.Fatalf("normalise %v: end of %q is not at %d: rest %q", normalise, s, at, rest)
			}
			if normalise && ended && bareNewline(body) {
				t.Fatalf("%q normalised to %q", s, body)
			}
			if !normalise && ended && bareNewline(body) != (u.BareCR || u.BareLF) {
				t.Fatalf("%q: bare CR %v, bare LF %v", body, u.BareCR, u.BareLF)
			}
		}
		wire := stuff(s, sizes...)
		body, rest, u, ended := unstuff(t, wire, false, sizes...)
		if !ended || rest != "" || u.BareCR || u.BareLF {
			t.Fatalf("%q stuffed to %q", s, wire)
		}
		if want := canonical(s); body != want {
			t.Fatalf("%q stuffed to %q, unstuffed to %q", s, wire, body)
		}
	})
}

func bareNewline(s string) bool {
	pairs := strings.Count(s, "\r\n")
	return strings.Count(s, "\r") != pairs || strings.Count(s, "\n") != pairs
}

// canonical gives s with CR LF lines only, the last one ended.
func canonical(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return strings.ReplaceAll(s, "\n", "\r\n")
}

func sampleMessage(size int) []byte {
	line := []byte("The quick brown fox jumps over the lazy dog, and the dog does not mind at all.\r\n")
	b := bytes.Repeat(line, size/len(line)+1)
	return append(b[:size-2:size-2], '\r', '\n')
}

func BenchmarkUnstuffer(b *testing.B) {
	wire := append(sampleMessage(64<<10), ".\r\n"...)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		var u Unstuffer
		for buf := wire; ; {
			_, used, end := u.Next(buf[:min(len(buf), 32<<10)])
			buf = buf[used:]
			if end {
				break
			}
		}
	}
}

func BenchmarkStuffer(b *testing.B) {
	message := sampleMessage(64 << 10)
	dst := make([]byte, 0, 70<<10)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		var s Stuffer
		dst = s.Finish(s.Append(dst[:0], message))
	}
}
