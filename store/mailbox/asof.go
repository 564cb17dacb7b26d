package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// An AsOf is an account as it was at a time.
type AsOf struct {
	Mailboxes []PastMailbox // by name, INBOX first
	Gaps      []string      // for people: what was there and cannot be told any more
}

// A PastMailbox is a mailbox as it was at a time.
type PastMailbox struct {
	Info            // with the name of then; its numbers are those of now
	Entries []Entry // in the order of their UIDs, with the flags of then
}

// AsOf shows the account as it was at a time, without changing it: what has come
// since is left out, and what has gone since is there. If the log of changes does
// not reach back so far it returns ErrTooOld. Of what was moved since, the flags
// are those that it has where it went, unless they had been changed before that.
// Nobody may change the account meanwhile; it is meant for one in a backup.
func (a *Account) AsOf(ctx context.Context, at time.Time) (AsOf, error) {
	p, err := a.readPast(ctx, at)
	if err != nil {
		return AsOf{}, err
	}
	if p.cut || p.modseq == 0 { // who knows since when; or the account was made later, perhaps anew
		return AsOf{}, fmt.Errorf("the log of changes does not reach back to then: %w", ErrTooOld)
	}
	back := lookingBack{a: a, p: p, then: make(map[mail.MailboxID]*PastMailbox), found: make(map[place]bool), spare: make(map[mail.EmailID]Entry)}
	var boxes []*box
	err = a.view(ctx, func(r kv.Reader, _ *head) (err error) {
		boxes, err = readAllBoxes(r)
		return err
	})
	if err != nil {
		return AsOf{}, err
	}
	if err := back.expunged(ctx, at); err != nil {
		return AsOf{}, err
	}
	for _, m := range boxes {
		if err := back.mailbox(ctx, m); err != nil {
			return AsOf{}, err
		}
	}
	return back.end(boxes), nil
}

// lookingBack is an AsOf under way.
type lookingBack struct {
	a     *Account
	p     *past
	then  map[mail.MailboxID]*PastMailbox
	found map[place]bool         // of what has left its place since
	spare map[mail.EmailID]Entry // where else emails of those are, or were
	gaps  []string
}

// expunged finds what has been expunged since.
func (b *lookingBack) expunged(ctx context.Context, at time.Time) (err error) {
	b.a.lostRows(ctx, appendGoneKey(nil, at.Unix(), 0, 0), []byte{keys.Gone + 1}, nil, func(l Lost, failed error) bool {
		if err = failed; err != nil {
			return false
		}
		where := place{l.Mailbox, l.Entry.UID}
		if b.p.was[where] != nil {
			b.found[where] = true
			b.put(l.Mailbox, l.Entry)
		} else {
			b.offer(&l.Entry)
		}
		return true
	})
	return err
}

// offer remembers an entry whose email was elsewhere by then.
func (b *lookingBack) offer(e *Entry) {
	if len(b.p.emails[e.Email]) > 0 {
		b.spare[e.Email] = *e
	}
}

// put gives an entry back to its mailbox.
func (b *lookingBack) put(id mail.MailboxID, e Entry) {
	if s := b.p.state(place{id, e.UID}); s != nil {
		e.Flags, e.Keywords = s.flags, b.a.keywords.intern([]byte(s.words))
	}
	m := b.then[id]
	if m == nil { // its record comes later, or has been purged
		m = &PastMailbox{Info: Info{ID: id, Name: RestoredName}}
		b.then[id] = m
	}
	m.Entries = append(m.Entries, e)
}

// mailbox looks at what a mailbox holds, also one that is deleted.
func (b *lookingBack) mailbox(ctx context.Context, m *box) (err error) {
	was := !b.p.created[m.ID] && (m.removed == 0 || b.p.dropped[m.ID])
	if was {
		then := b.then[m.ID]
		if then == nil {
			then = new(PastMailbox)
			b.then[m.ID] = then
		}
		then.Info = m.Info
		if m.thinned {
			b.gap("of %q, which has been deleted, some messages may be missing: they have been purged, or restored elsewhere", m.Name)
		}
	}
	lo := appendEntryKey(nil, m.ID, 0)
	b.a.lostRows(ctx, lo, kv.PrefixEnd(lo[:5]), &LostMailbox{Info: m.Info}, func(l Lost, failed error) bool {
		if err = failed; err != nil {
			return false
		}
		if was && !b.p.came[place{m.ID, l.Entry.UID}] {
			b.put(m.ID, l.Entry)
		}
		b.offer(&l.Entry)
		return true
	})
	return err
}

func (b *lookingBack) gap(format string, args ...any) {
	b.gaps = append(b.gaps, fmt.Sprintf(format, args...))
}

// end brings what was moved back to its place, and names and sorts everything.
func (b *lookingBack) end(boxes []*box) AsOf {
	purged := make(map[mail.MailboxID]int)
	for where, m := range b.p.was {
		if b.found[where] {
			continue
		}
		e, ok := b.spare[m.email]
		if !ok {
			purged[where.Mailbox]++
			continue
		}
		e.UID = where.UID
		b.put(where.Mailbox, e)
	}
	var all AsOf
	for id, m := range b.then {
		if name := b.p.names[id]; name != "" {
			m.Name = name
		}
		slices.SortFunc(m.Entries, func(x, y Entry) int { return cmp.Compare(x.UID, y.UID) })
		all.Mailboxes = append(all.Mailboxes, *m)
	}
	slices.SortFunc(all.Mailboxes, func(x, y PastMailbox) int {
		return cmp.Or(compareNames(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	for id, n := range purged {
		name := RestoredName
		if m := b.then[id]; m != nil {
			name = m.Name
		}
		b.gap("%s that had been in %q by then: purged since", plural(n, "message"), name)
	}
	for id := range b.p.dropped {
		if !b.p.created[id] && !slices.ContainsFunc(boxes, func(m *box) bool { return m.ID == id }) {
			b.gap("a mailbox that was there by then has been deleted since, and what it held, if anything, has been purged")
		}
	}
	slices.Sort(b.gaps)
	all.Gaps = b.gaps
	return all
}
