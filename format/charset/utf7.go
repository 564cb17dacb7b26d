package charset

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// utf7 decodes UTF-7. RFC 2152
type utf7 struct {
	shifted bool
	first   bool // directly behind the "+"
	bits    uint32
	count   uint
	high    rune // a high surrogate that waits for its low one, or 0
}

func newUTF7() transform.Transformer { return &utf7{} }

func (d *utf7) Reset() { *d = utf7{} }

// Transform takes octet by octet; each gives at most two characters.
func (d *utf7) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < 2*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += d.take(dst[nDst:], src[nSrc])
		nSrc++
	}
	if atEOF && d.high != 0 {
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], utf8.RuneError)
		d.high = 0
	}
	return nDst, nSrc, nil
}

func (d *utf7) take(dst []byte, c byte) int {
	if !d.shifted {
		switch {
		case c == '+':
			d.shifted, d.first, d.bits, d.count = true, true, 0, 0
			return 0
		case c >= utf8.RuneSelf:
			return utf8.EncodeRune(dst, utf8.RuneError)
		}
		dst[0] = c
		return 1
	}
	if v, ok := base64Value(c); ok {
		d.first = false
		d.bits = d.bits<<6 | uint32(v)
		d.count += 6
		if d.count < 16 {
			return 0
		}
		d.count -= 16
		return d.unit(dst, rune(d.bits>>d.count&0xffff))
	}
	first := d.first
	d.shifted, d.first = false, false
	n := 0
	if d.high != 0 {
		n = utf8.EncodeRune(dst, utf8.RuneError)
		d.high = 0
	}
	switch {
	case c == '-' && first: // "+-" is a plus
		dst[n] = '+'
		return n + 1
	case c == '-':
		return n
	case c >= utf8.RuneSelf:
		return n + utf8.EncodeRune(dst[n:], utf8.RuneError)
	}
	dst[n] = c
	return n + 1
}

// unit takes one UTF-16 unit.
func (d *utf7) unit(dst []byte, u rune) int {
	high := d.high
	d.high = 0
	switch {
	case high != 0:
		if r := utf16.DecodeRune(high, u); r != utf8.RuneError {
			return utf8.EncodeRune(dst, r)
		}
		n := utf8.EncodeRune(dst, utf8.RuneError)
		return n + d.unit(dst[n:], u)
	case 0xd800 <= u && u < 0xdc00:
		d.high = u
		return 0
	}
	return utf8.EncodeRune(dst, u)
}

func base64Value(c byte) (byte, bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A', true
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26, true
	case '0' <= c && c <= '9':
		return c - '0' + 52, true
	case c == '+':
		return 62, true
	case c == '/':
		return 63, true
	}
	return 0, false
}
