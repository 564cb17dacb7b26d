// Package casemap makes text comparable without regard to case: the form in
// which i;unicode-casemap compares (RFC 5051), which IMAP's SEARCH and SORT
// use for all Unicode and Sieve for its ASCII part (RFC 4790 §9.2).
//
// Texts are folded and the results compared octet by octet: equal, within one
// another, or before one another. What an octet is doing in a folded text is
// nobody's business; it is not to be shown.
package casemap

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold appends text in its folded form: decomposed, compatible characters as
// one, without case. What is no UTF-8 becomes U+FFFD. RFC 5051 §2
//
// Texts fold as they would apart where one is cut before a character that
// does not combine with the one before it.
func Fold(dst, text []byte) []byte {
	for len(text) > 0 {
		var n int
		dst, n = foldASCII(dst, text)
		text = text[n:]
		n = 0
		for n < len(text) && text[n] >= utf8.RuneSelf {
			n++
		}
		if n > 0 {
			dst = foldRun(dst, text[:n])
			text = text[n:]
		}
	}
	return dst
}

// String is Fold for a string.
func String(text string) []byte { return Fold(make([]byte, 0, len(text)+4), []byte(text)) }

// foldASCII folds the ASCII that text begins with, eight octets at a time,
// and tells how much it is.
func foldASCII(dst, text []byte) ([]byte, int) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	from := len(dst)
	dst = slices.Grow(dst, len(text))
	to := dst[from : from+len(text)]
	n := 0
	for ; n+8 <= len(text); n += 8 {
		w := binary.LittleEndian.Uint64(text[n:])
		if w&high != 0 {
			break
		}
		upper := (w + (0x80-'A')*ones) ^ (w + (0x7f-'Z')*ones) // its high bits: from A to Z
		binary.LittleEndian.PutUint64(to[n:], w|(upper&high)>>2)
	}
	for ; n < len(text) && text[n] < utf8.RuneSelf; n++ {
		to[n] = text[n]
		if c := text[n]; 'A' <= c && c <= 'Z' {
			to[n] = c + 'a' - 'A'
		}
	}
	return dst[:from+n], n
}

// foldRun folds characters that are not ASCII. ASCII does not combine, so
// that a run of the others decomposes as it would within its text.
func foldRun(dst, run []byte) []byte {
	for len(run) > 0 {
		n := 0 // where what is not plain begins
		for last := 0; n < len(run); {
			r, size := utf8.DecodeRune(run[n:])
			folded, plain := plainRune(r)
			if !plain {
				if n > 0 && norm.NFKD.Properties(run[n:]).LeadCCC() != 0 { // it may change places with marks of the last one
					n = n - last
					dst = dst[:len(dst)-lastFolded(run[n:n+last])]
				}
				break
			}
			if folded != "" {
				dst = append(dst, folded...)
			} else {
				dst = appendPlain(dst, r)
			}
			n, last = n+size, size
		}
		run = run[n:]
		n = 0
		for n < len(run) {
			r, size := utf8.DecodeRune(run[n:])
			if _, plain := plainRune(r); plain && n > 0 {
				break
			}
			n += size
		}
		if n > 0 {
			var room [256]byte
			dst = foldRunes(dst, norm.NFKD.Append(room[:0], run[:n]...))
			run = run[n:]
		}
	}
	return dst
}

func foldRunes(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, foldRune(r))
		text = text[n:]
	}
	return dst
}

func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

// A folding has what each of a range of characters folds to; empty for those
// that are no plain ones.
type folding struct {
	first rune
	to    []string
}

// foldings has the characters that are met most and do not combine with the
// ones before them: Latin to Hebrew, punctuation, Kana, full
// width.
var foldings = []folding{newFolding(0x80, 0x600), newFolding(0x2000, 0x2100), newFolding(0x3000, 0x3100), newFolding(0xFF00, 0xFFF0)}

func newFolding(from, to rune) folding {
	f := folding{from, make([]string, to-from)}
	for r := from; r < to; r++ {
		if s := []byte(string(r)); norm.NFKD.Properties(s).LeadCCC() == 0 {
			f.to[r-from] = string(foldRunes(nil, norm.NFKD.Bytes(s)))
		}
	}
	return f
}

// plainRune tells whether a character does not combine with the one before it
// and is one of those that fold fast; and what it folds to, if that is in a
// table.
func plainRune(r rune) (folded string, plain bool) {
	for i := range foldings {
		if at := int(r - foldings[i].first); at >= 0 && at < len(foldings[i].to) {
			folded = foldings[i].to[at]
			return folded, folded != ""
		}
	}
	return "", 0x4E00 <= r && r <= 0x9FFF || 0xAC00 <= r && r <= 0xD7A3
}

// appendPlain folds what is plain and in no table: Han, which stays, and
// Hangul, which comes apart by counting. Unicode §3.12
func appendPlain(dst []byte, r rune) []byte {
	if r < 0xAC00 {
		return utf8.AppendRune(dst, r)
	}
	s := r - 0xAC00
	dst = utf8.AppendRune(dst, 0x1100+s/588)
	dst = utf8.AppendRune(dst, 0x1161+s%588/28)
	if t := s % 28; t != 0 {
		dst = utf8.AppendRune(dst, 0x11A7+t)
	}
	return dst
}

// lastFolded gives how many octets a plain character folds to.
func lastFolded(b []byte) int {
	r, _ := utf8.DecodeRune(b)
	if folded, _ := plainRune(r); folded != "" {
		return len(folded)
	}
	return len(appendPlain(nil, r))
}

// Boundary gives where a piece of a longer text can be cut, so that its parts
// fold as the whole does: before an ASCII letter, or at worst between
// characters.
func Boundary(b []byte) int {
	for i := len(b) - 1; i > len(b)/2; i-- {
		if b[i] < utf8.RuneSelf {
			return i
		}
	}
	for i := len(b) - 1; i > len(b)-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return len(b)
}

// Contains tells whether a folded needle is in text.
func Contains(text string, needle []byte) bool {
	if len(needle) == 0 {
		return true
	}
	var room [256]byte
	return bytes.Contains(Fold(room[:0], []byte(text)), needle)
}
