package imap

import "waxwing/mail"

// A QResync is the parameter of SELECT with which a client says what it knows
// of a mailbox. RFC 7162 §3.2.5
type QResync struct {
	UIDValidity mail.UIDValidity
	ModSeq      mail.ModSeq
	Known       Set // of UIDs; without ranges for all
	// Seqs and UIDs are sequence numbers of which the client knows the UIDs,
	// in ascending order; without ranges where it named none.
	// RFC 7162 §3.2.5.2
	Seqs, UIDs Set
}

// A PageRange is a page of a result: From and To count from the first
// message, or from the last when they are negative. Either may be the farther
// one: an answer repeats the range as it was asked for. RFC 9394 §3.1, §4
type PageRange struct{ From, To int64 }

// modSeq takes a mod-sequence-valzer. RFC 7162 §7
func (s *scanner) modSeq() mail.ModSeq { return mail.ModSeq(s.number64()) }

// modSeqAbove takes a mod-sequence-value, which is not zero.
func (s *scanner) modSeqAbove() mail.ModSeq {
	m := s.modSeq()
	if m == 0 {
		s.fail("expected a mod-sequence above zero")
	}
	return m
}

// parseSelect reads SELECT and EXAMINE. RFC 7162 §3.1.8, §3.2.5
func parseSelect(s *scanner, readOnly bool) Command {
	c := Select{Mailbox: s.argument(), ReadOnly: readOnly}
	if !s.more(0) {
		return c
	}
	s.list(false, func() {
		switch s.word() {
		case "CONDSTORE":
			c.CondStore = true
		case "QRESYNC":
			s.sp()
			if c.QResync != nil {
				s.fail("QRESYNC twice")
			}
			c.QResync = s.qresync()
		default:
			s.fail("unknown SELECT parameter")
		}
	})
	return c
}

// qresync takes the argument of QRESYNC with its parentheses.
func (s *scanner) qresync() *QResync {
	q := new(QResync)
	s.expect('(')
	q.UIDValidity = mail.UIDValidity(s.nzNumber())
	s.sp()
	q.ModSeq = s.modSeqAbove()
	if s.more(')') && s.peek() != '(' {
		q.Known = s.plainSet()
		s.more(')')
	}
	// More has taken the parenthesis that closes all, or what is next opens
	// the match data.
	if s.err == nil && s.peek() == '(' && s.b[s.i-1] != ')' {
		s.accept('(')
		q.Seqs = s.plainSet()
		s.sp()
		q.UIDs = s.plainSet()
		s.expect(')')
		s.expect(')')
	}
	return q
}

// plainSet takes a sequence-set without "$" and "*", which mean nothing where
// a client speaks of what it remembers.
func (s *scanner) plainSet() Set {
	set := s.set()
	for _, r := range set.Ranges {
		if r.From == Star || r.To == Star {
			s.fail("\"*\" is not allowed here")
		}
	}
	if set.Saved {
		s.fail("\"$\" is not allowed here")
	}
	return set
}

// fetchModifiers takes the modifiers of a FETCH, if there are any.
// RFC 7162 §3.1.4.1, §3.2.6, RFC 9394 §3.2
func (s *scanner) fetchModifiers(c *Fetch) {
	if !s.more(0) {
		return
	}
	s.list(false, func() {
		switch s.word() {
		case "CHANGEDSINCE":
			s.sp()
			since := s.modSeq() // QUIRK: zero is not in the grammar, and clients send it
			c.ChangedSince = &since
		case "VANISHED":
			c.Vanished = true
		case "PARTIAL":
			s.sp()
			if c.Page != nil {
				s.fail("two PARTIAL ranges")
			}
			page := s.pageRange()
			c.Page = &page
		default:
			s.fail("unknown FETCH modifier")
		}
	})
	switch {
	case c.Vanished && !c.UID:
		s.fail("VANISHED is for UID FETCH") // RFC 7162 §3.2.6
	case c.Vanished && c.ChangedSince == nil:
		s.fail("VANISHED needs CHANGEDSINCE")
	case c.Page != nil && !c.UID:
		s.fail("PARTIAL is for UID FETCH") // RFC 9394 §3.3
	}
}

// pageRange takes a partial-range: both ends count from the same end.
// RFC 9394 §4
func (s *scanner) pageRange() PageRange {
	last := s.peek() == '-'
	number := func() int64 {
		if s.accept('-') != last {
			s.fail("bad PARTIAL range")
		}
		return int64(s.nzNumber())
	}
	p := PageRange{From: number()}
	s.expect(':')
	p.To = number()
	if last {
		p.From, p.To = -p.From, -p.To
	}
	return p
}

// Places gives which of n results a page holds, from and to counted from 0,
// to not in it.
func (p PageRange) Places(n int) (from, to int) {
	size, low, high := int64(n), min(p.From, p.To), max(p.From, p.To)
	if low < 0 {
		return int(max(size+low, 0)), int(max(size+high+1, 0))
	}
	return int(min(low-1, size)), int(min(high, size))
}

// modSeqKey takes what follows MODSEQ in a search program. The entry of which
// a client asks is passed over: there is one mod-sequence for all of a
// message. RFC 7162 §3.1.5
func (s *scanner) modSeqKey() SearchKey {
	if s.peek() == '"' {
		s.quoted()
		s.sp()
		switch s.word() {
		case "PRIV", "SHARED", "ALL":
		default:
			s.fail("bad entry type")
		}
		s.sp()
	}
	return SearchKey{Op: SearchModSeq, ModSeq: s.modSeq()}
}

// maxObjectID bounds an object's id. RFC 8474 §7
const maxObjectID = 255

// objectID takes an objectid.
func (s *scanner) objectID() string {
	id := s.atom()
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !(c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') || i >= maxObjectID {
			s.fail("bad object id")
			return ""
		}
	}
	return id
}

// Asks tells whether a program has a key of some kind.
func (k SearchKey) Asks(op SearchOp) bool {
	if k.Op == op {
		return true
	}
	for _, sub := range k.Keys {
		if sub.Asks(op) {
			return true
		}
	}
	return false
}

// Size gives how many results a page holds at most.
func (p PageRange) Size() int64 {
	return max(p.From, p.To) - min(p.From, p.To) + 1
}
