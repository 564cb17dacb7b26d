package imapserver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"waxwing/mail"
	"waxwing/obs"
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

// listen wakes the connection when there may be news, until stop is called.
// poked then says so.
func (c *conn) listen(poked *atomic.Bool) (stop func()) {
	poke := func() {
		poked.Store(true)
		c.in.wake()
	}
	cancel := func() {}
	if c.view != nil && (c.notifying == nil || c.notifying.selected != 0) {
		cancel = c.view.mailbox.Subscribe(poke)
	}
	if c.notifying == nil || c.notifying.watch == nil {
		return cancel
	}
	others := c.notifying.watch.Changed()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-others:
				poke()
			}
		}
	}()
	return func() { close(end); <-ended; cancel() }
}

// awaitNews waits for a command, and tells what happens meanwhile.
func (c *conn) awaitNews(until time.Time) error {
	if c.in.buffered() {
		return nil
	}
	var poked atomic.Bool
	defer c.listen(&poked)()
	between := newsAll
	if c.notifying.delayed { // RFC 5465 §6.1.2
		between = newsKeeping
	}
	for {
		if c.notifying.selected == 0 {
			between = newsNone
		}
		if err := c.tellNews(between, true, ""); err != nil {
			return err
		}
		err := c.in.await(until, func() error {
			if poked.CompareAndSwap(true, false) {
				return errPoked
			}
			return nil
		})
		if !errors.Is(err, errPoked) {
			return err
		}
	}
}
