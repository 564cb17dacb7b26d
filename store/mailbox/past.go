package mailbox

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

// A past is what an account was at a time inside the window, as far as it is
// no longer so: the log of changes, read from that time on, tells.
type past struct {
	modseq  mail.ModSeq
	cut     bool                      // nothing is left of the log from then on, nor of what was before
	was     map[place]*missed         // entries that have left their places since
	emails  map[mail.EmailID][]place  // the places of those
	states  map[place]before          // flags of entries that have changed since
	names   map[mail.MailboxID]string // of mailboxes that were renamed since
	created map[mail.MailboxID]bool   // since, and not there before
	dropped map[mail.MailboxID]bool   // since
	came    map[place]bool            // entries that were made since, as far as they are where they came
}

// A missed is an entry that was in its place then and is not now.
type missed struct {
	email mail.EmailID
	exact bool   // its own row is among the expunged
	key   []byte // else: the newest expunged row of the email
}

// TooOld says how far back the log of changes reaches. It is an ErrTooOld.
type TooOld struct{ First time.Time }

func (e *TooOld) Error() string {
	return fmt.Sprintf("the log of changes begins at %s", e.First.UTC().Format(time.RFC3339))
}

// Unwrap gives ErrTooOld.
func (e *TooOld) Unwrap() error { return ErrTooOld }

// readPast reads what has changed since a time, in one state. States of
// entries are kept in memory: some tens of octets for each that has changed.
func (a *Account) readPast(ctx context.Context, at time.Time) (*past, error) {
	var p *past
	err := a.view(ctx, func(r kv.Reader, h *head) error {
		p = &past{
			was: make(map[place]*missed), emails: make(map[mail.EmailID][]place), states: make(map[place]before),
			names: make(map[mail.MailboxID]string), created: make(map[mail.MailboxID]bool),
			dropped: make(map[mail.MailboxID]bool), came: make(map[place]bool),
		}
		if err := a.learnKeywords(r, h); err != nil {
			return err
		}
		var err error
		if p.modseq, err = modseqAt(r, h, at); err != nil {
			return err
		}
		p.cut = h.forgotten > 0 && h.forgotten == h.modseq
		for c, err := range changesIn(r, p.modseq, 0) {
			if err != nil {
				return err
			}
			p.add(&c)
		}
		return nil
	})
	return p, err
}

// add takes in the next change.
func (p *past) add(c *Change) {
	for _, m := range c.Mailboxes {
		if _, known := p.names[m.Mailbox]; m.Before != "" && !known {
			p.names[m.Mailbox] = m.Before
		}
		switch {
		case m.Kind == MailboxDeleted:
			p.dropped[m.Mailbox] = true
		case m.Kind == MailboxCreated && !p.dropped[m.Mailbox]: // else it was recovered
			p.created[m.Mailbox] = true
		}
	}
	for _, of := range c.Created {
		for _, uid := range of.UIDs {
			p.came[place{of.Mailbox, uid}] = true
		}
	}
	for _, of := range c.Changed {
		i := 0
		for _, e := range of.before {
			for range e.count {
				at := place{of.Mailbox, of.UIDs[i]}
				if _, known := p.states[at]; !known && !p.came[at] {
					p.states[at] = e
				}
				i++
			}
		}
	}
	for _, of := range c.Vanished {
		for i, uid := range of.UIDs {
			if at := (place{of.Mailbox, uid}); p.came[at] {
				delete(p.came, at)
			} else {
				p.was[at] = &missed{email: of.Emails[i]}
				p.emails[of.Emails[i]] = append(p.emails[of.Emails[i]], at)
			}
		}
	}
}

// state gives what an entry's flags were; nil if they are what they are.
func (p *past) state(at place) *before {
	if e, ok := p.states[at]; ok {
		return &e
	}
	return nil
}

// modseqAt finds the newest change that was made by then. The modseqs that the
// log holds follow each other.
func modseqAt(r kv.Reader, h *head, at time.Time) (mail.ModSeq, error) {
	var failed error
	first := h.forgotten + 1
	when := func(m mail.ModSeq) time.Time {
		b, err := r.Get(appendChangeKey(nil, m, 0))
		if err != nil {
			failed = fmt.Errorf("change %d: %w", m, err)
			return time.Time{}
		}
		d := decoder{b: b}
		d.byte()
		t := time.Unix(d.varint(), 0)
		if d.bad {
			failed = fmt.Errorf("change %d: %w", m, errCorrupt)
		}
		return t
	}
	n := sort.Search(int(h.modseq-h.forgotten), func(i int) bool {
		return failed != nil || when(first+mail.ModSeq(i)).After(at)
	})
	if failed != nil {
		return 0, failed
	}
	if n == 0 && h.forgotten > 0 && h.modseq > h.forgotten {
		return 0, &TooOld{when(first)}
	}
	return h.forgotten + mail.ModSeq(n), failed
}

// match goes through the rows of what is lost and finds for each missed entry
// the one that brings it back: its own or, when it was moved away and went from
// elsewhere, the newest of its email's, unless that lies somewhere still.
// Mailboxes that come back are left alone; stay tells which there are then.
func (a *Account) match(ctx context.Context, p *past, since time.Time, comeBack map[mail.MailboxID]bool, stay func(mail.MailboxID) bool) error {
	for l, err := range a.Lost(ctx, LostOptions{Since: since}) {
		if err != nil {
			return err
		}
		if l.Whole && comeBack[l.Mailbox] {
			continue
		}
		if m := p.was[place{l.Mailbox, l.Entry.UID}]; m != nil && !l.Whole {
			m.exact, m.key = true, l.key
			continue
		}
		for _, at := range p.emails[l.Entry.Email] {
			if m := p.was[at]; !m.exact {
				m.key = l.key
				break
			}
		}
	}
	var ask []*missed
	for _, m := range p.was {
		if !m.exact && m.key != nil {
			ask = append(ask, m)
		}
	}
	const page = 1000
	for len(ask) > 0 {
		part := ask[:min(len(ask), page)]
		ask = ask[len(part):]
		want := make([][]byte, len(part))
		for i, m := range part {
			want[i] = appendPlacesKey(nil, m.email)
		}
		err := a.view(ctx, func(r kv.Reader, _ *head) error {
			got, err := r.GetMany(want)
			if err != nil {
				return err
			}
			for i, m := range part {
				spots, err := decodePlaces(got[i], place{}) // in no mailbox
				if err != nil {
					return err
				}
				if slices.ContainsFunc(spots.at, func(at place) bool { return stay(at.Mailbox) }) {
					m.key = nil
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wasAt tells where an expunged row comes back to, by the key of the row.
func (p *past) wasAt(l Lost) (place, bool) {
	own := place{l.Mailbox, l.Entry.UID}
	if m := p.was[own]; m != nil && m.exact {
		return own, true
	}
	for _, at := range p.emails[l.Entry.Email] {
		if m := p.was[at]; !m.exact && string(m.key) == string(l.key) {
			return at, true
		}
	}
	return place{}, false
}
