package casemap

import (
	"strings"
	"testing"
	"unicode"
)

func TestWithoutMarks(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"plain text of some octets": "plain text of some octets",
		"Été à la façade":           "ete a la facade",
		"Grüße, größer":             "gruße, großer",
		"Київ":                      "киів", // the dots go, the letter stays
		"が":                         "か",
		"e\u0301\u0302\u0323x":      "ex",
		"ﬁne naïve":                 "fine naive",
	} {
		if got := string(WithoutMarks(nil, String(text))); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}

// What is told by where it stands is told right.
func TestIsMark(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if isMark(r) != unicode.Is(unicode.Mn, r) {
			t.Fatalf("%U: %v", r, isMark(r))
		}
	}
}

// Nothing is lost but marks, wherever the text is cut between characters.
func FuzzWithoutMarks(f *testing.F) {
	f.Add("a long text with éá and 日本語 テスト 한국어 in it", 7)
	f.Fuzz(func(t *testing.T, text string, at int) {
		folded := string(String(text))
		want := strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Mn, r) {
				return -1
			}
			return r
		}, folded)
		if got := string(WithoutMarks(nil, []byte(folded))); got != want {
			t.Fatalf("%q becomes %q, not %q", folded, got, want)
		}
		runes := []rune(folded)
		if at < 0 || at > len(runes) {
			return
		}
		got := WithoutMarks(WithoutMarks(nil, []byte(string(runes[:at]))), []byte(string(runes[at:])))
		if string(got) != want {
			t.Fatalf("cut at %d: %q, not %q", at, got, want)
		}
	})
}
