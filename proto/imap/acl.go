package imap

import "waxwing/mail"

// SetACL is SETACL, or DELETEACL when Delete. RFC 4314 §3.1, §3.2
type SetACL struct {
	Mailbox    string
	Identifier string
	Op         StoreOp // what Rights do to those that there are
	Rights     mail.Rights
	Delete     bool
}

// GetACL is RFC 4314 §3.3.
type GetACL struct{ Mailbox string }

// ListRights is RFC 4314 §3.4.
type ListRights struct{ Mailbox, Identifier string }

// MyRights is RFC 4314 §3.5.
type MyRights struct{ Mailbox string }

func (c GetACL) Name() string     { return "GETACL" }
func (c ListRights) Name() string { return "LISTRIGHTS" }
func (c MyRights) Name() string   { return "MYRIGHTS" }

func (c SetACL) Name() string {
	if c.Delete {
		return "DELETEACL"
	}
	return "SETACL"
}

func parseSetACL(s *scanner) Command {
	c := SetACL{Mailbox: s.argument(), Identifier: s.argument()}
	letters := s.argument()
	if letters != "" {
		switch letters[0] {
		case '+':
			c.Op, letters = StoreAdd, letters[1:]
		case '-':
			c.Op, letters = StoreRemove, letters[1:]
		}
	}
	var ok bool
	if c.Rights, ok = mail.ParseRights(letters); !ok {
		s.fail("unknown right") // BAD: RFC 4314 §3.1
	}
	return c
}

// AppendRights writes rights as answers have them: the letters c and d of
// RFC 2086 stand with those that they have become. RFC 4314 §2.1.1
func AppendRights(dst []byte, r mail.Rights) []byte {
	dst = append(append(dst, '"'), r.String()...)
	if r&(mail.RightCreate|mail.RightDelete) != 0 {
		dst = append(dst, 'c')
	}
	if r&(mail.RightMark|mail.RightExpunge) != 0 {
		dst = append(dst, 'd')
	}
	return append(dst, '"')
}
