package imapserver

import (
	"context"
	"errors"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// NOTIFY: a client says which events it wants to hear of, also while it runs
// no command, and also of mailboxes that are not selected: those of its own
// account, and those that others share with it. RFC 5465

// Watching is how an Account tells of its mailboxes.
type Watching interface {
	// Watch begins to watch the user's own mailboxes, and with shared those of
	// others that the user may look up. ErrOverflow where they are too many.
	Watch(ctx context.Context, shared bool) (Watch, error)
}

// A Watch tells what happens to mailboxes from its beginning on.
type Watch interface {
	// Changed is poked after every change.
	Changed() <-chan struct{}
	// News tells what has happened since it was told the last time;
	// ErrOverflow where that cannot be told any more.
	News(ctx context.Context) ([]News, error)
	// Close ends it.
	Close()
}

// ErrOverflow says that more has happened than can be told.
var ErrOverflow = errors.New("too much has happened")

// News is what has happened to one mailbox, or, without an ID, to what the
// server is annotated with.
type News struct {
	Status     Status // as it is now, or was when the mailbox was deleted
	Subscribed bool
	Deleted    bool
	Created    bool
	Changed    bool // name, special use or subscription
	Before     string

	Added, Expunged, Flags bool
	Noted                  []string // annotations, by name
}

// A notifying is what NOTIFY has asked for.
type notifying struct {
	selected imap.NotifyEvents // of the selected mailbox
	delayed  bool
	fetch    []imap.FetchItem
	groups   []watchGroup      // of other mailboxes
	shared   bool              // they may be those of others
	watch    Watch             // nil where they are none
	own      map[mail.UID]bool // new messages that come from this session
	deed     deed              // what its command has done to mailboxes
	// names are those of the user's own mailboxes, where names are watched: of
	// one that has been deleted nothing else may be left that knows it.
	names map[mail.MailboxID]string
}

// A watchGroup is an event group with the names that it means.
type watchGroup struct {
	filter imap.NotifyFilter
	names  map[string]bool
	events imap.NotifyEvents
}

// covers tells whether a group is about a mailbox.
func (g *watchGroup) covers(name string, foreign, subscribed bool) bool {
	switch g.filter {
	case imap.NotifySubscribed:
		return subscribed
	case imap.NotifyMailboxes:
		return g.names[name]
	case imap.NotifySubtree:
		if g.names[name] {
			return true
		}
		for parent := range parents(name) {
			if g.names[parent] {
				return true
			}
		}
		return false
	}
	return !foreign // every mailbox of one's own may be delivered to. RFC 5465 §6.3
}

// reaches tells whether a group may be about mailboxes of others.
func (g *watchGroup) reaches(others string) bool {
	if g.events == 0 || others == "" {
		return false
	}
	for name := range g.names {
		if strings.HasPrefix(name+string(imap.Delimiter), others) {
			return true
		}
	}
	return g.filter == imap.NotifySubscribed
}

// eventsOf gives what is wanted of a mailbox. RFC 5465 §6
func (n *notifying) eventsOf(name string, foreign, subscribed bool) imap.NotifyEvents {
	var events imap.NotifyEvents
	for i := range n.groups {
		if g := &n.groups[i]; g.covers(name, foreign, subscribed) {
			events |= g.events
		}
	}
	return events
}

// notify is NOTIFY. RFC 5465 §3.1
func (c *conn) notify(ctx context.Context, cmd imap.Notify) (reply, error) {
	if cmd.Unknown {
		return reply{}, &imap.Refusal{Code: "BADEVENT (" + imap.NotifyEventNames + ")", Text: "Event is not known"}
	}
	n := &notifying{}
	for _, g := range cmd.Groups {
		if g.Filter <= imap.NotifySelectedDelayed {
			n.selected, n.delayed, n.fetch = g.Events, g.Filter == imap.NotifySelectedDelayed, g.Fetch
			continue
		}
		w := watchGroup{filter: g.Filter, events: g.Events, names: make(map[string]bool, len(g.Mailboxes))}
		for _, raw := range g.Mailboxes {
			name, err := c.mailboxName(raw)
			if err != nil {
				return reply{}, err
			}
			w.names[name] = true
		}
		n.groups = append(n.groups, w)
	}
	if err := c.beginWatch(ctx, n); err != nil {
		return reply{}, err
	}
	c.stopNotify()
	if err := c.tell(newsAll, false); err != nil { // an implicit NOOP
		n.stop()
		return reply{}, err
	}
	c.notifying = n
	if n.shared {
		if err := c.tellNoAccess(ctx); err != nil {
			return reply{}, err
		}
	}
	if cmd.Status {
		return reply{}, c.tellWatched(ctx)
	}
	return reply{}, nil
}

// tellNoAccess names the mailboxes of others that are to be watched and may
// be looked up, but not read. RFC 5465 §3.1
func (c *conn) tellNoAccess(ctx context.Context) error {
	l, err := c.newLister(ctx)
	if err != nil {
		return err
	}
	for _, name := range l.names {
		n := l.nodes[name]
		if !n.info.Unreadable || c.notifying.eventsOf(name, n.info.Foreign, n.subscribed) == 0 {
			continue
		}
		e := l.entry(name, imap.ReturnSubscribed|imap.ReturnChildren)
		e.attributes = append(e.attributes, `\NoAccess`)
		c.tellList(e, "")
		if err := c.out.room(); err != nil {
			return lost(err)
		}
	}
	return nil
}

// beginWatch has what happens from here on told, of mailboxes that are not
// selected.
func (c *conn) beginWatch(ctx context.Context, n *notifying) (err error) {
	events := imap.NotifyEvents(0)
	for i := range n.groups {
		events |= n.groups[i].events
		n.shared = n.shared || n.groups[i].reaches(c.account.OthersPrefix())
	}
	if events == 0 {
		return nil
	}
	n.watch, err = c.account.Watch(c.work, n.shared)
	if errors.Is(err, ErrOverflow) { // RFC 5465 §5.8
		return &imap.Refusal{Code: "NOTIFICATIONOVERFLOW", Text: "Too much would have to be watched"}
	}
	if err != nil || events&imap.NotifyMailboxName == 0 {
		return err
	}
	if n.names, err = c.mailboxNames(ctx); err != nil {
		n.stop()
	}
	return err
}

// mailboxNames gives the names of the user's own mailboxes.
func (c *conn) mailboxNames(ctx context.Context) (map[mail.MailboxID]string, error) {
	boxes, err := c.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[mail.MailboxID]string, len(boxes))
	for i := range boxes {
		if !boxes[i].Foreign {
			names[boxes[i].ID] = boxes[i].Name
		}
	}
	return names, nil
}

// learn keeps the names up to date with what has happened.
func (n *notifying) learn(list []News) {
	if n.names == nil {
		return
	}
	for i := range list {
		switch s := &list[i].Status; {
		case s.ID == 0 || s.Foreign:
		case list[i].Deleted:
			if s.Name == "" {
				s.Name = n.names[s.ID]
			}
			delete(n.names, s.ID)
		default:
			n.names[s.ID] = s.Name
		}
	}
}

func (n *notifying) stop() {
	if n != nil && n.watch != nil {
		n.watch.Close()
	}
}

// stopNotify goes back to what was before NOTIFY.
func (c *conn) stopNotify() {
	c.notifying.stop()
	c.notifying = nil
}

// tellWatched tells the status of the mailboxes that are watched.
// RFC 5465 §3.1
func (c *conn) tellWatched(ctx context.Context) error {
	boxes, err := c.account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	subscribed, err := c.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(subscribed))
	for _, name := range subscribed {
		known[name] = true
	}
	for i := range boxes {
		b := &boxes[i]
		if b.NoSelect || c.isSelected(b) {
			continue
		}
		if events := c.notifying.eventsOf(b.Name, b.Foreign, known[b.Name]); events&imap.NotifyMessages != 0 {
			if err := c.tellStatus(ctx, b.Name, *b, c.watchedItems(events)); err != nil {
				return err
			}
			if err := c.out.room(); err != nil {
				return lost(err)
			}
		}
	}
	return nil
}

// watchedItems gives what STATUS tells of a mailbox that is watched: more than
// each event asks for, so that a client need not put it together.
// RFC 5465 §3.1, §5.1, §5.2
func (c *conn) watchedItems(events imap.NotifyEvents) []imap.StatusItem {
	items := []imap.StatusItem{imap.StatusMessages, imap.StatusUIDNext, imap.StatusUIDValidity}
	if events&imap.NotifyFlags != 0 {
		items = append(items, imap.StatusUnseen)
	}
	if c.condstore || events&imap.NotifyFlags != 0 {
		items = append(items, imap.StatusHighestModSeq)
	}
	return items
}

// isSelected tells whether a mailbox is the selected one.
func (c *conn) isSelected(s *Status) bool {
	return c.view != nil && c.view.owner == s.Owner && c.view.told.Status().ID == s.ID
}
