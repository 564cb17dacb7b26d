package dkim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

var runsOfSpace = regexp.MustCompile(`[ \t]+`)

// plainly is the canonical form of a body as RFC 6376 §3.4.3 and §3.4.4 say it,
// without regard to cost.
func plainly(f Form, body string) string {
	lines := strings.Split(body, "\r\n")
	if f == Relaxed {
		for i, line := range lines {
			line = runsOfSpace.ReplaceAllString(line, " ")
			lines[i] = strings.TrimSuffix(line, " ")
		}
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 && f == Relaxed {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// checkBody hashes a body in pieces and compares.
func checkBody(t *testing.T, f Form, body string, pieces func(left int) int) {
	t.Helper()
	h := NewBody(f)
	for rest := body; rest != ""; {
		n := pieces(len(rest))
		h.Write([]byte(rest[:n]))
		rest = rest[n:]
	}
	h.Finish()
	want := plainly(f, body)
	if sum := sha256.Sum256([]byte(want)); !bytes.Equal(h.Sum(), sum[:]) || h.n != int64(len(want)) {
		t.Errorf("%s of %q: %d octets, not %q", f, body, h.n, want)
	}
}

// However a body is made and cut, its canonical form is the one of the RFC: short
// ones of what is awkward, and long ones that mostly are not.
func TestBody(t *testing.T) {
	rng := mathrand.New(mathrand.NewPCG(6, 376))
	awkward := []string{"\r\n", "\r\n", " ", "\t", "\r", "\n", "a", "bc", "  ", " \r\n"}
	usual := []string{"words", "and", " more", " of", " them", ".\r\n", "\r\n", "x"}
	for range 500 {
		var b strings.Builder
		from, most := awkward, 40
		if rng.IntN(8) == 0 {
			from, most = usual, 4000
		}
		for range rng.IntN(most) {
			if from[0] == usual[0] && rng.IntN(1500) == 0 {
				b.WriteString(awkward[rng.IntN(len(awkward))])
			}
			b.WriteString(from[rng.IntN(len(from))])
		}
		for _, f := range []Form{Simple, Relaxed} {
			checkBody(t, f, b.String(), func(left int) int { return 1 + rng.IntN(left) })
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("a b  c\t\r\n\r\n \r\rx\n", 3)
	f.Fuzz(func(t *testing.T, body string, cut int) {
		for _, form := range []Form{Simple, Relaxed} {
			checkBody(t, form, body, func(left int) int { return min(max(cut, 1), left) })
		}
	})
}

// A header with more names than are looked through one by one.
func TestManyNames(t *testing.T) {
	var b strings.Builder
	for i := range 3 * few {
		fmt.Fprintf(&b, "X-%d: a\r\nx-%d : b\r\n folded\r\n", i, i)
	}
	b.WriteString("no field\r\n\r\n")
	h := ParseHeader([]byte(b.String()))
	for i := range 3 * few {
		name := fmt.Sprintf("x-%d", i)
		if all := h.Named(name); len(all) != 2 || string(all[0]) != fmt.Sprintf("X-%d: a\r\n", i) || string(all[1]) != fmt.Sprintf("x-%d : b\r\n folded\r\n", i) {
			t.Errorf("%s: %q", name, all)
		}
	}
	if h.Has("x") || len(h.Named("")) != 1 || len(h.fields) != 6*few+1 {
		t.Errorf("%d fields", len(h.fields))
	}
	var got []string
	for f := range h.selected([]string{"x-5", "x-5", "x-5", "from", "x-90"}) {
		got = append(got, string(f[:4]))
	}
	if fmt.Sprint(got) != "[x-5  X-5: x-90]" {
		t.Errorf("%q", got)
	}
}
