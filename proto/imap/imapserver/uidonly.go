package imapserver

import "waxwing/proto/imap"

// UIDONLY: a client that wants no sequence numbers, neither in answers, which
// is done where they are written (beginFetch, tellExpunged), nor in commands.
// RFC 9586

// uidRequired answers a command that uses sequence numbers after ENABLE
// UIDONLY: BAD with a response code. RFC 9586 §3.1
var uidRequired = &imap.SyntaxError{Text: "[UIDREQUIRED] Sequence numbers are not in use"}

// numbered tells whether a command uses sequence numbers. "$" stands for
// messages, not for numbers.
func numbered(cmd imap.Command) bool {
	search := func(s *imap.Search) bool { return !s.UID || s.Program.Numbers() }
	switch cmd := cmd.(type) {
	case imap.Fetch:
		return !cmd.UID
	case imap.Store:
		return !cmd.UID
	case imap.Copy:
		return !cmd.UID
	case imap.Search:
		return search(&cmd)
	case imap.Sort:
		return search(&cmd.Search)
	case imap.Thread:
		return !cmd.UID || cmd.Program.Numbers()
	case imap.MultiSearch:
		return cmd.Program.Numbers()
	case *appending:
		return cmd.Replace && !cmd.UID
	}
	return false
}
