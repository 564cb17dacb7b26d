package imap

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Delimiter stands between the levels of mailbox names.
const Delimiter = '/'

// Inbox is the name of the mailbox that every account has.
const Inbox = "INBOX"

// DecodeMailbox gives the name that a client means. With utf8Names (after
// ENABLE IMAP4rev2 or UTF8=ACCEPT) names are UTF-8; without, modified UTF-7,
// or UTF-8 if the name has octets above 127 (RFC 6855 §3). INBOX is the same
// name in any case, also as the first level of a longer one.
func DecodeMailbox(raw string, utf8Names bool) (string, error) {
	name := raw
	if !utf8Names && isASCII(raw) {
		var err error
		if name, err = DecodeUTF7(raw); err != nil {
			return "", err
		}
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	return FoldInbox(name), nil
}

// FoldInbox gives the name with a first level of "inbox" in upper case.
// RFC 9051 §5.1
func FoldInbox(name string) string {
	if len(name) < len(Inbox) || !strings.EqualFold(name[:len(Inbox)], Inbox) {
		return name
	}
	if len(name) == len(Inbox) || name[len(Inbox)] == Delimiter {
		return Inbox + name[len(Inbox):]
	}
	return name
}

// checkName refuses what no mailbox can be called: RFC 6855 §3 forbids
// controls, line and paragraph separators.
func checkName(name string) error {
	if !utf8.ValidString(name) {
		return errors.New("mailbox name is not UTF-8")
	}
	for _, r := range name {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 {
			return errors.New("control character in mailbox name")
		}
	}
	return nil
}

// AppendMailbox writes a mailbox name as an astring, in UTF-8 or in modified
// UTF-7.
func AppendMailbox(dst []byte, name string, utf8Names bool) []byte {
	if !utf8Names {
		name = EncodeUTF7(name)
	}
	return AppendAString(dst, name, utf8Names)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// A Pattern matches mailbox names: "*" stands for anything, "%" for anything
// within one level. RFC 9051 §6.3.9
type Pattern struct {
	parts []string // literal text between wildcards
	wild  []byte   // the wildcards between parts: len(parts)-1 of them
}

// CompilePattern makes a pattern from its text, already in UTF-8.
func CompilePattern(text string) Pattern {
	var p Pattern
	from := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '*' && text[i] != '%' {
			continue
		}
		// Wildcards that touch are one: "*" if any of them is.
		if i == from && len(p.wild) > 0 {
			if text[i] == '*' {
				p.wild[len(p.wild)-1] = '*'
			}
			from = i + 1
			continue
		}
		p.parts = append(p.parts, text[from:i])
		p.wild = append(p.wild, text[i])
		from = i + 1
	}
	p.parts = append(p.parts, text[from:])
	return p
}

// Match tells whether the pattern matches the whole name. Where the name's
// first level is INBOX, the case of those letters does not matter. The cost
// is at most the product of the two lengths.
func (p Pattern) Match(name string) bool {
	fold := 0 // how many octets of the name compare without case
	if name == Inbox || strings.HasPrefix(name, Inbox+string(Delimiter)) {
		fold = len(Inbox)
	}
	first := p.parts[0]
	if !prefixAt(name, 0, first, fold) {
		return false
	}
	if len(p.wild) == 0 {
		return len(name) == len(first)
	}
	if len(p.wild) == 1 && p.parts[1] == "" {
		return p.wild[0] == '*' || strings.IndexByte(name[len(first):], Delimiter) < 0
	}
	// reach[i] tells whether the parts so far can end before name[i].
	reach := make([]bool, len(name)+1)
	reach[len(first)] = true
	for k, w := range p.wild {
		part := p.parts[k+1]
		next := make([]bool, len(name)+1)
		open := false
		for i := 0; i <= len(name); i++ {
			open = open || reach[i]
			if open && prefixAt(name, i, part, fold) {
				next[i+len(part)] = true
			}
			if w == '%' && i < len(name) && name[i] == Delimiter {
				open = false
			}
		}
		reach = next
	}
	return reach[len(name)]
}

// prefixAt tells whether name[i:] begins with part; the first fold octets of
// name compare without case.
func prefixAt(name string, i int, part string, fold int) bool {
	if len(name)-i < len(part) {
		return false
	}
	if i >= fold {
		return strings.HasPrefix(name[i:], part)
	}
	n := min(fold-i, len(part))
	return strings.EqualFold(name[i:i+n], part[:n]) && strings.HasPrefix(name[i+n:], part[n:])
}
