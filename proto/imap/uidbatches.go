package imap

// parseUIDBatches reads UIDBATCHES: the size of a batch, and which batches are
// wanted, counted from the newest. RFC 10022 §3.1
func parseUIDBatches(s *scanner) Command {
	var c UIDBatches
	s.sp()
	c.Size = s.nzNumber()
	if s.more(0) {
		c.From = s.nzNumber()
		s.expect(':')
		c.To = s.nzNumber()
	}
	return c
}

// Numbers tells whether a program uses sequence numbers.
func (k SearchKey) Numbers() bool {
	if k.Op == SearchSeqs && !k.Set.Saved {
		return true
	}
	for _, sub := range k.Keys {
		if sub.Numbers() {
			return true
		}
	}
	return false
}
