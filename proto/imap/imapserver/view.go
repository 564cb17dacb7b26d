package imapserver

import (
	"context"
	"slices"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// A view is what one session knows of its mailbox.
type view struct {
	mailbox  Mailbox
	name     string
	readOnly bool

	// rights are what the user may do, as it was when the command began;
	// owner is whose the mailbox is, zero for the user's own.
	rights   mail.Rights
	examined bool // by EXAMINE, whatever the rights
	owner    mail.AccountID

	// told is what the client has been told; sequence numbers count in it.
	told Snapshot

	// modseq is that of the newest state of which nothing has been held back:
	// what a client that comes back may ask from. RFC 7162 §3.2, last paragraph
	modseq mail.ModSeq

	// saved is the result of the last SEARCH that was saved, by UID. What is
	// expunged falls out of it by itself. RFC 5182 §2.1
	saved []mail.UID

	// contexts are the searches whose results are followed.
	contexts []*searchContext

	// recent holds the messages that are recent to this session, as ranges
	// of UIDs, both ends included. RFC 3501 §2.3.2
	recent []imap.Range

	spelled map[KeywordSet][]mail.Keyword // sets that have been met
	known   map[mail.Keyword]bool         // keywords of the last FLAGS response, folded
	names   []mail.Keyword                // the same, as they were told

	keyResets uint64 // those that the client has been told of
}

// newView makes a view on the mailbox's newest state, which the caller tells.
func (c *conn) newView(ctx context.Context, name string, m Mailbox, readOnly bool) (*view, error) {
	v := &view{
		mailbox: m, name: name, readOnly: readOnly, told: m.Snapshot(), keyResets: m.KeyResets(),
		spelled: map[KeywordSet][]mail.Keyword{}, known: map[mail.Keyword]bool{},
	}
	names, err := m.AllKeywords(ctx)
	if err != nil {
		return nil, err
	}
	if v.rights, err = m.Rights(ctx); err != nil {
		return nil, err
	}
	v.examined, v.readOnly = readOnly, readOnly || !changes(v.rights)
	v.modseq = v.told.Status().HighestModSeq
	v.learn(names)
	v.claim(v.told)
	return v, nil
}

// deselect leaves the selected mailbox.
func (c *conn) deselect() {
	if c.view != nil {
		c.view.mailbox.Close()
		c.view = nil
	}
	if c.state == selected {
		c.state = authenticated
	}
}

// learn adds keywords to those that FLAGS tells of, and says whether any was
// new.
func (v *view) learn(names []mail.Keyword) bool {
	grown := false
	for _, k := range names {
		if f := k.Fold(); !v.known[f] {
			v.known[f] = true
			v.names = append(v.names, k)
			grown = true
		}
	}
	return grown
}

// keywords spells out a set.
func (v *view) keywords(set KeywordSet) []mail.Keyword {
	if set == 0 {
		return nil
	}
	names, ok := v.spelled[set]
	if !ok {
		names = v.mailbox.Keywords(set)
		v.spelled[set] = names
	}
	return names
}

// meet learns the keywords of entries that have come or changed.
func (v *view) meet(entries []Entry) bool {
	grown := false
	for i := range entries {
		if set := entries[i].Keywords; set != 0 {
			if _, met := v.spelled[set]; !met {
				grown = v.learn(v.keywords(set)) || grown
			}
		}
	}
	return grown
}

// claim makes messages recent that no session has been told of.
func (v *view) claim(s Snapshot) {
	next := s.Status().UIDNext
	first := v.mailbox.Claim(next, !v.readOnly)
	if first >= next {
		return
	}
	if n := len(v.recent); n > 0 && v.recent[n-1].To+1 >= uint32(first) {
		v.recent[n-1].To = uint32(next) - 1
		return
	}
	v.recent = append(v.recent, imap.Range{From: uint32(first), To: uint32(next) - 1})
}

func (v *view) isRecent(uid mail.UID) bool {
	for i := len(v.recent) - 1; i >= 0; i-- {
		if uint32(uid) >= v.recent[i].From {
			return uint32(uid) <= v.recent[i].To
		}
	}
	return false
}

// countRecent gives how many messages in the view are recent.
func (v *view) countRecent() int {
	n := 0
	for _, r := range v.recent {
		from, _ := v.told.Find(mail.UID(r.From))
		to, found := v.told.Find(mail.UID(r.To))
		if found {
			to++
		}
		n += to - from
	}
	return n
}

// appendFlags writes an entry's flags.
func (c *conn) appendFlags(dst []byte, e *Entry) []byte {
	recent := !c.rev2 && len(c.view.recent) > 0 && c.view.isRecent(e.UID)
	return imap.AppendFlags(dst, e.Flags, c.view.keywords(e.Keywords), recent)
}

// tellFlags writes the FLAGS response. RFC 9051 §7.3.5
func (c *conn) tellFlags() {
	c.out.begin()
	c.out.b = append(c.out.b, "* FLAGS "...)
	c.out.b = imap.AppendFlags(c.out.b, imap.SystemFlags, c.view.names, false)
	c.out.b = append(c.out.b, '\r', '\n')
}

// tell tells what has happened in the selected mailbox since the client was
// last told.
func (c *conn) tell(n news, withUID bool) error { return c.tellExcept(n, withUID, nil) }

// tellExcept is tell, without the new flags of messages for which mute is
// true: what a command tells itself, or was asked not to.
func (c *conn) tellExcept(n news, withUID bool, mute func(now *Entry) bool) error {
	d, err := c.tellChanges(n, withUID, mute)
	if err != nil {
		return err
	}
	return c.follow(&d)
}

// follow tells what follows from changes: to searches whose results are
// followed, and of new messages what is wanted of them. It comes behind all
// that tells of the changes themselves. RFC 5465 §5.1, §5.2
func (c *conn) follow(d *Delta) error {
	if len(d.Added)+len(d.Changed) == 0 {
		return nil
	}
	if err := c.updateContexts(c.work, d); err != nil {
		return err
	}
	return c.fetchNew(d.Added)
}

// tellChanges is tellExcept without what follows, which the caller tells.
func (c *conn) tellChanges(n news, withUID bool, mute func(now *Entry) bool) (d Delta, err error) {
	v := c.view
	if n == newsNone || v == nil {
		return d, nil
	}
	c.tellKeyReset()
	newest := v.mailbox.Snapshot()
	if newest == v.told {
		return d, nil
	}
	if newest.Gone() {
		// RFC 2180 §3.3 permits to end the sessions of a deleted mailbox.
		c.bye(imap.CodeClosed, "The selected mailbox has been deleted")
		return d, errSaid
	}
	if err := c.recheck(c.work); err != nil {
		return d, err
	}
	withUID = withUID || c.notifying != nil // RFC 5465 §5.1
	d = v.mailbox.Diff(v.told, newest)
	next := newest
	held := len(d.Vanished) > 0 && n == newsKeeping
	switch {
	case held:
		next = v.mailbox.Keeping(newest, v.told, d.Vanished)
		if c.qresync && len(d.Changed) > 0 {
			// What follows has higher numbers than the expunges that are
			// held back; a client that is cut off now must not begin there.
			c.remark("OK", c.highestModSeq(), "Expunges are pending")
		}
	case len(d.Vanished) > 0:
		c.leaveContexts(d.Vanished)
		c.tellExpunged(d.Vanished)
	}
	v.told = next
	if !held {
		v.modseq = newest.Status().HighestModSeq
	}
	if grown := v.meet(d.Added); v.meet(d.Changed) || grown {
		c.tellFlags()
		c.tellPermanent() // which lists the keywords, too. RFC 9051 §7.1
	}
	if len(d.Added) > 0 {
		c.out.count(next.Len(), "EXISTS")
		if !c.rev2 {
			v.claim(newest)
			c.out.count(v.countRecent(), "RECENT")
		}
	}
	for i := range d.Changed {
		e := &d.Changed[i]
		if mute == nil || !mute(e) {
			c.tellEntry(e, withUID)
		}
	}
	return d, nil
}

// tellExpunged tells of messages that are gone, the last first, so that each
// number holds when it is read. RFC 9051 §7.5.1
func (c *conn) tellExpunged(uids []mail.UID) {
	if c.qresync || c.uidOnly {
		c.tellVanished(uids)
		return
	}
	for _, uid := range slices.Backward(uids) {
		if i, found := c.view.told.Find(uid); found {
			c.out.count(i+1, "EXPUNGE")
			if c.out.room() != nil {
				return
			}
		}
	}
}

// tellEntry tells an entry's flags. RFC 9051 §7.5.2
func (c *conn) tellEntry(e *Entry, withUID bool) {
	i, found := c.view.told.Find(e.UID)
	if !found || c.out.room() != nil {
		return
	}
	c.out.begin()
	b := c.beginFetch(c.out.b, i, e.UID)
	b = c.appendUnasked(b, e, withUID || c.rev2)
	b = append(b, "FLAGS "...)
	b = c.appendFlags(b, e)
	c.out.b = append(b, ')', '\r', '\n')
}
