package dkim

import (
	"bytes"
	"iter"
	"strings"
)

// Fields gives the fields of a header, each with its line ends, to the octet.
// Lines that are no field count as one that has no name.
func Fields(header []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(header) > 0 {
			end := 0
			for {
				n := bytes.Index(header[end:], crlf)
				if n < 0 {
					end = len(header)
					break
				}
				if end += n + 2; end == len(header) || header[end] != ' ' && header[end] != '\t' {
					break
				}
			}
			if field := header[:end]; len(field) > 2 && !yield(field) {
				return
			}
			header = header[end:]
		}
	}
}

// nameOf gives the name of a field, in lower case; "" if it has none.
func nameOf(field []byte) string {
	colon := bytes.IndexByte(field, ':')
	if colon < 0 {
		return ""
	}
	return strings.ToLower(string(bytes.TrimRight(field[:colon], " \t")))
}

// named reports whether a field has a name, which is given in lower case.
func named(field []byte, name string) bool {
	return len(field) > len(name) && bytes.EqualFold(field[:len(name)], []byte(name)) && nameOf(field) == name
}

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
