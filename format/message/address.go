package message

import "strings"

// ParseAddressList reads the value of an address field: addresses and groups,
// in the order they stand. It understands obsolete forms (comments as names,
// routes) and takes what people and programs write otherwise (no brackets,
// semicolons between, no domain). What holds no address is left out. Names
// keep their encoded words. RFC 5322 §3.4, §4.4
func ParseAddressList(raw string) []Address {
	return new(addressList).parse(unfold([]byte(raw)), maxAddresses)
}

// parse gives at most limit addresses; a group that is cut is closed. l can be
// used again.
func (l *addressList) parse(s string, limit int) []Address {
	if s == "" || limit <= 1 {
		return nil
	}
	// One place of the limit is kept for the end of a group.
	*l = addressList{s: s, limit: limit - 1}
	l.list = make([]Address, 0, min(l.limit, 1+strings.Count(s, ",")))
	for l.at < len(s) && len(l.list) < l.limit {
		l.next()
	}
	if l.group {
		l.list = append(l.list, Address{Group: true})
	}
	if len(l.list) == 0 {
		return nil
	}
	return l.list
}

// addressList is a list in the reading. Between two addresses words is empty.
type addressList struct {
	s     string
	at    int
	limit int
	list  []Address
	group bool // inside a group

	words   []word
	store   [16]word
	comment string
	quotes  bool // a quote without end was met: quotes mean nothing behind it
}

// A word is an atom (with its dots), a quoted string, an @ or a literal.
type word struct {
	text       string
	start, end int
	quoted, at bool
}

// next reads one address, or one mark of a group.
func (l *addressList) next() {
	l.words, l.comment = l.store[:0], ""
	var angle Address
	name, bracketed := "", false
	for l.at < len(l.s) {
		switch c := l.s[l.at]; c {
		case ',', ';':
			l.at++
			l.add(angle, name, bracketed)
			if c == ';' && l.group {
				l.list = append(l.list, Address{Group: true})
				l.group = false
			}
			return
		case ':':
			l.at++
			if !l.group && !bracketed && len(l.words) > 0 && !l.hasAt() {
				l.group = true
				l.list = append(l.list, Address{Name: l.phrase(l.words), Group: true})
				return
			}
		case '<':
			l.at++
			if !bracketed {
				name = l.phrase(l.words)
			}
			l.words = l.words[:0]
			if a := l.angle(); !bracketed || angle.Domain == "" {
				angle = a
			}
			bracketed = true
			l.words = l.words[:0]
		case '>':
			l.at++
		default:
			l.word()
		}
	}
	l.add(angle, name, bracketed)
}

// word reads a word, a comment or white space.
func (l *addressList) word() {
	start := l.at
	switch c := l.s[start]; {
	case c == ' ' || c == '\t':
		l.at++
		return
	case c == '(':
		var rest string
		l.comment, rest = cutComment(l.s[start:])
		l.at = len(l.s) - len(rest)
		return
	case c == '"' && !l.quotes:
		if text, rest, ok := cutQuoted(l.s[start:]); ok {
			l.at = len(l.s) - len(rest)
			l.words = append(l.words, word{text: text, start: start, end: l.at, quoted: true})
			return
		}
		l.quotes = true
		l.at++
		return
	case c == '"':
		l.at++
		return
	case c == '@':
		l.at++
		l.words = append(l.words, word{text: "@", start: start, end: l.at, at: true})
		return
	case c == '[' && len(l.words) > 0 && l.words[len(l.words)-1].at:
		if i := strings.IndexByte(l.s[start:], ']'); i > 0 {
			l.at += i + 1
			l.words = append(l.words, word{text: l.s[start:l.at], start: start, end: l.at})
			return
		}
	}
	l.at++
	for l.at < len(l.s) && !special(l.s[l.at]) {
		l.at++
	}
	l.words = append(l.words, word{text: l.s[start:l.at], start: start, end: l.at})
}

// special tells whether an octet ends an atom; dots do not. RFC 5322 §3.2.3
func special(c byte) bool {
	switch c {
	case ' ', '\t', '(', ')', '<', '>', ',', ';', ':', '"', '@':
		return true
	}
	return false
}

// angle reads what is in angle brackets. A missing ">" is taken to stand
// before the next comma.
func (l *addressList) angle() Address {
	for l.at < len(l.s) {
		switch c := l.s[l.at]; {
		case c == '>':
			l.at++
			return l.spec(l.words)
		case c == ':' && len(l.words) > 0 && l.words[0].at: // the end of a route, RFC 5322 §4.4
			l.at++
			l.words = l.words[:0]
		case c == ':':
			l.at++
			l.words = append(l.words, word{text: ":", start: l.at - 1, end: l.at})
		case c == ',' && len(l.words) > 0 && l.words[0].at: // inside a route
			l.at++
		case c == ',' || c == ';':
			return l.spec(l.words)
		case c == '<':
			l.at++
		default:
			l.word()
		}
	}
	return l.spec(l.words)
}

// spec makes an address of the words of an addr-spec, without white space.
// The last @ counts. RFC 5322 §3.4.1
func (l *addressList) spec(words []word) Address {
	for i := len(words) - 1; i >= 0; i-- {
		if words[i].at {
			return Address{Local: concat(words[:i]), Domain: concat(words[i+1:])}
		}
	}
	return Address{Local: concat(words)}
}

func concat(words []word) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0].text
	}
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w.text)
	}
	return b.String()
}

// phrase gives the words as a display name: as they stand, or joined where
// there are quotes or comments. RFC 5322 §3.2.5
func (l *addressList) phrase(words []word) string {
	n := len(words)
	if n == 0 {
		return ""
	}
	if n == 1 {
		return strings.TrimSpace(words[0].text)
	}
	asIs := true
	for i, w := range words {
		gap := i > 0 && w.start-words[i-1].end > 1
		asIs = asIs && !w.quoted && !gap
	}
	if asIs {
		return l.s[words[0].start:words[n-1].end]
	}
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.start > words[i-1].end {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return strings.TrimSpace(b.String())
}

func (l *addressList) hasAt() bool {
	for _, w := range l.words {
		if w.at {
			return true
		}
	}
	return false
}

// add puts an address on the list, if there is one.
func (l *addressList) add(angle Address, name string, bracketed bool) {
	a := angle
	if bracketed {
		// QUIRK: a name may stand behind the address.
		if a.Name = name; name == "" {
			a.Name = l.phrase(l.words)
		}
	} else {
		a = l.bare()
	}
	if a.Name == "" {
		a.Name = strings.TrimSpace(l.comment)
	}
	if a.Local == "" && a.Domain == "" && (a.Name == "" || !bracketed) {
		return
	}
	l.list = append(l.list, a)
}

// bare makes an address of words without brackets. White space is allowed
// around the @ and dots only (RFC 5322 §4.4), so that words before those are a
// name.
func (l *addressList) bare() Address {
	words := l.words
	at := len(words) - 1
	for at >= 0 && !words[at].at {
		at--
	}
	if at < 0 {
		return Address{Local: l.phrase(words)}
	}
	from := max(at-1, 0)
	for from > 0 && joined(words[from-1], words[from]) {
		from--
	}
	to := min(at+2, len(words))
	for to < len(words) && joined(words[to-1], words[to]) {
		to++
	}
	return Address{
		Name:   l.phrase(words[:from]),
		Local:  concat(words[from:at]),
		Domain: concat(words[at+1 : to]),
	}
}

func joined(a, b word) bool {
	return a.end == b.start || strings.HasSuffix(a.text, ".") || strings.HasPrefix(b.text, ".")
}
