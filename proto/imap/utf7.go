package imap

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errUTF7 says that a name is not in modified UTF-7.
var errUTF7 = errors.New("mailbox name is not modified UTF-7")

// utf7Encoding is the base64 of RFC 3501 §5.1.3: "," for "/", no padding.
var utf7Encoding = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 gives a name in modified UTF-7. RFC 3501 §5.1.3
func EncodeUTF7(name string) string {
	if i := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '&' }); i < 0 {
		return name
	}
	var b strings.Builder
	for name != "" {
		c := name[0]
		switch {
		case c == '&':
			b.WriteString("&-")
			name = name[1:]
		case ' ' <= c && c <= '~':
			b.WriteByte(c)
			name = name[1:]
		default:
			n := strings.IndexFunc(name, func(r rune) bool { return ' ' <= r && r <= '~' })
			if n < 0 {
				n = len(name)
			}
			var raw []byte
			for _, u := range utf16.Encode([]rune(name[:n])) {
				raw = append(raw, byte(u>>8), byte(u))
			}
			b.WriteByte('&')
			b.WriteString(utf7Encoding.EncodeToString(raw))
			b.WriteByte('-')
			name = name[n:]
		}
	}
	return b.String()
}

// DecodeUTF7 reads modified UTF-7 strictly: every name has one form, so that
// what EncodeUTF7 writes is the only thing that reads as that name.
func DecodeUTF7(s string) (string, error) {
	if strings.IndexByte(s, '&') < 0 {
		return s, checkPrintable(s)
	}
	var b strings.Builder
	shifted := false // the last thing was a base64 run: another one right after it is a null shift
	for s != "" {
		if s[0] != '&' {
			if s[0] < ' ' || s[0] > '~' {
				return "", errUTF7
			}
			b.WriteByte(s[0])
			s, shifted = s[1:], false
			continue
		}
		run, rest, ok := strings.Cut(s[1:], "-")
		if !ok {
			return "", errUTF7
		}
		if run == "" {
			b.WriteByte('&')
			s, shifted = rest, false
			continue
		}
		if shifted {
			return "", errUTF7
		}
		text, err := decodeRun(run)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		s, shifted = rest, true
	}
	return b.String(), nil
}

// decodeRun reads what stands between "&" and "-".
func decodeRun(run string) (string, error) {
	if strings.ContainsAny(run, "\r\n") { // which base64 would skip
		return "", errUTF7
	}
	raw, err := utf7Encoding.DecodeString(run)
	if err != nil || len(raw)%2 != 0 {
		return "", errUTF7
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	var b strings.Builder
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i+1 == len(units) {
				return "", errUTF7
			}
			i++
			if r = utf16.DecodeRune(r, rune(units[i])); r == utf8.RuneError {
				return "", errUTF7
			}
		}
		if ' ' <= r && r <= '~' { // must represent itself
			return "", errUTF7
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

func checkPrintable(s string) error {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return errUTF7
		}
	}
	return nil
}
