package imap

// maxPatterns bounds the patterns of one LIST.
const maxPatterns = 100

// parseList reads LIST in its basic and extended form. RFC 5258 §3
func parseList(s *scanner) Command {
	var c List
	s.sp()
	if s.peek() == '(' {
		c.Extended = true
		s.list(true, func() { s.listSelect(&c) })
		s.sp()
	}
	c.Reference = s.astring()
	s.sp()
	if s.peek() == '(' {
		c.Extended = true
		s.list(false, func() {
			if len(c.Patterns) >= maxPatterns {
				s.fail("too many patterns")
				return
			}
			c.Patterns = append(c.Patterns, s.listMailbox())
		})
	} else {
		c.Patterns = []string{s.listMailbox()}
	}
	if s.more(0) {
		c.Extended = true
		if s.word() != "RETURN" {
			s.fail("expected RETURN")
		}
		s.sp()
		s.list(true, func() { s.listReturn(&c) })
	}
	// RECURSIVEMATCH needs something to match. RFC 5258 §3.1
	if c.Select&SelectRecursive != 0 && c.Select&(SelectSubscribed|SelectSpecialUse) == 0 {
		s.fail("RECURSIVEMATCH needs another selection option")
	}
	return c
}

func (s *scanner) listSelect(c *List) {
	switch s.word() {
	case "SUBSCRIBED":
		c.Select |= SelectSubscribed
	case "REMOTE":
		c.Select |= SelectRemote
	case "RECURSIVEMATCH":
		c.Select |= SelectRecursive
	case "SPECIAL-USE":
		c.Select |= SelectSpecialUse
	default:
		s.fail("unknown LIST selection option") // RFC 5258 §3: BAD
	}
}

func (s *scanner) listReturn(c *List) {
	switch s.word() {
	case "SUBSCRIBED":
		c.Return |= ReturnSubscribed
	case "CHILDREN":
		c.Return |= ReturnChildren
	case "SPECIAL-USE":
		c.Return |= ReturnSpecialUse
	case "STATUS":
		c.Return |= ReturnStatus
		s.sp()
		c.Status = s.statusItems()
	case "MYRIGHTS": // RFC 8440 §3
		c.Return |= ReturnMyRights
	case "METADATA": // RFC 9590 §3
		c.Return |= ReturnMetadata
		s.sp()
		if s.peek() != '(' {
			s.fail("expected a list of entries")
		}
		c.Entries = s.metadataNames()
	default:
		s.fail("unknown LIST return option")
	}
}

func parseLsub(s *scanner) Command {
	c := Lsub{Reference: s.argument()}
	s.sp()
	c.Pattern = s.listMailbox()
	return c
}

// The names of the status items, in order.
var statusNames = [...]string{"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE",
	"HIGHESTMODSEQ", "MAILBOXID", "APPENDLIMIT", "DELETED-STORAGE"}

// String gives the item's name.
func (i StatusItem) String() string { return statusNames[i] }

func parseStatus(s *scanner) Command {
	c := Status{Mailbox: s.argument()}
	s.sp()
	c.Items = s.statusItems()
	return c
}

func (s *scanner) statusItems() []StatusItem {
	var items []StatusItem
	s.list(false, func() {
		name := s.word()
		for i, known := range statusNames {
			if name == known {
				for _, have := range items {
					if have == StatusItem(i) {
						return
					}
				}
				items = append(items, StatusItem(i))
				return
			}
		}
		s.fail("unknown STATUS item")
	})
	return items
}
