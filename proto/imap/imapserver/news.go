package imapserver

import (
	"context"
	"errors"
	"slices"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/imap"
)

// What is told besides the answer to a command: the news of the selected
// mailbox, and, as NOTIFY wants it, of others. RFC 9051 §7, RFC 5465 §5

// newsAllowed gives what may be told of the selected mailbox with a command
// that would permit n, and whether flags are. A client that wants no events
// keeps what it has seen, as a snapshot: STORE alone, and FETCH where it sets
// \Seen, go by what is there. RFC 5465 §3.1, §5
func (c *conn) newsAllowed(n news, command string) (allowed news, flags bool) {
	w := c.notifying
	switch {
	case w == nil:
		return n, true
	case w.selected != 0 || n == newsNone:
		return n, w.selected&imap.NotifyFlags != 0
	}
	switch command {
	case "EXPUNGE", "UID EXPUNGE", "MOVE", "UID MOVE", "REPLACE", "UID REPLACE":
		return n, false // its own responses
	}
	return newsNone, false
}

// tellNews tells what has happened, between commands or at the end of one:
// of the selected mailbox as far as n permits, and of those that are watched.
func (c *conn) tellNews(n news, withUID bool, command string) error {
	n, flags := c.newsAllowed(n, command)
	var mute func(*Entry) bool
	if !flags {
		mute = func(*Entry) bool { return true }
	}
	if err := c.tellExcept(n, withUID, mute); err != nil {
		return err
	}
	if c.notifying != nil {
		c.notifying.own = nil
		err := c.tellOthers(c.work)
		if c.notifying != nil {
			c.notifying.deed = deed{}
		}
		return err
	}
	return nil
}

// tellOthers tells of mailboxes that are not selected. RFC 5465 §5
func (c *conn) tellOthers(ctx context.Context) error {
	w := c.notifying
	if w.watch == nil {
		return nil
	}
	list, err := w.watch.News(ctx)
	if errors.Is(err, ErrOverflow) { // RFC 5465 §5.8
		c.remark("OK", "NOTIFICATIONOVERFLOW", "Too much has happened")
		c.stopNotify()
		c.notifying = &notifying{}
		return nil
	}
	if err != nil { // the next change tries again
		c.info.Log.Error("mailboxes cannot be watched", obs.Err, err)
		return nil
	}
	w.learn(list)
	var l *lister
	for i := range list {
		n := &list[i]
		events := w.eventsOf(n.Status.Name, n.Status.Foreign, n.Subscribed)
		if n.Before != "" {
			events |= w.eventsOf(n.Before, n.Status.Foreign, n.Subscribed)
		}
		if n.Status.ID == 0 {
			events = w.eventsOf("", false, false)
		}
		if err := c.tellMailbox(ctx, &l, list, n, events); err != nil {
			return err
		}
		if err := c.out.room(); err != nil {
			return lost(err)
		}
	}
	return nil
}

// tellMailbox tells what has happened to one mailbox.
func (c *conn) tellMailbox(ctx context.Context, l **lister, all []News, n *News, events imap.NotifyEvents) (err error) {
	named := n.Created || n.Deleted || n.Before != "" && !renamedAbove(all, n)
	if c.notifying.deed.is(n) {
		named, n.Changed = false, false
	}
	n.Noted = c.notifying.deed.left(n)
	if named && events&imap.NotifyMailboxName != 0 || n.Changed && n.Before == "" && events&imap.NotifySubscription != 0 {
		if *l == nil {
			if *l, err = c.newLister(ctx); err != nil {
				return err
			}
		}
		c.tellName(*l, all, n, named)
	}
	if len(n.Noted) > 0 && (n.Status.ID == 0 && events&imap.NotifyServerMetadata != 0 || n.Status.ID != 0 && events&imap.NotifyMailboxMetadata != 0) {
		c.tellNoted(n)
	}
	if n.Deleted || n.Status.NoSelect || n.Status.ID == 0 || c.isSelected(&n.Status) {
		return nil
	}
	if n.Added && events&imap.NotifyNew != 0 || n.Expunged && events&imap.NotifyExpunge != 0 || n.Flags && events&imap.NotifyFlags != 0 {
		return c.tellStatus(ctx, n.Status.Name, n.Status, c.watchedItems(events))
	}
	return nil
}

// renamedAbove tells whether a mailbox was renamed because one above it was,
// which is told in its place. RFC 5465 §5.4
func renamedAbove(all []News, n *News) bool {
	return slices.ContainsFunc(all, func(p News) bool {
		return p.Before != "" && imap.IsBelow(n.Before, p.Before) && imap.IsBelow(n.Status.Name, p.Status.Name) &&
			n.Before[len(p.Before):] == n.Status.Name[len(p.Status.Name):]
	})
}

// tellName writes a LIST response for a mailbox, and for its parent where it
// was made or deleted. RFC 5465 §5.4, §5.5
func (c *conn) tellName(l *lister, all []News, n *News, named bool) {
	const want = imap.ReturnChildren | imap.ReturnSubscribed | imap.ReturnSpecialUse
	name := n.Status.Name
	if name == "" {
		return // purged already
	}
	c.tellList(l.entry(name, want), n.Before)
	if !named || n.Before != "" {
		return
	}
	for parent := range parents(name) {
		if !slices.ContainsFunc(all, func(p News) bool { return p.Status.Name == parent && (p.Created || p.Deleted) }) {
			c.tellList(l.entry(parent, want), "")
		}
		break
	}
}

// tellNoted writes a METADATA response without values. RFC 5464 §4.4.2
func (c *conn) tellNoted(n *News) {
	c.out.begin()
	b := append(c.out.b, "* METADATA "...)
	if n.Status.ID == 0 {
		b = append(b, `""`...)
	} else {
		b = imap.AppendMailbox(b, n.Status.Name, c.utf8)
	}
	for _, name := range n.Noted {
		b = imap.AppendAString(append(b, ' '), name, c.utf8)
	}
	c.out.b = append(b, '\r', '\n')
}

// fetchNew tells what NOTIFY, and searches whose results are followed, want to
// know of new messages, in one response for each, but for those that this
// session has brought. RFC 5465 §5.2, §7
func (c *conn) fetchNew(added []Entry) error {
	plans := map[uint32]*fetchPlan{}
	for i := range added {
		uid := added[i].UID
		at, found := c.view.told.Find(uid)
		if !found || c.notifying != nil && c.notifying.own[uid] {
			continue
		}
		wants := c.wantsOf(uid)
		if wants == 0 {
			continue
		}
		p := plans[wants]
		if p == nil {
			p = c.planFetch(imap.Fetch{Items: c.wanted(wants)})
			plans[wants] = p
		}
		one := batch{entries: []Entry{added[i]}, places: []int{at}}
		one.read(c.work, p, c.view.mailbox)
		if err := c.answer(c.work, p, &one); err != nil {
			return err
		}
	}
	return nil
}

// wantsOf says who wants to know of a new message: bit 0 is NOTIFY, the others
// are the view's contexts, of which there are fewer.
func (c *conn) wantsOf(uid mail.UID) (wants uint32) {
	if w := c.notifying; w != nil && len(w.fetch) > 0 && w.selected&imap.NotifyNew != 0 {
		wants = 1
	}
	for i, x := range c.view.contexts {
		if len(x.fetch) > 0 && slices.Contains(x.uids, uid) {
			wants |= 2 << i
		}
	}
	return wants
}

// wanted gives what they want to know, nothing twice.
func (c *conn) wanted(wants uint32) []imap.FetchItem {
	var items []imap.FetchItem
	if wants&1 != 0 {
		items = append(items, c.notifying.fetch...)
	}
	for i, x := range c.view.contexts {
		if wants&(2<<i) == 0 {
			continue
		}
		for _, item := range x.fetch {
			if !slices.ContainsFunc(items, func(have imap.FetchItem) bool { return have.String() == item.String() }) {
				items = append(items, item)
			}
		}
	}
	return items
}

// brings remembers which new messages of the selected mailbox this session
// has brought itself.
func (c *conn) brings(validity mail.UIDValidity, uids []mail.UID) {
	if c.notifying == nil || c.view == nil || c.view.told.Status().UIDValidity != validity {
		return
	}
	if c.notifying.own == nil {
		c.notifying.own = make(map[mail.UID]bool, len(uids))
	}
	for _, uid := range uids {
		c.notifying.own[uid] = true
	}
}
