package message

import (
	"bytes"
	"iter"
	"strings"
)

// A Field is one header field as it stands in the bytes it was found in;
// Name and Value are slices of them. RFC 5322 §2.2
type Field struct {
	Name  []byte // without white space before the colon; empty for a line that is no field
	Value []byte // raw: all behind the colon, folding in place, without the final line end
	Start int    // offset of the name's first octet
	End   int    // offset behind the field's final line end
}

// Is tells whether the field has this name, in any case.
func (f Field) Is(name string) bool { return equalFold(f.Name, name) }

// Text gives the value unfolded and trimmed; nothing is decoded. RFC 5322 §2.2.3
func (f Field) Text() string { return unfold(f.Value) }

// A Header is the fields of a header in their order.
type Header []Field

// ParseHeader finds the fields at the start of b, up to the first empty line,
// ten thousand at most. The fields refer to b.
func ParseHeader(b []byte) Header {
	var h Header
	for f := range Fields(b) {
		if len(h) == maxFields {
			break
		}
		h = append(h, f)
	}
	return h
}

// Get gives the text of the first field of this name, or nothing.
func (h Header) Get(name string) string {
	for f := range h.All(name) {
		return f.Text()
	}
	return ""
}

// Has tells whether there is a field of this name.
func (h Header) Has(name string) bool {
	for range h.All(name) {
		return true
	}
	return false
}

// All iterates over the fields of this name, first to last.
func (h Header) All(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h {
			if f.Is(name) && !yield(f) {
				return
			}
		}
	}
}

// Fields iterates over the header fields at the start of b, up to the first
// empty line or the end. Lines may end in CRLF or LF. A line that is neither a
// field nor a continuation comes as a Field without a Name.
func Fields(b []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for at := 0; at < len(b); {
			end := fieldEnd(b, at)
			if end < 0 {
				return
			}
			raw := trimEOL(b[at:end])
			f := Field{Value: raw, Start: at, End: end}
			if name, value, ok := cutField(raw); ok {
				f.Name, f.Value = name, value
			}
			if !yield(f) {
				return
			}
			at = end
		}
	}
}

// SplitHeader cuts a message or part behind the empty line that ends its
// header. Without such a line all of b is header.
func SplitHeader(b []byte) (header, body []byte) {
	at := 0
	for at < len(b) {
		end := fieldEnd(b, at)
		if end < 0 {
			break
		}
		at = end
	}
	if at < len(b) {
		if b[at] == '\r' {
			at++
		}
		at++
	}
	return b[:at], b[at:]
}

// fieldEnd gives the offset behind the field that starts at at, or -1 if the
// empty line is there.
func fieldEnd(b []byte, at int) int {
	if isBlank(b[at:]) {
		return -1
	}
	for {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return len(b)
		}
		at += i + 1
		if at == len(b) || b[at] != ' ' && b[at] != '\t' {
			return at
		}
	}
}

// isBlank tells whether b starts with a line end.
func isBlank(b []byte) bool {
	return len(b) > 0 && b[0] == '\n' || len(b) > 1 && b[0] == '\r' && b[1] == '\n'
}

// cutField cuts a field into name and value. White space before the colon is
// allowed, as RFC 5322 §4.5 obsolete syntax has it.
func cutField(raw []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(raw, ':')
	if i <= 0 {
		return nil, nil, false
	}
	name = bytes.TrimRight(raw[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return nil, nil, false
		}
	}
	return name, raw[i+1:], len(name) > 0
}

func trimEOL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n > 1 && b[n-2] == '\r' {
			b = b[:n-2]
		}
	}
	return b
}

// unfold gives a raw value as text: line ends of folding are removed, what
// could break a line or a protocol (CR, LF, NUL on their own) becomes a space,
// white space around is trimmed. RFC 5322 §2.2.3
func unfold(raw []byte) string {
	raw = bytes.Trim(raw, " \t\r\n\x00")
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(raw, 0) < 0 {
		return string(raw)
	}
	var s strings.Builder
	s.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '\r' && i+1 < len(raw) && raw[i+1] == '\n':
			// Dropped with its LF, which is seen next.
		case c == '\n' && i+1 < len(raw) && (raw[i+1] == ' ' || raw[i+1] == '\t'):
		case c == '\r' || c == '\n' || c == 0:
			s.WriteByte(' ')
		default:
			s.WriteByte(c)
		}
	}
	return s.String()
}

// equalFold compares b with s without regard to the case of ASCII letters.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
