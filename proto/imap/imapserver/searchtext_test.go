package imapserver

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
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
	}
	for _, tt := range tests {
		if got := contains(tt.text, fold(nil, []byte(tt.needle))); got != tt.want {
			t.Errorf("%q in %q: %v", tt.needle, tt.text, got)
		}
	}
}

// What lies across two pieces of the text is found.
func TestScanAcross(t *testing.T) {
	needle := fold(nil, []byte("NÄDEL im Heu"))
	for _, before := range []int{0, 1, scanSize - 20, scanSize - 13, scanSize - 12, scanSize - 5, scanSize, 2*scanSize - 6} {
		for _, filler := range []string{"x", "ü", "日"} {
			text := strings.Repeat(filler, before/len(filler)) + "nädel IM heu" + strings.Repeat(filler, 10)
			found := make([]bool, 2)
			err := scan(strings.NewReader(text), [][]byte{[]byte("nothing"), needle}, found)
			if err != nil || found[0] || !found[1] {
				t.Errorf("behind %d octets of %s: %v, %v", before, filler, found, err)
			}
		}
	}
}

// Reading piece by piece finds what looking at the whole would find.
func FuzzScan(f *testing.F) {
	f.Add("Hello Wörld", "LLO W", uint16(1))
	f.Add("e\u0301e\u0301", "é", uint16(40000))
	f.Fuzz(func(t *testing.T, text, needle string, before uint16) {
		if !utf8.ValidString(text) || !utf8.ValidString(needle) {
			return
		}
		whole := strings.Repeat(".", int(before)) + text
		folded := fold(nil, []byte(needle))
		want := bytes.Contains(fold(nil, []byte(whole)), folded)
		found := []bool{false}
		if err := scan(iotest.OneByteReader(strings.NewReader(whole)), [][]byte{folded}, found); err != nil || found[0] != want {
			t.Fatalf("%q in %q behind %d: %v, %v; want %v", needle, text, before, found[0], err, want)
		}
	})
}
