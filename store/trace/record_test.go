package trace

import (
	"strings"
	"testing"
)

// A word's hash is that of the form in which words are compared.
func TestHashOf(t *testing.T) {
	for _, word := range []string{
		"", "a@b.test", "Ann@B.Test", "<a@b.test>", " <a@b.test> ", "<>", "a<b", "\u00c4rger@b.test", "a\u00a0", "x\x7fy", "tab\t",
		strings.Repeat("A", maxText), strings.Repeat("a", maxText+1), strings.Repeat("a", maxText-1) + "\u00e4", "[192.0.2.1]", "\xff",
	} {
		h, ok := hashOf(word)
		if want := normal(word); ok != (want != "") || ok && h != hash(want) {
			t.Errorf("%q: %x, %v; its form is %q", word, h, ok, want)
		}
	}
}
