package dkim

import (
	"bytes"
	"iter"
)

// A Header is the header of a message whose fields have been found. It is not
// changed; any number of signatures can be looked at with one.
type Header struct {
	octets []byte
	fields []field
	names  []string         // that occur, in lower case, each once
	number map[string]int32 // of a name in names; nil while there are few
	last   []int32          // the last field with a name, by the name's number

	room struct { // for those of most headers
		fields [few]field
		names  [few]string
		last   [few]int32
	}
}

// A field is where one is in the octets.
type field struct {
	from, to int32
	name     int32 // its number
	above    int32 // the field before it that has its name, -1 without
}

// few names are found sooner by looking at each.
const few = 32

// ParseHeader finds the fields of a header, which has MaxHeader octets at most.
// The octets are kept and must not change. Lines that are no field count as one
// that has no name.
func ParseHeader(octets []byte) *Header {
	h := &Header{octets: octets}
	h.fields, h.names, h.last = h.room.fields[:0], h.room.names[:0], h.room.last[:0]
	var room [512]byte
	all := room[:0] // the names, one behind the other
	for from := 0; from < len(octets); {
		to := fieldEnd(octets, from)
		if to-from > len(crlf) {
			all = appendLower(all, nameOf(octets[from:to]))
			h.fields = append(h.fields, field{from: int32(from), to: int32(to), name: int32(len(all))})
		}
		from = to
	}
	from, names := int32(0), string(all)
	for i := range h.fields {
		f := &h.fields[i]
		to := f.name
		f.name = h.add(names[from:to])
		f.above, h.last[f.name], from = h.last[f.name], int32(i), to
	}
	return h
}

// find gives the number of a name, or -1.
func (h *Header) find(name string) int32 {
	if h.number != nil {
		if n, ok := h.number[name]; ok {
			return n
		}
		return -1
	}
	for n, have := range h.names {
		if have == name {
			return int32(n)
		}
	}
	return -1
}

// add gives the number of a name that may be new.
func (h *Header) add(name string) int32 {
	if n := h.find(name); n >= 0 {
		return n
	}
	n := int32(len(h.names))
	h.names, h.last = append(h.names, name), append(h.last, -1)
	switch {
	case h.number != nil:
		h.number[name] = n
	case len(h.names) > few:
		h.number = make(map[string]int32, 2*few)
		for i, have := range h.names {
			h.number[have] = int32(i)
		}
	}
	return n
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
func (h *Header) Has(name string) bool { return h.find(name) >= 0 }

// Named gives the fields with a name, which is in lower case, from the top.
func (h *Header) Named(name string) [][]byte {
	n := h.find(name)
	if n < 0 {
		return nil
	}
	count := 0
	for at := h.last[n]; at >= 0; at = h.fields[at].above {
		count++
	}
	all := make([][]byte, count)
	for at := h.last[n]; at >= 0; at = h.fields[at].above {
		count--
		all[count] = h.octets[h.fields[at].from:h.fields[at].to]
	}
	return all
}

// selected picks the fields that are signed: of those with one name from the
// bottom up. RFC 6376 §5.4.2
func (h *Header) selected(names []string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var room [64]int32
		next := append(room[:0], h.last...)
		for _, name := range names {
			n := h.find(name)
			if n < 0 || next[n] < 0 {
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
	before, behind := aroundSum(field)
	if behind == nil {
		return before
	}
	return append(bytes.Clone(before), behind...)
}

// aroundSum gives what of a signature's field stands before the value of b=,
// and behind it.
func aroundSum(field []byte) (before, behind []byte) {
	at := bytes.IndexByte(field, ':') + 1
	for at < len(field) {
		end := len(field)
		if n := bytes.IndexByte(field[at:], ';'); n >= 0 {
			end = at + n
		}
		tag := field[at:end]
		if eq := bytes.IndexByte(tag, '='); eq >= 0 && string(trim(tag[:eq])) == "b" {
			if end == len(field) { // the line end is not the tag's
				return field[:at+eq+1], nil
			}
			return field[:at+eq+1], field[end:]
		}
		at = end + 1
	}
	return field, nil
}
