package smtp

import (
	"regexp"
	"strings"
	"testing"
)

var lineEnd = regexp.MustCompile("\r\n|\r|\n")

// cutUp runs a text through in pieces of n octets.
func cutUp(in string, n int, c *Canonical) string {
	var out strings.Builder
	for rest := []byte(in); len(rest) > 0; {
		piece, used := c.Next(rest[:min(n, len(rest))])
		out.Write(piece)
		rest = rest[used:]
	}
	out.Write(c.Finish())
	return out.String()
}

// However a message is cut: line ends that are whole stay, bare ones are seen,
// and mended if that is asked for.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "a\r\nb\r\n", "a\nb\rc\r\r\n\n", "\r", "\n", "\r\n.\r\n", "x\r\n\r"} {
		f.Add(s, uint8(1))
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, in string, n uint8) {
		size := int(n) + 1
		pairs := strings.Count(in, "\r\n")
		bareCR, bareLF := strings.Count(in, "\r") > pairs, strings.Count(in, "\n") > pairs
		var look Canonical
		if out := cutUp(in, size, &look); out != in || look.BareCR != bareCR || look.BareLF != bareLF {
			t.Fatalf("%q by %d: %q, CR %v, LF %v", in, size, out, look.BareCR, look.BareLF)
		}
		mend := Canonical{Normalise: true}
		if out := cutUp(in, size, &mend); out != lineEnd.ReplaceAllString(in, "\r\n") || mend.BareCR != bareCR || mend.BareLF != bareLF {
			t.Fatalf("%q by %d: %q, CR %v, LF %v", in, size, out, mend.BareCR, mend.BareLF)
		}
		leave := Canonical{Binary: true, Normalise: true}
		if out := cutUp(in, size, &leave); out != in || leave.BareCR || leave.BareLF {
			t.Fatalf("%q by %d: %q", in, size, out)
		}
	})
}

// What decodes is written as xtext that decodes to the same.
func FuzzXtext(f *testing.F) {
	for _, s := range []string{"a+2Bb", "+", "+zz", `j\x{FC}rgen`, "jürgen", `\x{110000}`, "a=b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := DecodeXtext(s); err == nil {
			if again, err := DecodeXtext(EncodeXtext(v)); err != nil || again != v {
				t.Fatalf("%q -> %q -> %q, %v", s, v, again, err)
			}
		}
		if v, err := DecodeUTF8Xtext(s); err == nil {
			if again, err := DecodeUTF8Xtext(EncodeUTF8Xtext(v)); err != nil || again != v {
				t.Fatalf("%q -> %q -> %q, %v", s, v, again, err)
			}
		}
	})
}

func TestSolicited(t *testing.T) {
	for _, tt := range [][3]string{
		{"net.example:ADV", "net.example:ADV", "net.example:ADV"}, {"a,b,C", "c,A", "a,C"}, {"a", "", ""}, {"", "a", ""}, {"ab", "a,b", ""},
	} {
		if got := Solicited(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%q of %q: %q", tt[0], tt[1], got)
		}
	}
}
