package imap

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep parentheses, NOT and OR may nest.
const maxDepth = 64

// A SyntaxError says why a command could not be read. The machine answers
// BAD with it.
type SyntaxError struct{ Text string }

func (e *SyntaxError) Error() string { return e.Text }

// A scanner reads the tokens of one command. The first error sticks: after it
// every method gives the zero value and does not move, so that grammar reads
// straight on and asks once at the end. Loops must end when failed().
type scanner struct {
	b     []byte
	i     int
	depth int
	err   error
}

func (s *scanner) failed() bool { return s.err != nil }

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = &SyntaxError{Text: fmt.Sprintf(format, args...)}
	}
}

// peek gives the next octet, 0 at the end (NUL is never valid).
func (s *scanner) peek() byte {
	if s.err != nil || s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) atEnd() bool { return s.i >= len(s.b) }

// accept takes c if it is next.
func (s *scanner) accept(c byte) bool {
	if s.err == nil && s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) expect(c byte) {
	if !s.accept(c) {
		s.fail("expected %q", c)
	}
}

// sp takes a space. RFC 9051 §9
//
// QUIRK: there is exactly one between two words, none within parentheses and
// none at the end of a line; people who type, and some programs, send more.
func (s *scanner) sp() {
	if !s.spaces() {
		if s.atEnd() {
			s.fail("missing argument")
		} else {
			s.fail("expected a space")
		}
	}
}

// spaces takes all spaces, and tells whether there was any.
func (s *scanner) spaces() bool {
	from := s.i
	for s.accept(' ') {
	}
	return s.i > from
}

// more goes on to the next item of a list, or takes what closes it, 0 for the
// end of the command.
func (s *scanner) more(closer byte) bool {
	apart := s.spaces()
	switch {
	case s.err != nil || closer == 0 && s.atEnd() || closer != 0 && s.accept(closer):
		return false
	case !apart && s.atEnd():
		s.fail("missing %q", closer)
	case !apart:
		s.fail("expected a space")
	}
	return s.err == nil
}

func (s *scanner) end() {
	s.spaces()
	if s.err == nil && s.i < len(s.b) {
		s.fail("unexpected text after the command")
	}
}

// enter and leave bound recursion.
func (s *scanner) enter() {
	if s.depth++; s.depth > maxDepth {
		s.fail("nested too deep")
	}
}

func (s *scanner) leave() { s.depth-- }

// Classes of octets, RFC 9051 §9.
const (
	atomChar   = 1 << iota // ATOM-CHAR
	respSpec               // "]"
	wildcard               // "%" and "*"
	digitChar              // 0-9
	base64Char             // A-Z a-z 0-9 + / =
)

var classes = func() (t [256]uint8) {
	for c := 0x21; c < 0x7f; c++ {
		switch c {
		case '(', ')', '{', '"', '\\':
		case '%', '*':
			t[c] |= wildcard
		case ']':
			t[c] |= respSpec
		default:
			t[c] |= atomChar
		}
		switch {
		case '0' <= c && c <= '9':
			t[c] |= digitChar | base64Char
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '+', c == '/', c == '=':
			t[c] |= base64Char
		}
	}
	return t
}()

// span takes a run of octets of the given classes; it may be empty.
func (s *scanner) span(class uint8) []byte {
	if s.err != nil {
		return nil
	}
	from := s.i
	for s.i < len(s.b) && classes[s.b[s.i]]&class != 0 {
		s.i++
	}
	return s.b[from:s.i]
}

// word takes an atom and gives it in upper case.
func (s *scanner) word() string {
	b := s.span(atomChar)
	if len(b) == 0 {
		s.fail("expected a word")
		return ""
	}
	return upper(b)
}

// atom takes an atom as it stands.
func (s *scanner) atom() string {
	b := s.span(atomChar)
	if len(b) == 0 {
		s.fail("expected an atom")
	}
	return string(b)
}

// astring takes an astring: atom characters and "]", or a string.
func (s *scanner) astring() string {
	switch s.peek() {
	case '"', '{':
		return s.str()
	}
	b := s.span(atomChar | respSpec)
	if len(b) == 0 {
		s.fail("expected a string")
	}
	return string(b)
}

// listMailbox takes a list-mailbox: an astring that may hold wildcards.
func (s *scanner) listMailbox() string {
	switch s.peek() {
	case '"', '{':
		return s.str()
	}
	b := s.span(atomChar | respSpec | wildcard)
	if len(b) == 0 {
		s.fail("expected a mailbox pattern")
	}
	return string(b)
}

// str takes a string: quoted or literal.
func (s *scanner) str() string {
	switch s.peek() {
	case '"':
		return s.quoted()
	case '{':
		return s.literal()
	}
	s.fail("expected a string")
	return ""
}

// nstring takes a string or NIL.
func (s *scanner) nstring() (value string, present bool) {
	switch s.peek() {
	case '"', '{':
		return s.str(), true
	}
	if s.word() != "NIL" {
		s.fail("expected a string or NIL")
	}
	return "", false
}

// quoted takes a quoted string. UTF-8 is accepted in it whatever has been
// enabled, what is not UTF-8 is refused. RFC 6855 §3
func (s *scanner) quoted() string {
	s.expect('"')
	from := s.i
	for s.err == nil && s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			v := s.b[from:s.i]
			s.i++
			if !utf8.Valid(v) {
				s.fail("quoted string is not UTF-8")
				return ""
			}
			return string(v)
		case c == '\\':
			return s.quotedEscaped(from)
		case c == '\r' || c == '\n' || c == 0:
			s.fail("bad character in quoted string")
		default:
			s.i++
		}
	}
	s.fail("unterminated quoted string")
	return ""
}

// quotedEscaped goes on with a quoted string that has a backslash at s.i.
func (s *scanner) quotedEscaped(from int) string {
	var v strings.Builder
	v.Write(s.b[from:s.i])
	for s.i < len(s.b) {
		c := s.b[s.i]
		s.i++
		switch c {
		case '"':
			if !utf8.ValidString(v.String()) {
				s.fail("quoted string is not UTF-8")
				return ""
			}
			return v.String()
		case '\\':
			if c = s.peek(); c != '"' && c != '\\' {
				s.fail("bad escape in quoted string")
				return ""
			}
			s.i++
		case '\r', '\n', 0:
			s.fail("bad character in quoted string")
			return ""
		}
		v.WriteByte(c)
	}
	s.fail("unterminated quoted string")
	return ""
}

// literal takes a literal that stands in the text.
func (s *scanner) literal() string {
	s.expect('{')
	n := s.number64()
	s.accept('+')
	s.expect('}')
	s.accept('\r')
	s.expect('\n')
	if s.err == nil && n > int64(len(s.b)-s.i) {
		s.fail("literal is cut short")
	}
	if s.err != nil {
		return ""
	}
	v := s.b[s.i : s.i+int(n)]
	s.i += int(n)
	if bytes.IndexByte(v, 0) >= 0 {
		s.fail("NUL in literal") // RFC 9051 §4.3
		return ""
	}
	return string(v)
}

// number takes an unsigned number of 32 bits.
func (s *scanner) number() uint32 {
	n := s.number64()
	if n > 1<<32-1 {
		s.fail("number is too large")
		return 0
	}
	return uint32(n)
}

// nzNumber is number without zero.
func (s *scanner) nzNumber() uint32 {
	n := s.number()
	if n == 0 {
		s.fail("expected a number above zero")
	}
	return n
}

// number64 takes an unsigned number of 63 bits. RFC 9051 §4.2
func (s *scanner) number64() int64 {
	b := s.span(digitChar)
	if len(b) == 0 {
		s.fail("expected a number")
		return 0
	}
	var n int64
	for _, c := range b {
		digit := int64(c - '0')
		if n > (1<<63-1-digit)/10 {
			s.fail("number is too large")
			return 0
		}
		n = n*10 + digit
	}
	return n
}

// list takes "(" item *(SP item) ")", or "()" where empty is true.
func (s *scanner) list(empty bool, item func()) {
	s.enter()
	defer s.leave()
	s.expect('(')
	s.spaces()
	if empty && s.accept(')') {
		return
	}
	for !s.failed() {
		item()
		if !s.more(')') {
			return
		}
	}
}

// upper gives b in ASCII upper case.
func upper(b []byte) string {
	for _, c := range b {
		if 'a' <= c && c <= 'z' {
			return string(bytes.ToUpper(b))
		}
	}
	return string(b)
}
