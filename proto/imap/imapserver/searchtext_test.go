package imapserver

import (
	"bytes"
	"slices"
	"testing"
	"unicode/utf8"

	"waxwing/format/casemap"
)

// Looking piece by piece finds what looking at the whole would find, and
// nothing across the end of a text.
func FuzzNeedles(f *testing.F) {
	f.Add("Hello Wörld", "LLO W", "o w", uint8(1))
	f.Add("aaaaaaab", "aaab", "", uint8(3))
	f.Add("e\u0301e\u0301", "é", "x", uint8(2))
	f.Fuzz(func(t *testing.T, text, one, two string, cut uint8) {
		if !utf8.ValidString(text) {
			return
		}
		folded := casemap.String(text)
		needles := [][]byte{casemap.String(one), casemap.String(two)}
		s := newNeedleSink(needles)
		for range 2 {
			s.reset()
			for rest := folded; len(rest) > 0; {
				n := min(int(cut)%7+1, len(rest))
				s.Write(bytes.Clone(rest[:n]))
				rest = rest[n:]
			}
			for i, n := range needles {
				if s.found[i] != bytes.Contains(folded, n) {
					t.Fatalf("%q in %q in pieces of %d: %v", n, folded, cut%7+1, s.found[i])
				}
			}
			if s.Enough() != (s.found[0] && s.found[1]) {
				t.Fatal("miscounted")
			}
		}
		s.reset()
		half := len(folded) / 2
		s.Write(folded[:half])
		s.End()
		s.Write(folded[half:])
		for i, n := range needles {
			if s.found[i] != (bytes.Contains(folded[:half], n) || bytes.Contains(folded[half:], n)) {
				t.Fatalf("%q in %q | %q: %v", n, folded[:half], folded[half:], s.found[i])
			}
		}
	})
}

func TestFuzzy(t *testing.T) {
	for _, tt := range []struct {
		text, words string
		want        int
	}{
		{"hello world", "world hello", scoreWords}, {"hello world", "lo wor", scorePhrase},
		{"hello world", "helo", scoreAlmost}, {"hello world", "hel!", scorePhrase - 30}, {"say hello", "hallo", scoreAlmost}, {"say hello", "hellooo", scoreNone},
		{"invoice", "invoce", scoreAlmost}, {"invoice", "invoicee", scoreAlmost}, {"invoice", "onvoice", scoreAlmost},
		{"a café", "cafe", scorePhrase}, {"a cafe", "café", scorePhrase}, {"", "x", scoreNone}, {"x", "", scorePhrase},
		{"meeting tomorrow", "tomorow meeting", scoreAlmost}, {"meeting", "!?", scoreNone},
		{"Київ і Львів", "Льiвів", scoreAlmost}, {"столиця", "столица", scoreAlmost}, {"aaab aab", "xaab", scoreAlmost},
	} {
		f := newFuzzyTest(casemap.String(tt.words))
		if got := f.rate(casemap.WithoutMarks(nil, casemap.String(tt.text)), true); got != tt.want {
			t.Errorf("%q in %q: %d, want %d", tt.words, tt.text, got, tt.want)
		}
	}
}

// In a text a word of which a letter is wrong is found if its halves are long
// enough, whichever letter it is.
func TestFuzzyText(t *testing.T) {
	for _, tt := range []struct {
		text, word string
		want       int
	}{
		{"my invoice", "invoce", scoreAlmost}, {"my work", "wurk", scoreNone}, {"my work", "work", scorePhrase},
		{"столиця", "столица", scoreAlmost}, {"日本語入力", "日本話入力", scoreAlmost}, {"日本語", "日本話", scoreNone},
	} {
		f := newFuzzyTest(casemap.String(tt.word))
		if got := f.rate(casemap.WithoutMarks(nil, casemap.String(tt.text)), false); got != tt.want {
			t.Errorf("%q in %q: %d, want %d", tt.word, tt.text, got, tt.want)
		}
	}
	word := []rune("tomorrow")
	for at := range word {
		changed := slices.Clone(word)
		changed[at] = 'ж'
		for kind, wrong := range map[string][]rune{"wrong": changed, "missing": slices.Delete(slices.Clone(word), at, at+1), "too many": slices.Insert(slices.Clone(word), at, '語')} {
			if f := newFuzzyTest([]byte(string(wrong))); f.rate([]byte("see you tomorrow then"), false) == scoreNone {
				t.Errorf("a letter %s: %s", kind, string(wrong))
			}
		}
	}
}
