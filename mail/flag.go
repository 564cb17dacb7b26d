package mail

import "strings"

// Flags is the set of system flags of one entry, RFC 9051 §2.3.2. Keywords
// are kept beside it as Keyword values.
type Flags uint16

// The system flags. Recent is a flag of a session, never of an entry.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Has tells whether every flag of g is in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

// A Keyword is a flag that users or clients define, such as "$Forwarded"
// (RFC 9051 §2.3.2). Keywords compare without regard to ASCII case; the
// spelling that came first is kept.
type Keyword string

// Fold gives the form in which keywords are compared.
func (k Keyword) Fold() Keyword { return Keyword(strings.ToLower(string(k))) }

// A Role tells what a mailbox is for. RFC 6154 §2, RFC 8457.
type Role string

// The roles, as in the registry of RFC 8621 §10.6.1 (JMAP names).
// RFC 6154's attribute is the same with a backslash and a capital.
const (
	RoleNone      Role = ""
	RoleInbox     Role = "inbox"
	RoleAll       Role = "all"
	RoleArchive   Role = "archive"
	RoleDrafts    Role = "drafts"
	RoleFlagged   Role = "flagged"
	RoleImportant Role = "important"
	RoleJunk      Role = "junk"
	RoleSent      Role = "sent"
	RoleTrash     Role = "trash"
)
