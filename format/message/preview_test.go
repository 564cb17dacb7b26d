package message

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// collapsed says what collapser.text does, a character at a time.
func collapsed(s string) string {
	var b strings.Builder
	count, space := 0, false
	for _, r := range s {
		if count >= maxPreview {
			break
		}
		switch {
		case r <= ' ' || unicode.IsSpace(r) || unicode.IsControl(r):
			space = count > 0
		case r == 0x34f || r == 0xfeff || r == 0xad || r == 0x200b:
		default:
			if space {
				b.WriteByte(' ')
				space = false
				if count++; count >= maxPreview {
					return b.String()
				}
			}
			b.WriteRune(r)
			count++
		}
	}
	return b.String()
}

func TestCollapsedText(t *testing.T) {
	pieces := []string{
		" ", "\r\n", "\t", "\x00", "\x7f", "\u0085", "\u00a0", "\u00ad", "\u200b", "\u034f", "\ufeff", "\u3000",
		"a", "word", "...", "ä", "語", "🐦", "\xff", "\xe2\x82", strings.Repeat("x", 100), strings.Repeat(" ", 50),
	}
	for range 5000 {
		var s strings.Builder
		for range rand.IntN(60) {
			s.WriteString(pieces[rand.IntN(len(pieces))])
		}
		var c collapser
		half := rand.IntN(s.Len() + 1)
		for half > 0 && half < s.Len() && !utf8.RuneStart(s.String()[half]) {
			half--
		}
		c.text(s.String()[:half])
		c.text(s.String()[half:])
		if got, want := c.b.String(), collapsed(s.String()); got != want || c.count != utf8.RuneCountInString(got) {
			t.Fatalf("%q: %d, %q, want %q", s.String(), c.count, got, want)
		}
	}
}
