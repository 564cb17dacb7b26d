package mail

import "strings"

// Rights is a set of what may be done with a mailbox. RFC 4314 §2.1
type Rights uint16

// The rights, in the order in which they are written.
const (
	RightLookup  Rights = 1 << iota // l: it is listed
	RightRead                       // r: it can be opened
	RightSeen                       // s: \Seen can be changed
	RightWrite                      // w: other flags but \Deleted can be changed
	RightInsert                     // i: messages can be put into it
	RightPost                       // p: mail can be sent to it
	RightCreate                     // k: mailboxes can be made below it
	RightDelete                     // x: it can be deleted or renamed
	RightMark                       // t: \Deleted can be changed
	RightExpunge                    // e: messages can be expunged
	RightAdmin                      // a: rights can be seen and given

	NoRights  Rights = 0
	AllRights        = RightAdmin<<1 - 1
)

const rightLetters = "lrswipkxtea"

// Has tells whether all of want are in the set.
func (r Rights) Has(want Rights) bool { return r&want == want }

// String writes a letter for each right.
func (r Rights) String() string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	return b.String()
}

// ParseRights reads letters; false if one stands for no right. The letters c
// and d of RFC 2086 stand for several. RFC 4314 §2.1.1
func ParseRights(letters string) (Rights, bool) {
	var r Rights
	for i := range len(letters) {
		switch c := letters[i]; c {
		case 'c':
			r |= RightCreate | RightDelete
		case 'd':
			r |= RightMark | RightExpunge
		default:
			at := strings.IndexByte(rightLetters, c)
			if at < 0 {
				return 0, false
			}
			r |= 1 << at
		}
	}
	return r, true
}
