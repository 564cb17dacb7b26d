package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errXtext = errors.New("malformed xtext")

// DecodeXtext reads xtext, in which "+XX" stands for an octet. Octets that
// are control characters or not ASCII are refused: no use of xtext in SMTP
// has them. RFC 3461 §4
func DecodeXtext(s string) (string, error) {
	if strings.IndexByte(s, '+') < 0 {
		if !isXchars(s) {
			return "", errXtext
		}
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) {
				return "", errXtext
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			c = hi<<4 | lo
			if hi > 15 || lo > 15 || c < ' ' || c > '~' {
				return "", errXtext
			}
			i += 2
		case c <= ' ' || c > '~' || c == '=':
			return "", errXtext
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// EncodeXtext writes printable ASCII as xtext. RFC 3461 §4
func EncodeXtext(s string) string {
	const hex = "0123456789ABCDEF"
	if isXchars(s) && strings.IndexByte(s, '+') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || c == '+' || c == '=' {
			b.WriteByte('+')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// DecodeUTF8Xtext reads utf-8-addr-xtext and utf-8-addr-unitext, in which
// "\x{HEX}" stands for a code point. RFC 6533 §3
func DecodeUTF8Xtext(s string) (string, error) {
	var b strings.Builder
	for s != "" {
		if rest, ok := strings.CutPrefix(s, `\x{`); ok {
			digits, after, ok := strings.Cut(rest, "}")
			if !ok || len(digits) < 2 || len(digits) > 6 {
				return "", errXtext
			}
			n, err := strconv.ParseUint(digits, 16, 32)
			if err != nil || n < ' ' || n == 0x7f || !utf8.ValidRune(rune(n)) {
				return "", errXtext
			}
			b.WriteRune(rune(n))
			s = after
			continue
		}
		if c := s[0]; c <= ' ' || c == 0x7f || c == '\\' || c == '+' || c == '=' {
			return "", errXtext
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	if !utf8.ValidString(b.String()) {
		return "", errXtext
	}
	return b.String(), nil
}

// EncodeUTF8Xtext writes UTF-8 as utf-8-addr-xtext, which is ASCII.
// RFC 6533 §3
func EncodeUTF8Xtext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '\\' || r == '+' || r == '=' {
			b.WriteString(`\x{`)
			if r < 16 {
				b.WriteByte('0')
			}
			b.WriteString(strings.ToUpper(strconv.FormatInt(int64(r), 16)))
			b.WriteByte('}')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isXchars holds for text without "=", white space and what is not printable
// ASCII.
func isXchars(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '=' {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// unhex gives the value of a hexadecimal digit in capitals, which is how
// xtext writes them, and 255 for anything else. QUIRK: small letters are sent
// too.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
