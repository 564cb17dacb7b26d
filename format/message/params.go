package message

import (
	"strings"
	"unicode/utf8"

	"waxwing/format/charset"
)

// cutToken cuts the value of a structured MIME field, unfolded, into the token
// it starts with, in lower case, and its parameters. RFC 2045 §5.1
func cutToken(s string) (tok, rest string) {
	s = skipCFWS(s)
	i := 0
	for i < len(s) && s[i] != ';' && s[i] != ' ' && s[i] != '\t' && s[i] != '(' {
		i++
	}
	return internLower(strings.Trim(s[:i], `"'`)), s[i:]
}

func token(s string) string {
	tok, _ := cutToken(s)
	return tok
}

// skipCFWS skips white space and comments. RFC 5322 §3.2.2
func skipCFWS(s string) string {
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] != '(' {
			return s
		}
		_, s = cutComment(s)
	}
}

// cutComment cuts the comment that s starts with, which may hold others. One
// that does not end takes all. RFC 5322 §3.2.2
func cutComment(s string) (comment, rest string) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[1:i], s[i+1:]
			}
		}
	}
	return s[1:], ""
}

// A segment is a piece of a parameter value. RFC 2231 §3, §4
type segment struct {
	name     string
	index    int
	extended bool // percent-encoded; the first with charset and language
	value    string
}

// parseParams reads the parameters behind a MIME field's token. RFC 2045 §5.1,
// RFC 2231. Of two with the same name the first counts.
func parseParams(s string) []Param {
	var params []Param
	var segments []segment
	for len(params)+len(segments) < maxParams {
		s = strings.TrimLeft(skipCFWS(s), "; \t")
		if s == "" {
			break
		}
		if s[0] == '(' {
			continue
		}
		i := strings.IndexAny(s, "=;")
		if i < 0 {
			break
		}
		if s[i] == ';' {
			s = s[i:]
			continue
		}
		name := internLower(strings.TrimRight(s[:i], " \t"))
		var value string
		value, s = cutValue(s[i+1:])
		if name == "" || name[0] == '*' {
			continue
		}
		if strings.IndexByte(name, '*') > 0 {
			segments = append(segments, newSegment(name, value))
			continue
		}
		if !hasParam(params, name) {
			if params == nil {
				params = make([]Param, 0, 1+min(maxParams, strings.Count(s, "=")))
			}
			params = append(params, Param{name, plain(value)})
		}
	}
	return joinSegments(params, segments)
}

func hasParam(params []Param, name string) bool {
	for _, p := range params {
		if p.Name == name {
			return true
		}
	}
	return false
}

// cutValue cuts a parameter's value, quoted or not.
//
// QUIRK: values with spaces are often not quoted; they end at the semicolon.
func cutValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t")
	if s != "" && s[0] == '"' {
		value, rest, ok := cutQuoted(s)
		if !ok {
			value, rest, _ = strings.Cut(s[1:], ";")
		}
		return value, rest
	}
	end := strings.IndexByte(s, ';')
	if end < 0 {
		end = len(s)
	}
	value = s[:end]
	if i := strings.Index(value, " ("); i >= 0 { // a comment
		value = value[:i]
	}
	// QUIRK: the semicolon before the next parameter is sometimes forgotten.
	if i := strings.IndexAny(value, " \t"); i >= 0 {
		next := strings.TrimLeft(value[i:], " \t")
		if name, _, ok := strings.Cut(next, "="); ok && name != "" && isToken(name) {
			return value[:i], s[i:]
		}
	}
	return strings.TrimRight(value, " \t"), s[end:]
}

// cutQuoted cuts the quoted string that s starts with and unquotes it.
// RFC 5322 §3.2.4
func cutQuoted(s string) (value, rest string, ok bool) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			value = s[1:i]
			if escaped {
				value = unescape(value)
			}
			return value, s[i+1:], true
		}
	}
	return "", s, false
}

func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func newSegment(name, value string) segment {
	g := segment{value: value}
	g.name, name, _ = strings.Cut(name, "*")
	if strings.HasSuffix(name, "*") {
		g.extended = true
		name = name[:len(name)-1]
	}
	if name == "" { // name*=
		g.extended = true
		return g
	}
	for i := 0; i < len(name); i++ {
		if name[i] < '0' || name[i] > '9' || g.index > maxParams {
			g.index = -1
			break
		}
		g.index = g.index*10 + int(name[i]-'0')
	}
	return g
}

// joinSegments adds the parameters that segments make to the plain ones,
// which they win over. RFC 2231 §3
func joinSegments(params []Param, segments []segment) []Param {
	for _, first := range segments {
		if first.index != 0 {
			continue
		}
		var label string
		var value []byte
		extended := false
		for index := 0; ; index++ {
			g, ok := findSegment(segments, first.name, index)
			if !ok {
				break
			}
			text := g.value
			if g.extended && index == 0 {
				if c, rest, ok := strings.Cut(text, "'"); ok {
					if _, t, ok := strings.Cut(rest, "'"); ok {
						label, text = c, t
					}
				}
			}
			if g.extended {
				extended = true
				value = appendPercent(value, text)
			} else {
				value = append(value, text...)
			}
		}
		text := plain(string(value))
		if extended && label != "" {
			text = clean(charset.Decode(value, label))
		}
		params = setParam(params, first.name, text)
	}
	return params
}

func findSegment(segments []segment, name string, index int) (segment, bool) {
	for _, g := range segments {
		if g.index == index && g.name == name {
			return g, true
		}
	}
	return segment{}, false
}

func setParam(params []Param, name, value string) []Param {
	for i := range params {
		if params[i].Name == name {
			params[i].Value = value
			return params
		}
	}
	return append(params, Param{name, value})
}

// appendPercent decodes the percent encoding of RFC 2231 §4.
func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, ok := unhex(s[i+1], s[i+2]); ok {
				dst = append(dst, c)
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

func unhex(hi, lo byte) (byte, bool) {
	h, l := hexDigit(hi), hexDigit(lo)
	return h<<4 | l&15, h < 16 && l < 16
}

func hexDigit(c byte) byte {
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

// plain makes valid UTF-8 of a value that declares no charset.
func plain(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return clean(charset.Guess([]byte(s)))
}

// clean takes out what decoding may have brought in that could break a line
// or a protocol: CR, LF and NUL.
func clean(s string) string {
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return breaks.Replace(s)
}

var breaks = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", " ")

// languages reads a Content-Language. RFC 3282 §2
func languages(s string) []string {
	var tags []string
	for part := range strings.SplitSeq(s, ",") {
		if tag := strings.TrimSpace(part); tag != "" && len(tags) < maxParams {
			tags = append(tags, tag)
		}
	}
	return tags
}

// internLower gives s in lower case, without allocation for what is ordinary.
func internLower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return internUpper(s)
		}
	}
	return s
}

func internUpper(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}
