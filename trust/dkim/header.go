package dkim

import (
	"bytes"
	"iter"
	"slices"
)

// A Header is the header of a message whose fields have been found. It is not
// changed; any number of signatures can be looked at with one.
type Header struct {
	octets []byte
	fields []field
	names  []string         // that occur, in lower case, each once
	number map[string]int32 // of a name in names
	last   []int32          // the last field with a name, by the name's number
}

// A field is where one is in the octets.
type field struct {
	from, to int32
	name     int32 // its number
	above    int32 // the field before it that has its name, -1 without
}

// ParseHeader finds the fields of a header, which has MaxHeader octets at most.
// The octets are kept and must not change. Lines that are no field count as one
// that has no name.
func ParseHeader(octets []byte) *Header {
	const usual = 32
	h := &Header{octets: octets, fields: make([]field, 0, usual), number: make(map[string]int32, usual)}
	var room [64]byte
	for from := 0; from < len(octets); {
		to := fieldEnd(octets, from)
		if to-from > len(crlf) {
			h.add(from, to, appendLower(room[:0], nameOf(octets[from:to])))
		}
		from = to
	}
	return h
}

// add takes a field up.
func (h *Header) add(from, to int, name []byte) {
	n, known := h.number[string(name)]
	if !known {
		n = int32(len(h.names))
		h.names = append(h.names, string(name))
		h.number[h.names[n]] = n
		h.last = append(h.last, -1)
	}
	h.fields = append(h.fields, field{int32(from), int32(to), n, h.last[n]})
	h.last[n] = int32(len(h.fields) - 1)
}

// fieldEnd gives where a field ends that begins somewhere: behind its last line.
func fieldEnd(b []byte, from int) int {
	for at := from; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return len(b)
		}
		at += n + 1
		if at-from >= 2 && b[at-2] == '\r' && (at == len(b) || b[at] != ' ' && b[at] != '\t') {
			return at
		}
	}
}

// nameOf gives the name of a field as it stands there; nothing if it has none.
func nameOf(field []byte) []byte {
	return bytes.TrimRight(field[:max(0, bytes.IndexByte(field, ':'))], " \t")
}

// appendLower appends in lower case.
func appendLower(b, s []byte) []byte {
	for _, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// Fields gives the fields from the top, each by its name in lower case, which is
// "" for what is no field, and with its line ends, to the octet.
func (h *Header) Fields() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, f := range h.fields {
			if !yield(h.names[f.name], h.octets[f.from:f.to]) {
				return
			}
		}
	}
}

// Has tells whether there is a field with a name, which is in lower case.
func (h *Header) Has(name string) bool {
	_, ok := h.number[name]
	return ok
}

// Named gives the fields with a name, which is in lower case, from the top.
func (h *Header) Named(name string) [][]byte {
	n, ok := h.number[name]
	if !ok {
		return nil
	}
	var all [][]byte
	for at := h.last[n]; at >= 0; at = h.fields[at].above {
		all = append(all, h.octets[h.fields[at].from:h.fields[at].to])
	}
	slices.Reverse(all)
	return all
}

// selected picks the fields that are signed: of those with one name from the
// bottom up. RFC 6376 §5.4.2
func (h *Header) selected(names []string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var room [64]int32
		next := append(room[:0], h.last...)
		for _, name := range names {
			n, ok := h.number[name]
			if !ok || next[n] < 0 {
				continue
			}
			f := h.fields[next[n]]
			next[n] = f.above
			if !yield(h.octets[f.from:f.to]) {
				return
			}
		}
	}
}

// Value gives what stands behind a field's name and colon.
func Value(field []byte) []byte { return field[bytes.IndexByte(field, ':')+1:] }

// WithoutSum gives a signature's field with an empty b=, which is how it signs
// itself. RFC 6376 §3.5, §3.7
func WithoutSum(field []byte) []byte {
	at := bytes.IndexByte(field, ':') + 1
	for at < len(field) {
		end := len(field)
		if n := bytes.IndexByte(field[at:], ';'); n >= 0 {
			end = at + n
		}
		tag := field[at:end]
		if eq := bytes.IndexByte(tag, '='); eq >= 0 && string(bytes.Trim(tag[:eq], " \t\r\n")) == "b" {
			rest := field[end:]
			if end == len(field) { // the line end is not the tag's
				rest = nil
			}
			return append(bytes.Clone(field[:at+eq+1]), rest...)
		}
		at = end + 1
	}
	return field
}
