package casemap

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

// WithoutMarks appends a folded text without its combining marks: two texts
// that are equal then differ in accents at most.
func WithoutMarks(dst, folded []byte) []byte {
	for len(folded) > 0 {
		from, to := NextMark(folded)
		dst = append(dst, folded[:from]...)
		folded = folded[to:]
	}
	return dst
}

// NextMark gives where the first combining mark of a folded text is; both its
// ends are the text's where there is none.
func NextMark(folded []byte) (from, to int) {
	const high = 0x8080808080808080
	for i := 0; i < len(folded); {
		for i+8 <= len(folded) && binary.LittleEndian.Uint64(folded[i:])&high == 0 {
			i += 8
		}
		for i < len(folded) && folded[i] < utf8.RuneSelf {
			i++
		}
		for i < len(folded) && folded[i] >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(folded[i:])
			if isMark(r) {
				return i, i + n
			}
			i += n
		}
	}
	return len(folded), len(folded)
}

// isMark tells whether a character is a mark that takes no room. Most of those
// that are none are told by where they stand.
func isMark(r rune) bool {
	switch {
	case r < 0x300, 0x370 <= r && r < 0x483, 0x1100 <= r && r < 0x1200, 0x3040 <= r && r < 0x3099, 0x30A0 <= r && r < 0xA000:
		return false
	case r < 0x370:
		return true
	}
	return unicode.Is(unicode.Mn, r)
}
