package imap

import "bytes"

// A Literal announces octets that follow. RFC 9051 §4.3
type Literal struct {
	Size int64
	// NonSync says that the client does not wait for "+". RFC 7888 §4
	NonSync bool
	// Binary says that it is a literal8, which may hold NUL. RFC 3516 §4
	Binary bool
}

// LineLiteral tells whether a line (without its CRLF) ends by announcing a
// literal.
func LineLiteral(line []byte) (Literal, bool) {
	n := len(line)
	if n < 3 || line[n-1] != '}' {
		return Literal{}, false
	}
	open := bytes.LastIndexByte(line[max(0, n-24):], '{')
	if open < 0 {
		return Literal{}, false
	}
	open += max(0, n-24)
	s := scanner{b: line, i: open + 1}
	l := Literal{Size: s.number64()}
	l.NonSync = s.accept('+')
	s.expect('}')
	s.end()
	if s.err != nil {
		return Literal{}, false
	}
	l.Binary = open > 0 && line[open-1] == '~'
	return l, true
}

// IsAppend tells whether the text behind a tag is an APPEND.
func IsAppend(rest []byte) bool {
	return len(rest) > 7 && bytes.EqualFold(rest[:7], []byte("APPEND "))
}

// ParseAppend reads the beginning of an APPEND, behind the tag: text that
// ends, without a CRLF, in the announcement of a literal. complete is false
// when that literal is not the message but the mailbox's name: the caller
// adds it to the text and goes on.
func ParseAppend(rest []byte) (cmd Append, complete bool, err error) {
	s := scanner{b: rest}
	if s.word() != "APPEND" {
		s.fail("not an APPEND")
	}
	s.sp()
	if l, ok := LineLiteral(rest[s.i:]); ok && !l.Binary && s.peek() == '{' && bytes.IndexByte(rest[s.i:], '}') == len(rest)-s.i-1 {
		return Append{}, false, s.err
	}
	cmd.Mailbox = s.astring()
	s.sp()
	if s.peek() == '(' {
		cmd.Flags = s.flagList()
		s.sp()
	}
	if s.peek() == '"' {
		cmd.Date = s.dateTime()
		s.sp()
	}
	if s.peek() != '{' && s.peek() != '~' {
		if s.word() != "UTF8" {
			s.fail("expected a literal")
		}
		s.sp()
		s.expect('(')
		cmd.UTF8 = true
	}
	if s.err != nil {
		return Append{}, false, s.err
	}
	l, ok := LineLiteral(rest[s.i:])
	if start := rest[s.i:]; !ok || bytes.IndexByte(start, '{') > 1 || bytes.IndexByte(start, '}') != len(start)-1 || (start[0] == '~') != l.Binary {
		return Append{}, false, &SyntaxError{"expected a literal"}
	}
	if cmd.UTF8 && !l.Binary {
		return Append{}, false, &SyntaxError{"UTF8 needs a literal8"}
	}
	cmd.Literal = l
	return cmd, true, nil
}
