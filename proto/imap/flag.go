package imap

import (
	"strings"

	"waxwing/mail"
)

// The names of the system flags in the order of mail.Flags' bits.
var flagNames = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// SystemFlags is every system flag.
const SystemFlags = mail.Seen | mail.Answered | mail.Flagged | mail.Deleted | mail.Draft

// A FlagList is what a client put between the parentheses of a flag list.
type FlagList struct {
	Flags    mail.Flags
	Keywords []mail.Keyword
}

// maxKeywords bounds one flag list; maxKeyword the length of a keyword.
const (
	maxKeywords = 256
	maxKeyword  = 255
)

// flagList takes a flag-list with its parentheses.
func (s *scanner) flagList() FlagList {
	var l FlagList
	s.list(true, func() { s.flag(&l) })
	return l
}

// flag takes one flag into l.
func (s *scanner) flag(l *FlagList) {
	if s.accept('\\') {
		name := s.word()
		for i, known := range flagNames {
			if strings.EqualFold(name, known[1:]) {
				l.Flags |= 1 << i
				return
			}
		}
		// QUIRK: \Recent cannot be set (RFC 3501 §2.3.2), but clients that
		// copy the flags they have read send it back; it is ignored.
		if s.err == nil && name != "RECENT" {
			s.fail("unknown system flag")
		}
		return
	}
	// QUIRK: "]" is no ATOM-CHAR, but keywords with it are in use.
	k := mail.Keyword(s.span(atomChar | respSpec))
	switch {
	case k == "":
		s.fail("expected a flag")
	case len(k) > maxKeyword:
		s.fail("keyword is too long")
	case len(l.Keywords) >= maxKeywords:
		s.fail("too many keywords")
	default:
		l.Keywords = append(l.Keywords, k)
	}
}

// flagSets holds every combination of system flags, without parentheses.
var flagSets = func() (t [1 << len(flagNames)]string) {
	for set := range t {
		var names []string
		for i, name := range flagNames {
			if set&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		t[set] = strings.Join(names, " ")
	}
	return t
}()

// AppendFlags writes a flag list with its parentheses. recent adds \Recent,
// which only sessions of RFC 3501 know.
func AppendFlags(dst []byte, flags mail.Flags, keywords []mail.Keyword, recent bool) []byte {
	dst = append(dst, '(')
	from := len(dst)
	dst = append(dst, flagSets[flags&SystemFlags]...)
	if recent {
		dst = appendWord(dst, from, `\Recent`)
	}
	for _, k := range keywords {
		dst = appendWord(dst, from, string(k))
	}
	return append(dst, ')')
}

// appendWord writes a word, with a space before it unless it is the first
// since from.
func appendWord(dst []byte, from int, word string) []byte {
	if len(dst) > from {
		dst = append(dst, ' ')
	}
	return append(dst, word...)
}

// The attributes of RFC 6154 §2 and RFC 8457 §3 for each role, and back.
var roleAttributes = map[mail.Role]string{
	mail.RoleAll:       `\All`,
	mail.RoleArchive:   `\Archive`,
	mail.RoleDrafts:    `\Drafts`,
	mail.RoleFlagged:   `\Flagged`,
	mail.RoleImportant: `\Important`,
	mail.RoleJunk:      `\Junk`,
	mail.RoleSent:      `\Sent`,
	mail.RoleTrash:     `\Trash`,
}

// RoleAttribute gives the special-use attribute of a role, "" if it has none.
func RoleAttribute(r mail.Role) string { return roleAttributes[r] }

// AttributeRole gives the role of a special-use attribute.
func AttributeRole(attribute string) (mail.Role, bool) {
	for role, a := range roleAttributes {
		if strings.EqualFold(a, attribute) {
			return role, true
		}
	}
	return mail.RoleNone, false
}
