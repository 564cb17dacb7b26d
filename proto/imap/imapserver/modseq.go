package imapserver

import (
	"context"
	"strconv"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// CONDSTORE and QRESYNC: what a client that knows mod-sequences is told.
// RFC 7162

// useModSeq is what every CONDSTORE enabling command does: from now on
// changes are told with their mod-sequence. RFC 7162 §3.1
func (c *conn) useModSeq() {
	if c.condstore {
		return
	}
	c.condstore = true
	if c.view != nil {
		c.remark("OK", c.highestModSeq(), "Highest")
	}
}

// highestModSeq is the response code for what the client has been told.
func (c *conn) highestModSeq() string {
	return "HIGHESTMODSEQ " + strconv.FormatUint(uint64(c.view.modseq), 10)
}

// beginFetch writes what a FETCH response begins with, or UIDFETCH where the
// client wants no numbers. RFC 9586 §3.3
func (c *conn) beginFetch(b []byte, place int, uid mail.UID) []byte {
	b = append(b, "* "...)
	if c.uidOnly {
		return append(appendUint(b, uint64(uid)), " UIDFETCH ("...)
	}
	return append(appendUint(b, uint64(place)+1), " FETCH ("...)
}

// appendUnasked writes the items that stand in every FETCH response that
// tells of a change, each with a space behind it. RFC 7162 §3.2.4
func (c *conn) appendUnasked(b []byte, e *Entry, withUID bool) []byte {
	if (withUID || c.condstore) && !c.uidOnly {
		b = append(appendUint(append(b, "UID "...), uint64(e.UID)), ' ')
	}
	if c.condstore {
		b = append(appendModSeq(append(b, "MODSEQ "...), e.ModSeq), ' ')
	}
	return b
}

func appendModSeq(b []byte, m mail.ModSeq) []byte {
	return append(appendUint(append(b, '('), uint64(m)), ')')
}

// appendThread writes the id of a thread of an account. RFC 8474 §5.3
func appendThread(b []byte, owner mail.AccountID, t mail.ThreadID) []byte {
	if t == 0 {
		return append(b, "NIL"...)
	}
	return append(append(append(b, '('), objectID(owner, t)...), ')')
}

// tellModSeq tells an entry's new mod-sequence, where the client knows the
// flags. RFC 7162 §3.1.3
func (c *conn) tellModSeq(e *Entry) {
	i, found := c.view.told.Find(e.UID)
	if !found || c.out.room() != nil {
		return
	}
	c.out.begin()
	b := c.appendUnasked(c.beginFetch(c.out.b, i, e.UID), e, true)
	b[len(b)-1] = ')' // the space
	c.out.b = append(b, '\r', '\n')
}

// tellVanished tells of messages that are gone by UID. RFC 7162 §3.2.10.2
func (c *conn) tellVanished(uids []mail.UID) {
	c.out.begin()
	b := append(c.out.b, "* VANISHED "...)
	c.out.b = append(imap.AppendUIDSet(b, uids), '\r', '\n')
}

// narrow keeps of spans what the modifiers of a FETCH leave: one page, and of
// that what has changed since a mod-sequence. RFC 9394 §3.4, RFC 7162 §3.1.4.1
func (v *view) narrow(spans []span, cmd imap.Fetch) []span {
	if cmd.Page != nil {
		spans = pageOf(spans, cmd.Page)
	}
	if cmd.ChangedSince != nil {
		spans = v.changed(spans, *cmd.ChangedSince)
	}
	return spans
}

// pageOf gives one page of spans. RFC 9394 §3.3
func pageOf(spans []span, p *imap.PageRange) []span {
	n := 0
	for _, s := range spans {
		n += s.to - s.from
	}
	from, to := p.Places(n)
	var page []span
	for _, s := range spans {
		size := s.to - s.from
		if f, t := max(from, 0), min(to, size); f < t {
			page = append(page, span{s.from + f, s.from + t})
		}
		from, to = from-size, to-size
	}
	return page
}

// changed gives the places in spans whose entries have changed after a
// mod-sequence.
func (v *view) changed(spans []span, since mail.ModSeq) []span {
	var kept []span
	for _, s := range spans {
		for i, e := range entries(v.told, s) {
			if e.ModSeq <= since {
				continue
			}
			if n := len(kept); n > 0 && kept[n-1].to == i {
				kept[n-1].to++
			} else {
				kept = append(kept, span{i, i + 1})
			}
		}
	}
	return kept
}

// checkQResync says whether the parameter of a SELECT may be used.
// RFC 7162 §3.2.5
func (c *conn) checkQResync(q *imap.QResync) error {
	switch {
	case !c.qresync:
		return &imap.SyntaxError{Text: "ENABLE QRESYNC first"}
	case c.uidOnly && len(q.Seqs.Ranges) > 0:
		return uidRequired // RFC 9586 §3.4
	}
	return nil
}

// resync tells what has changed in the mailbox since the client was here.
// RFC 7162 §3.2.5
func (c *conn) resync(ctx context.Context, q *imap.QResync) error {
	v := c.view
	if q.UIDValidity != v.told.Status().UIDValidity {
		return nil // it finds out by itself. RFC 7162 §3.2.5
	}
	known := q.Known
	if len(known.Ranges) == 0 {
		known.Ranges = []imap.Range{{From: 1, To: imap.Star}}
	}
	if err := c.tellEarlier(ctx, known, q.ModSeq, v.matched(q)); err != nil {
		return err
	}
	spans, err := v.resolve(known, true)
	if err != nil {
		return err
	}
	for _, s := range v.changed(spans, q.ModSeq) {
		for _, e := range entries(v.told, s) {
			c.tellEntry(e, true)
		}
	}
	return lost(c.out.room())
}

// matched gives the UID up to which the client knows of all expunges, by the
// pairs of sequence number and UID that it has sent. RFC 7162 §3.2.5.2
func (v *view) matched(q *imap.QResync) mail.UID {
	last := mail.UID(0)
	uids := numbers{ranges: q.UIDs.Ranges}
	for _, r := range q.Seqs.Ranges {
		for n := uint64(r.From); n <= uint64(r.To) && n <= uint64(v.told.Len()); n++ {
			uid, ok := uids.next()
			if !ok || v.told.At(int(n)-1).UID != uid || uid <= last {
				return last
			}
			last = uid
		}
	}
	return last
}

// numbers goes through the numbers of ranges.
type numbers struct {
	ranges []imap.Range
	done   uint32
}

func (n *numbers) next() (mail.UID, bool) {
	for len(n.ranges) > 0 {
		r := n.ranges[0]
		if r.From <= r.To && n.done <= r.To-r.From {
			n.done++
			return mail.UID(r.From + n.done - 1), true
		}
		n.ranges, n.done = n.ranges[1:], 0
	}
	return 0, false
}

// tellEarlier tells which of some UIDs have been expunged since a
// mod-sequence; of those up to matched the client knows. RFC 7162 §3.2.10.1
func (c *conn) tellEarlier(ctx context.Context, of imap.Set, since mail.ModSeq, matched mail.UID) error {
	v := c.view
	next := uint32(v.told.Status().UIDNext)
	if next <= 1 {
		return nil
	}
	uids, known, err := v.mailbox.Vanished(ctx, since)
	if err != nil {
		return err
	}
	if of.Saved {
		of = imap.Set{} // "$" stands for messages that are there
	}
	wanted := of.Resolve(next - 1)
	for i := range wanted {
		wanted[i].From = max(wanted[i].From, uint32(matched)+1)
		wanted[i].To = min(wanted[i].To, next-1)
	}
	var gone []imap.Range
	if known {
		gone = v.goneOf(uids, wanted)
	} else {
		// The log has forgotten: all that is not there is gone.
		// RFC 7162 §3.2.6, last paragraph but the examples
		gone = v.gaps(wanted)
	}
	if len(gone) == 0 {
		return nil
	}
	c.out.begin()
	c.out.b = append(c.out.b, "* VANISHED (EARLIER) "...)
	for i, r := range gone {
		if i > 0 {
			c.out.b = append(c.out.b, ',')
		}
		c.out.b = appendRange(c.out.b, r)
		if err := c.out.room(); err != nil {
			return lost(err)
		}
	}
	c.out.b = append(c.out.b, '\r', '\n')
	return nil
}

func appendRange(b []byte, r imap.Range) []byte {
	b = appendUint(b, uint64(r.From))
	if r.To > r.From {
		b = appendUint(append(b, ':'), uint64(r.To))
	}
	return b
}

// goneOf gives those of UIDs, which have vanished at some time, that are
// wanted and not in the view: what was undeleted is there again.
func (v *view) goneOf(uids []mail.UID, wanted []imap.Range) []imap.Range {
	var gone []imap.Range
	for _, uid := range uids {
		for len(wanted) > 0 && wanted[0].To < uint32(uid) {
			wanted = wanted[1:]
		}
		if len(wanted) == 0 {
			break
		}
		if _, there := v.told.Find(uid); there || uint32(uid) < wanted[0].From {
			continue
		}
		if n := len(gone); n > 0 && gone[n-1].To+1 == uint32(uid) {
			gone[n-1].To++
		} else {
			gone = append(gone, imap.Range{From: uint32(uid), To: uint32(uid)})
		}
	}
	return gone
}

// gaps gives what is wanted and not in the view.
func (v *view) gaps(wanted []imap.Range) []imap.Range {
	var gone []imap.Range
	for _, w := range wanted {
		at := w.From
		i, _ := v.told.Find(mail.UID(w.From))
		for _, e := range entries(v.told, span{i, v.told.Len()}) {
			uid := uint32(e.UID)
			if uid > w.To {
				break
			}
			if uid > at {
				gone = append(gone, imap.Range{From: at, To: uid - 1})
			}
			at = uid + 1
		}
		if at <= w.To {
			gone = append(gone, imap.Range{From: at, To: w.To})
		}
	}
	return gone
}

// highestOf gives the highest mod-sequence of messages that were found.
func (v *view) highestOf(found []match) uint64 {
	highest := mail.ModSeq(0)
	for _, m := range found {
		highest = max(highest, v.told.At(m.place).ModSeq)
	}
	return uint64(highest)
}

// told gives those of the messages found that an ESEARCH response names, or
// all, where it counts them. RFC 4731 §3.2
func told(found []match, options imap.SearchReturn) []match {
	if options&(imap.ReturnAll|imap.ReturnCount) != 0 {
		return found
	}
	var ends []match
	if options&imap.ReturnMin != 0 {
		ends = append(ends, found[0])
	}
	if options&imap.ReturnMax != 0 {
		ends = append(ends, found[len(found)-1])
	}
	return ends
}
