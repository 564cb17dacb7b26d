package imapserver

import (
	"context"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// A fetchPlan is what one FETCH asks of each message.
type fetchPlan struct {
	items   []plannedItem
	facts   bool // the message's facts are needed
	threads bool // and its thread
	header  bool // its header is needed
	body    bool // the message itself is read
	marks   bool // \Seen is set. RFC 9051 §6.4.5
	flags   bool // FLAGS is asked for
	failed  error
	source  source   // the message that is being read
	answers []Answer // what is given as it is kept
}

// A plannedItem is one item with the label of its answer.
type plannedItem struct {
	imap.FetchItem
	label  []byte // with a space behind it
	answer int    // among the plan's answers
}

// fetch is FETCH and UID FETCH. RFC 9051 §6.4.5
func (c *conn) fetch(ctx context.Context, cmd imap.Fetch) (reply, error) {
	v := c.view
	spans, err := v.resolve(cmd.Set, cmd.UID)
	if err != nil {
		return reply{}, err
	}
	if cmd.ChangedSince != nil {
		c.useModSeq()
	}
	if cmd.Vanished {
		if !c.qresync {
			return reply{}, &imap.SyntaxError{Text: "ENABLE QRESYNC first"} // RFC 7162 §3.2.6
		}
		if err := c.tellEarlier(ctx, cmd.Set, *cmd.ChangedSince, 0); err != nil {
			return reply{}, err
		}
	}
	spans = v.narrow(spans, cmd)
	if cmd.Page != nil && cmd.Page.Size() > int64(c.server.options.MessageLimit) {
		return reply{}, &imap.Refusal{ // RFC 9738 §3.1
			Code: fmt.Sprintf("MESSAGELIMIT %d", c.server.options.MessageLimit), Text: "Page is too large",
		}
	}
	spans, limit := c.atMost(spans)
	p := c.planFetch(cmd)
	if err := c.fetchAll(ctx, p, spans); err != nil {
		return reply{}, err
	}
	if p.failed == nil && (p.facts || p.header || len(p.answers) > 0) && v.missing(spans) {
		return reply{code: imap.CodeExpungeIssued, text: "Some messages are gone", limit: limit}, nil
	}
	return reply{limit: limit}, p.failed
}

// planFetch prepares what is the same for all messages.
func (c *conn) planFetch(cmd imap.Fetch) *fetchPlan {
	p := &fetchPlan{}
	uid, modseq := false, false
	for _, item := range cmd.Items {
		switch item.Kind {
		case imap.FetchFlags:
			p.flags = true
		case imap.FetchUID:
			uid = true // also where it stands in the place of the number. RFC 9586 §3.3
		case imap.FetchModSeq:
			modseq = true
			c.useModSeq()
		case imap.FetchThreadID:
			p.threads = true
		case imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchStructure,
			imap.FetchPreview, imap.FetchSnippet:
			p.answers = append(p.answers, Answer{Kind: item.Kind, UTF8: c.utf8})
		case imap.FetchBody, imap.FetchBinary, imap.FetchBinarySize,
			imap.FetchRFC822, imap.FetchRFC822Header, imap.FetchRFC822Text:
			if needsHeader(item) {
				p.header = true
			} else {
				p.body, p.facts = true, p.facts || needsFacts(item)
			}
			p.marks = p.marks || !item.Peek && !c.view.readOnly && c.view.rights.Has(mail.RightSeen) // RFC 4314 §4
		}
		p.items = append(p.items, plannedItem{item, append(item.AppendLabel(nil), ' '), len(p.answers) - 1})
	}
	if cmd.ChangedSince != nil && !modseq { // RFC 7162 §3.1.4.1
		item := imap.FetchItem{Kind: imap.FetchModSeq}
		p.items = append(p.items, plannedItem{FetchItem: item, label: []byte("MODSEQ ")})
	}
	if cmd.UID && !uid && !c.uidOnly { // always told. RFC 9051 §6.4.9
		item := imap.FetchItem{Kind: imap.FetchUID}
		p.items = append([]plannedItem{{FetchItem: item, label: []byte("UID ")}}, p.items...)
	}
	return p
}

// needsHeader tells whether a section is found in the message's own header.
func needsHeader(item imap.FetchItem) bool {
	if item.Kind == imap.FetchRFC822Header {
		return true
	}
	text := item.Section.Text
	return item.Kind == imap.FetchBody && len(item.Section.Part) == 0 &&
		(text == imap.SectionHeader || text == imap.SectionFields || text == imap.SectionFieldsNot)
}

// needsFacts tells whether a section can only be found with the message's
// structure.
func needsFacts(item imap.FetchItem) bool {
	switch item.Kind {
	case imap.FetchRFC822:
		return false
	case imap.FetchRFC822Text:
		return true
	}
	return len(item.Section.Part) > 0 || item.Section.Text == imap.SectionBody
}

// fetchKnown answers for messages of which all is known that is needed.
func (c *conn) fetchKnown(ctx context.Context, p *fetchPlan, batch []Entry, places []int, k *known) error {
	var marked map[mail.UID]bool
	var changed Delta
	if p.marks {
		var err error
		if marked, changed, err = c.markSeen(ctx, batch); err != nil {
			return err
		}
	}
	for i := range batch {
		if !k.there(i) {
			continue // gone for good, of which the client will hear
		}
		if p.facts || p.header || p.body || p.threads {
			p.source.open(ctx, c.view.mailbox, batch[i].Email)
			k.give(i, &p.source)
		}
		if err := c.fetchOne(p, &batch[i], places[i], k, i, marked[batch[i].UID]); err != nil {
			return err
		}
		if err := c.out.room(); err != nil {
			return lost(err)
		}
	}
	return c.follow(&changed)
}

// markSeen sets \Seen on the messages that do not have it, and brings the
// entries up to date. It gives those that have changed: their flags are told
// with what was fetched, and what follows from them behind it. RFC 9051 §6.4.5
func (c *conn) markSeen(ctx context.Context, batch []Entry) (marked map[mail.UID]bool, changed Delta, err error) {
	var uids []mail.UID
	for i := range batch {
		if batch[i].Flags&mail.Seen == 0 {
			uids = append(uids, batch[i].UID)
		}
	}
	if len(uids) == 0 {
		return nil, changed, nil
	}
	_, err = c.view.mailbox.SetFlags(ctx, uids, FlagChange{Op: imap.StoreAdd, Flags: mail.Seen})
	if err != nil {
		return nil, changed, err
	}
	marked = make(map[mail.UID]bool, len(uids))
	for _, uid := range uids {
		marked[uid] = true
	}
	if changed, err = c.tellChanges(newsKeeping, false, func(e *Entry) bool { return marked[e.UID] }); err != nil {
		return nil, changed, err
	}
	for i := range batch {
		if at, found := c.view.told.Find(batch[i].UID); found {
			batch[i] = c.view.told.At(at)
		}
	}
	return marked, changed, nil
}

// fetchOne answers for one message, the nth of those that are known. Nothing of
// it is written before all that can fail has been tried.
func (c *conn) fetchOne(p *fetchPlan, e *Entry, place int, k *known, nth int, marked bool) error {
	if p.body || p.header {
		defer p.source.close()
		if err := p.source.prepare(p.items); err != nil {
			p.failed = err // the others are answered all the same
			return nil
		}
	}
	c.out.begin()
	b := c.beginFetch(c.out.b, place, e.UID)
	apart := false             // what stands before wants a space
	if marked && c.condstore { // RFC 7162 §3.2.4
		b = c.appendUnasked(b, e, true)
	}
	for i := range p.items {
		item := &p.items[i]
		if marked && c.condstore && (item.Kind == imap.FetchModSeq || item.Kind == imap.FetchUID && !c.uidOnly) {
			continue // it has been told
		}
		if apart {
			b = append(b, ' ')
		}
		apart = true
		b = append(b, item.label...)
		switch item.Kind {
		case imap.FetchFlags:
			b = c.appendFlags(b, e)
		case imap.FetchUID:
			b = appendUint(b, uint64(e.UID))
		case imap.FetchInternalDate:
			b = imap.AppendDateTime(b, time.Unix(e.Internal, 0).UTC())
		case imap.FetchSize:
			b = appendUint(b, uint64(e.Size))
		case imap.FetchModSeq:
			b = appendModSeq(b, e.ModSeq)
		case imap.FetchEmailID:
			b = append(append(append(b, '('), objectID(c.view.owner, e.Email)...), ')')
		case imap.FetchThreadID:
			b = appendThread(b, c.view.owner, p.source.thread)
		case imap.FetchSaveDate:
			b = imap.AppendDateTime(b, time.Unix(int64(e.Saved), 0).UTC())
		case imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchStructure,
			imap.FetchPreview, imap.FetchSnippet:
			b = append(b, k.answers[item.answer][nth]...)
		default:
			c.out.b = b
			if err := p.source.pieces[i].write(&c.out); err != nil {
				return lost(err) // a literal has been cut short
			}
			b = c.out.b
		}
	}
	if marked && !p.flags {
		if apart {
			b = append(b, ' ')
		}
		b = append(b, "FLAGS "...)
		b = c.appendFlags(b, e)
	}
	c.out.b = append(b, ')', '\r', '\n')
	return nil
}
