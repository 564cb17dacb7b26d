package imap

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxQuoted is the longest string written in quotes: longer ones are easier
// on clients as literals.
const maxQuoted = 1024

// AppendString writes s as a string: quoted where it can be, else a literal.
// Only with utf8Strings does it quote what is not ASCII (RFC 6855 §3). NUL,
// which no string can hold, is left out.
func AppendString(dst []byte, s string, utf8Strings bool) []byte {
	plain := len(s) <= maxQuoted
	ascii := true
	for i := 0; i < len(s) && plain; i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n' || c == 0:
			plain = false
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '"' || c == '\\':
			return appendEscaped(dst, s, utf8Strings)
		}
	}
	if plain && (ascii || utf8Strings && utf8.ValidString(s)) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	return appendLiteral(dst, s)
}

// appendEscaped is AppendString for a string that needs backslashes.
func appendEscaped(dst []byte, s string, utf8Strings bool) []byte {
	if strings.ContainsAny(s, "\r\n\x00") || !isASCII(s) && !(utf8Strings && utf8.ValidString(s)) {
		return appendLiteral(dst, s)
	}
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func appendLiteral(dst []byte, s string) []byte {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	dst = AppendLiteralSize(dst, int64(len(s)))
	return append(dst, s...)
}

// AppendLiteralSize writes what stands before the n octets of a literal.
func AppendLiteralSize(dst []byte, n int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "}\r\n"...)
}

// AppendNString writes s as a string, or NIL when it is empty.
func AppendNString(dst []byte, s string, utf8Strings bool) []byte {
	if s == "" {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s, utf8Strings)
}

// AppendAString writes s as an atom where it can be one, else as a string.
func AppendAString(dst []byte, s string, utf8Strings bool) []byte {
	if s == "" || len(s) > maxQuoted || strings.EqualFold(s, "NIL") {
		return AppendString(dst, s, utf8Strings)
	}
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&(atomChar|respSpec) == 0 {
			return AppendString(dst, s, utf8Strings)
		}
	}
	return append(dst, s...)
}

func appendDecimal(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
