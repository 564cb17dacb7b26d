package casemap

import (
	"bytes"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestContains(t *testing.T) {
	tests := []struct {
		text, needle string
		want         bool
	}{
		{"Hello World", "O w", true},
		{"hello", "", true},
		{"hello", "x", false},
		{"Grüße", "GRÜSSE", false}, // one letter for two is not in i;unicode-casemap
		{"GRÜẞE", "grüße", true},
		{"e\u0301te\u0301", "ÉTÉ", true},
		{"ﬁne", "FINE", true}, // a ligature
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"Київ", "КИЇВ", true},
		{"ｆｕｌｌ", "full", true},
		{"日本語", "本", true},
		{"한국어", "한국", true},
	}
	for _, tt := range tests {
		if got := Contains(tt.text, String(tt.needle)); got != tt.want {
			t.Errorf("%q in %q: %v", tt.needle, tt.text, got)
		}
	}
}

// Folding in runs comes to what folding by the letter of RFC 5051 comes to,
// and a text cut at a Boundary folds as it does whole.
func FuzzFold(f *testing.F) {
	for _, s := range []string{"Hello Wörld", "e\u0301te\u0301", "Київ ЙЁ", "한국어 x", "ﬁ\u0301ne ｆ", "a\u0323\u0307\u0301b", "\xffA\xc3"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Fold(nil, text)
		if again := Fold(nil, got); utf8.Valid(text) && !bytes.Equal(got, again) && len(text) < 30 {
			// A few letters have a lower case that decomposes once more.
			if third := Fold(nil, again); !bytes.Equal(again, third) {
				t.Fatalf("%q folds to %q, %q, %q", text, got, again, third)
			}
		}
		if !utf8.Valid(text) || len(text) > 60 { // the norm package breaks up longer runs of marks
			return
		}
		var want []byte
		for _, r := range string(norm.NFKD.Bytes(text)) {
			want = utf8.AppendRune(want, unicode.ToLower(unicode.ToUpper(r)))
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q folds to %q, want %q", text, got, want)
		}
		if i := Boundary(text); i > 0 && i < len(text) && text[i] < utf8.RuneSelf {
			if parts := Fold(Fold(nil, text[:i]), text[i:]); !bytes.Equal(parts, got) {
				t.Fatalf("%q cut at %d folds to %q, want %q", text, i, parts, got)
			}
		}
	})
}

func BenchmarkFold(b *testing.B) {
	for _, tt := range []struct{ name, text string }{
		{"ascii", "The quick brown fox jumps over the lazy dog, "}, {"german", "Über größere Flüsse führen schöne Brücken. "},
		{"cyrillic", "Съешь же ещё этих мягких французских булок, "}, {"chinese", "我能吞下玻璃而不伤身体，"},
	} {
		text := bytes.Repeat([]byte(tt.text), 8192/len(tt.text))
		b.Run(tt.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			var dst []byte
			for b.Loop() {
				dst = Fold(dst[:0], text)
			}
		})
	}
}
