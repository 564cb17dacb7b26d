package message

import (
	"strconv"
	"strings"

	"waxwing/mail"
)

const (
	foldAt  = 76  // with encoded words, RFC 2047 §2; otherwise 78, RFC 5322 §2.1.1
	maxLine = 998 // RFC 5322 §2.1.1: must
)

// appendField appends a field of words, folded between them where the line
// would get too long, but never right behind the colon: some readers lose a
// value that starts on the second line. A word may bring its own white space.
func appendField(dst []byte, name string, words []string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	column := len(name) + 2
	for i, w := range words {
		gap := ""
		if i > 0 && !strings.HasPrefix(w, " ") && !strings.HasPrefix(w, "\t") {
			gap = " "
		}
		if i > 0 && column+len(gap)+len(w) > foldAt {
			dst = append(dst, "\r\n"...)
			column = 0
		}
		dst = append(dst, gap...)
		dst = append(dst, w...)
		column += len(gap) + len(w)
	}
	return append(dst, "\r\n"...)
}

// textWords cuts unstructured text into words, keeping the white space as it
// is. All between the first and the last word that cannot stand as it is
// becomes encoded words. RFC 2047 §5 (1)
func textWords(text string, column int, utf8 bool) []string {
	words := splitSpaces(text)
	first, last := len(words), -1
	for i, w := range words {
		if needsEncoding(w, utf8) {
			first, last = min(first, i), i
		}
	}
	if last < 0 {
		return words
	}
	middle := strings.Join(words[first:last+1], "")
	room := foldAt - column
	if first > 0 { // one space separates it from the plain words
		middle = middle[1:]
		room = maxWord
	}
	out := append([]string{}, words[:first]...)
	out = append(out, encodeWords(middle, room)...)
	return append(out, words[last+1:]...)
}

// splitSpaces cuts text into words, each with the white space before it.
func splitSpaces(text string) []string {
	var words []string
	start := 0
	for i := 1; i < len(text); i++ {
		space := text[i] == ' ' || text[i] == '\t'
		before := text[i-1] == ' ' || text[i-1] == '\t'
		if space && !before {
			words = append(words, text[start:i])
			start = i
		}
	}
	if start < len(text) {
		words = append(words, text[start:])
	}
	return words
}

// needsEncoding tells whether a word cannot stand in a header as it is: for
// its characters, for its length, or since it would be decoded.
func needsEncoding(w string, utf8 bool) bool {
	if len(w) > maxLine-foldAt || strings.Contains(w, "=?") {
		return true
	}
	for i := 0; i < len(w); i++ {
		if c := w[i]; c < ' ' && c != '\t' || c == 0x7f || c >= 0x80 && !utf8 {
			return true
		}
	}
	return false
}

// addressWords writes an address list. RFC 5322 §3.4
func addressWords(list []Address, utf8 bool) []string {
	var words []string
	group, first := false, true // first: no comma is due
	for _, a := range list {
		if a.Group && a.Name == "" { // the end of a group
			if group && len(words) > 0 {
				words[len(words)-1] += ";"
				group, first = false, false
			}
			continue
		}
		if !first {
			words[len(words)-1] += ","
		}
		first = false
		words = append(words, phraseWords(a.Name, utf8)...)
		if a.Group {
			words[len(words)-1] += ":"
			group, first = true, true
			continue
		}
		spec := addrSpec(a)
		if a.Name != "" {
			spec = "<" + spec + ">"
		}
		words = append(words, spec)
	}
	if group {
		words[len(words)-1] += ";"
	}
	return words
}

// addrSpec writes local part and domain. RFC 5322 §3.4.1
func addrSpec(a Address) string {
	local := mail.QuoteLocal(oneLine(a.Local))
	if a.Domain == "" {
		return local
	}
	return local + "@" + strip(a.Domain, `<>,;"()@\`)
}

// phraseWords writes a display name: as atoms, quoted, or encoded.
// RFC 5322 §3.2.5
func phraseWords(name string, utf8 bool) []string {
	name = strings.TrimSpace(oneLine(name))
	switch {
	case name == "":
		return nil
	case len(name) > maxLine/2 || needsEncoding(name, utf8):
		return encodeWords(name, maxWord-16) // behind a field's name
	case isAtoms(name):
		return strings.Fields(name)
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(name); i++ {
		if name[i] == '"' || name[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	b.WriteByte('"')
	return []string{b.String()}
}

// isAtoms tells whether a name consists of atoms with one space between each.
func isAtoms(name string) bool {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == ' ':
			if name[i+1] == ' ' {
				return false
			}
		case c < ' ' || strings.IndexByte(`()<>[]:;@\,."`, c) >= 0:
			return false
		}
	}
	return true
}

// paramWords writes the value of a field with parameters. RFC 2045 §5.1
func paramWords(value string, params []Param, utf8 bool) []string {
	words := []string{value}
	for _, p := range params {
		name := strip(p.Name, `()<>@,;:\"/[]?=*%'`)
		if name == "" {
			continue
		}
		for _, w := range paramValue(name, oneLine(p.Value), utf8) {
			words[len(words)-1] += ";"
			words = append(words, w)
		}
	}
	return words
}

// paramValue writes one parameter: a token, quoted, or in the segments of
// RFC 2231.
func paramValue(name, value string, utf8 bool) []string {
	const longest = 60
	switch {
	case value != "" && len(value) <= longest && isToken(value):
		return []string{name + "=" + value}
	case len(value) <= longest && !needsEncoding(value, utf8):
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
		return []string{name + `="` + quoted + `"`}
	}
	var segments []string
	segment := "utf-8''"
	for i := 0; i < len(value); i++ {
		c := value[i]
		next := string(c)
		if !isToken(next) || strings.IndexByte("*'%", c) >= 0 {
			next = "%" + string(hexUpper[c>>4]) + string(hexUpper[c&15])
		}
		if len(segment)+len(next) > longest {
			segments = append(segments, segment)
			segment = ""
		}
		segment += next
	}
	segments = append(segments, segment)
	if len(segments) == 1 {
		return []string{name + "*=" + segments[0]}
	}
	for i, s := range segments {
		segments[i] = name + "*" + strconv.Itoa(i) + "*=" + s
	}
	return segments
}

// isToken tells whether a value needs no quotes. RFC 2045 §5.1
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return true
}
