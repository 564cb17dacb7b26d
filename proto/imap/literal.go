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
