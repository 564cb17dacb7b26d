package dkim

import "bytes"

// A Form is a canonicalization. RFC 6376 §3.4
type Form uint8

// Simple bears almost no change on the way, Relaxed bears changed white space.
const (
	Simple Form = iota
	Relaxed
)

// String gives the word of RFC 6376.
func (f Form) String() string {
	if f == Relaxed {
		return "relaxed"
	}
	return "simple"
}

// AppendField appends a field in its canonical form, without the line end after
// it. The field comes with its name, and with or without its last line end.
// RFC 6376 §3.4.1, §3.4.2
func (f Form) AppendField(b, field []byte) []byte {
	field = bytes.TrimSuffix(field, crlf)
	if f == Simple {
		return append(b, field...)
	}
	colon := bytes.IndexByte(field, ':')
	if colon < 0 {
		return append(b, field...)
	}
	b = append(appendLower(b, bytes.TrimRight(field[:colon], " \t")), ':')
	start, space := len(b), false
	for rest := field[colon+1:]; len(rest) > 0; {
		n := word(rest)
		if n == 0 { // line ends are unfolded
			space = space || rest[0] == ' ' || rest[0] == '\t'
			rest = rest[1:]
			continue
		}
		if space && len(b) > start {
			b = append(b, ' ')
		}
		b, rest, space = append(b, rest[:n]...), rest[n:], false
	}
	return b
}

var crlf = []byte("\r\n")
