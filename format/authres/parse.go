package authres

import (
	"errors"
	"strings"
	"unicode"
)

// Limits on what is read of a field. More is left out.
const (
	maxResults = 64
	maxProps   = 32
)

var errSyntax = errors.New("malformed authentication results")

// Claims tells whether a field's value could be taken for what a server has
// found out, by a reader who is less strict than we are: its name stands where
// the authserv-id is, however it is written, or somewhere in what stands there
// and is none. RFC 8601 §5
func Claims(value, server string) bool {
	s := scanner{rest: value}
	id, ok := s.word()
	s.cfws()
	for s.rest != "" && s.rest[0] >= '0' && s.rest[0] <= '9' { // the version
		s.rest = s.rest[1:]
	}
	s.cfws()
	id, server = plainName(id), plainName(server)
	if ok && isToken(id) && (s.rest == "" || s.rest[0] == ';') {
		return id == server
	}
	first, _, _ := strings.Cut(value, ";")
	first = plainName(first)
	return id == "" || strings.Contains(first, server)
}

// plainName gives a name in lower case, with nothing in it that somebody may pass
// over: white space, comments, quotes, controls, the dot at its end.
func plainName(s string) string {
	var b strings.Builder
	depth := 0
	for _, r := range strings.ToLower(s) {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth = max(depth-1, 0)
		case depth > 0, r == '"', r == '\\', unicode.IsSpace(r), !unicode.IsPrint(r):
		case r == '。' || r == '．' || r == '｡': // dots, by IDNA. RFC 3490 §3.1
			b.WriteByte('.')
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), ".")
}

// Parse reads the value of a field. RFC 8601 §2.2. The results before a
// malformed one are given with the error.
func Parse(value string) (server string, results []Result, err error) {
	s := scanner{rest: value}
	server, ok := s.word()
	if !ok {
		return "", nil, errSyntax
	}
	s.cfws()
	for s.rest != "" && s.rest[0] >= '0' && s.rest[0] <= '9' { // the version
		s.rest = s.rest[1:]
	}
	for {
		s.cfws()
		if s.rest == "" {
			return server, results, nil
		}
		if !s.take(';') {
			return server, results, errSyntax
		}
		s.cfws()
		if s.rest == "" {
			return server, results, nil // QUIRK: some end with a semicolon
		}
		r, err := s.result()
		if err != nil {
			return server, results, err
		}
		if r.Method != "none" && len(results) < maxResults {
			results = append(results, r)
		}
	}
}

// result reads one resinfo, or "none".
func (s *scanner) result() (Result, error) {
	var r Result
	method := s.keyword()
	if method == "" {
		return r, errSyntax
	}
	r.Method = strings.ToLower(method)
	s.cfws()
	if s.take('/') { // the method's version
		s.cfws()
		s.keyword()
		s.cfws()
	}
	if !s.take('=') {
		if r.Method == "none" {
			return r, nil
		}
		return r, errSyntax
	}
	s.cfws()
	if r.Value = strings.ToLower(s.keyword()); r.Value == "" {
		return r, errSyntax
	}
	for {
		s.cfws()
		if s.rest == "" || s.rest[0] == ';' {
			return r, nil
		}
		if err := s.property(&r); err != nil {
			return r, err
		}
	}
}

// property reads a reason or a property.
func (s *scanner) property(r *Result) error {
	ptype := s.keyword()
	s.cfws()
	name := ""
	if s.take('.') {
		s.cfws()
		name = s.keyword()
		s.cfws()
	}
	if ptype == "" || !s.take('=') {
		return errSyntax
	}
	v, ok := s.word()
	if !ok {
		v = "" // QUIRK: some write nothing, as in "header.i=;"
	}
	switch {
	case name == "" && strings.EqualFold(ptype, "reason"):
		r.Reason = v
	case name == "":
		return errSyntax
	case len(r.Props) < maxProps:
		r.Props = append(r.Props, Prop{strings.ToLower(ptype), strings.ToLower(name), v})
	}
	return nil
}

// A scanner reads a value from left to right.
type scanner struct{ rest string }

func (s *scanner) take(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// cfws skips white space and comments. RFC 5322 §3.2.2
func (s *scanner) cfws() {
	depth, i := 0, 0
	for ; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			s.rest = s.rest[i:]
			return
		}
	}
	s.rest = ""
}

// keyword reads letters, digits and hyphens. RFC 5321 §4.1.2
func (s *scanner) keyword() string {
	i := 0
	for i < len(s.rest) {
		c := s.rest[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			break
		}
		i++
	}
	k := s.rest[:i]
	s.rest = s.rest[i:]
	return k
}

// word reads a quoted string, or what stands until white space, a comment or a
// semicolon: values, addresses and domains.
func (s *scanner) word() (string, bool) {
	s.cfws()
	var b strings.Builder
	for s.rest != "" {
		switch c := s.rest[0]; c {
		case '"':
			if !s.quoted(&b) {
				return "", false
			}
			continue
		case ' ', '\t', '\r', '\n', '(', ';':
			return b.String(), b.Len() > 0
		default:
			b.WriteByte(c)
			s.rest = s.rest[1:]
		}
	}
	return b.String(), b.Len() > 0
}

// quoted reads a quoted string.
func (s *scanner) quoted(b *strings.Builder) bool {
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '\\':
			if i++; i < len(s.rest) {
				b.WriteByte(s.rest[i])
			}
		case '"':
			s.rest = s.rest[i+1:]
			return true
		default:
			b.WriteByte(c)
		}
	}
	return false
}
