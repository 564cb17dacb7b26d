package dsn

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// encodeUnitext gives an address in the form that is 7-bit safe
// (utf-8-addr-xtext): what is not ASCII, and what ORCPT does not allow, as
// \x{HEX}. RFC 6533 §3
func encodeUnitext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '\\' || r == '+' || r == '=' {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// decodeUnitext takes the escapes off; what is none stays. RFC 6533 §3
func decodeUnitext(s string) string {
	if !strings.Contains(s, `\x{`) {
		return s
	}
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		end := strings.IndexByte(after[:min(len(after), 7)], '}')
		n, err := strconv.ParseUint(after[:max(end, 0)], 16, 32)
		if end < 2 || err != nil || !utf8.ValidRune(rune(n)) {
			b.WriteString(`\x{`)
			s = after
			continue
		}
		b.WriteRune(rune(n))
		s = after[end+1:]
	}
}
