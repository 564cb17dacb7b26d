// Package authres writes and reads Authentication-Results, the field in which
// a server notes what it has found out about a message: RFC 8601.
//
// The same text, with an instance before it, is that of
// ARC-Authentication-Results.
package authres

import (
	"strings"
	"unicode/utf8"
)

// A Result is what one method has come to.
type Result struct {
	Method  string // such as "dkim"
	Value   string // such as "pass"
	Comment string // for people, "" for none
	Reason  string // "" for none
	Props   []Prop
}

// A Prop is a property that the method looked at.
type Prop struct {
	Type  string // smtp, header, policy or body
	Name  string // such as "mailfrom"
	Value string
}

// Get gives the first property with a type and name.
func (r Result) Get(ptype, name string) (value string, ok bool) {
	for _, p := range r.Props {
		if p.Type == ptype && p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// maxValue bounds what is written of a stranger's word.
const maxValue = 320

// Format gives the value of the field, folded before each result, without a
// line end after it. RFC 8601 §2.2
func Format(server string, results []Result) string {
	b := append(make([]byte, 0, 1024), server...)
	put := func(words ...string) {
		for _, w := range words {
			b = append(b, w...)
		}
	}
	if len(results) == 0 {
		put("; none")
	}
	for _, r := range results {
		put(";\r\n\t", r.Method, "=", r.Value)
		if r.Comment != "" {
			put(" (", comment(r.Comment), ")")
		}
		if r.Reason != "" {
			put(" reason=", quote(r.Reason))
		}
		for _, p := range r.Props {
			if p.Value != "" {
				put("\r\n\t ", p.Type, ".", p.Name, "=", value(p.Value))
			}
		}
	}
	return string(b)
}

// value writes a property: an address or a domain as it is, if it is one that
// can stand so, else as a quoted string. RFC 8601 §2.2, pvalue
func value(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 && isDotAtom(s[at+1:]) && (at == 0 || isDotAtom(s[:at])) && len(s) <= maxValue {
		return s
	}
	if isToken(s) && len(s) <= maxValue {
		return s
	}
	return quote(s)
}

// isToken is the token of RFC 2045 §5.1.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isDotAtom is the dot-atom-text of RFC 5322 §3.2.3, with the characters of
// RFC 6532.
func isDotAtom(s string) bool {
	if s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`()<>@,;:\"[]`, c) >= 0 {
			return false
		}
	}
	return true
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range clean(s) {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

func comment(s string) string {
	if plain(s) && !strings.ContainsAny(s, `()\`) {
		return s
	}
	var b strings.Builder
	for _, r := range clean(s) {
		if r == '(' || r == ')' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// plain tells whether a word is fit to be written as it is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= maxValue
}

// clean makes a stranger's word fit to be written: no controls, no more than
// so much, UTF-8.
func clean(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxValue)], "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
