package mailbox

import (
	"context"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

// Every change of an account goes through Account.change. Its order is the
// room's first law: read the head and what it needs in one round trip, write,
// give the change its modseq, get its place in the order, let go, wait until
// it is durable, bring the open views up to it, and only then return.

// A txn is one change under way. It may run more than once.
type txn struct {
	kv.Txn
	a       *Account
	now     time.Time
	head    head
	kept    *kept
	boxes   []*box // those read so far
	removed int    // mailboxes that wait to be purged, after readNames

	unlimited bool // what repairing keeps is not measured against limits

	subscribed int  // names, once subscribe has counted them
	watched    bool // views are open: effects are wanted
	dirty      bool
	emails     int      // put so far
	items      []item   // of the change record
	effects    []effect // for the views
	scratch    []byte

	wordsRead bool
	firstWord int64          // number of newWords[0]
	newWords  []mail.Keyword // not yet in the account's table
}

// An effect is what a change did to one mailbox, for its view.
type effect struct {
	info     Info
	gone     bool
	whole    bool    // upserts are all there is
	upserts  []Entry // by UID
	vanished []mail.UID
}

// modseq gives the number that the change will have.
func (t *txn) modseq() mail.ModSeq { return t.head.modseq + 1 }

// box gives the record of a mailbox that can hold messages.
func (t *txn) box(id mail.MailboxID) (*box, error) {
	for _, m := range t.boxes {
		if m.ID == id {
			if m.removed != 0 || m.NoSelect {
				return nil, ErrNoMailbox
			}
			return m, nil
		}
	}
	return nil, ErrNoMailbox
}

// log adds to the change record and marks the mailbox as changed. With views
// open, effects follow.
func (t *txn) log(kind byte, m *box, uids []mail.UID, emails []mail.EmailID) {
	t.dirty = true
	m.HighestModSeq = t.modseq()
	if n := len(t.items); n > 0 && t.items[n-1].kind == kind && t.items[n-1].mailbox == m.ID && kind >= itemCreated {
		of := &t.items[n-1].Affected
		of.UIDs, of.Emails = append(of.UIDs, uids...), append(of.Emails, emails...)
		return
	}
	t.items = append(t.items, item{kind, m.ID, Affected{Mailbox: m.ID, UIDs: uids, Emails: emails}})
}

// logSet logs that flags have changed, and what they were.
func (t *txn) logSet(m *box, uids []mail.UID, emails []mail.EmailID, earlier []before) {
	t.log(itemSet, m, uids, emails)
	of := &t.items[len(t.items)-1].Affected
	of.before = append(of.before, earlier...)
}

// effect gives the effect on a mailbox, to be added to; nil when nobody
// would see it.
func (t *txn) effect(m *box) *effect {
	if !t.watched {
		return nil
	}
	for i := range t.effects {
		if t.effects[i].info.ID == m.ID {
			return &t.effects[i]
		}
	}
	t.effects = append(t.effects, effect{info: Info{ID: m.ID}})
	return &t.effects[len(t.effects)-1]
}

// seen gives a row as views show it.
func (t *txn) seen(r *row) Entry {
	e := r.Entry
	e.Keywords = t.a.keywords.intern(r.words)
	return e
}

// change runs fn in a transaction. Before fn it reads the head, the mailboxes
// and extra, whose values fn gets (nil for missing keys); after it, if fn has
// logged anything, it writes the head, the mailboxes and the change record.
// It returns once all is durable and the views show it.
func (a *Account) change(ctx context.Context, now time.Time, boxes []mail.MailboxID, extra [][]byte,
	fn func(t *txn, got [][]byte) error) (mail.ModSeq, error) {
	scratch := scratches.Get().(*[]byte)
	defer recycle(scratch)
	var t txn
	watched := a.follow.open.Load() > 0
	commit, err := a.store.db.Update(ctx, a.part, func(tx kv.Txn) error {
		k := a.store.kept.take(a.id)
		defer a.store.kept.put(a.id, k)
		t = txn{Txn: tx, a: a, now: now, kept: k, watched: watched, scratch: (*scratch)[:0]}
		got, err := t.begin(boxes, extra)
		if err != nil {
			return err
		}
		if err := fn(&t, got); err != nil {
			return err
		}
		return t.finish()
	})
	if err != nil {
		return 0, err
	}
	*scratch = t.scratch[:0]
	if t.dirty {
		a.store.kept.date(a.id, t.head.stamp, commit.Version())
	}
	return t.settle(ctx, commit)
}

// recycle gives one of scratches back, unless it has become large.
func recycle(b *[]byte) {
	if cap(*b) <= 2*chunkSize {
		*b = (*b)[:0]
		scratches.Put(b)
	}
}

// finish writes what all changes write.
func (t *txn) finish() error {
	if !t.dirty {
		return nil
	}
	if len(t.items) > 0 {
		t.head.modseq = t.modseq()
		if err := putChange(t, t.scratch, t.head.modseq, t.now, t.items); err != nil {
			return err
		}
	}
	for _, m := range t.boxes {
		if m.HighestModSeq == t.head.modseq && t.drops(m) {
			if err := t.forget(m.ID); err != nil {
				return err
			}
		}
	}
	t.head.stamp = t.a.store.stamps.Add(1)
	t.scratch = t.head.append(t.scratch[:0])
	t.Put(headKey, t.scratch)
	for _, m := range t.boxes {
		if m.HighestModSeq == t.head.modseq {
			var key [5]byte
			if t.drops(m) {
				t.Delete(appendBoxKey(key[:0], m.ID))
				continue
			}
			t.scratch = m.append(t.scratch[:0])
			t.Txn.Put(appendBoxKey(key[:0], m.ID), t.scratch)
			t.kept.keep(m)
		}
	}
	t.kept.head, t.kept.version = t.head, 0
	t.kept.added += t.emails
	for i := range t.effects {
		e := &t.effects[i]
		for _, m := range t.boxes {
			if m.ID == e.info.ID {
				e.info = m.Info
			}
		}
	}
	return nil
}

// drops tells whether there is nothing to recover of a mailbox.
func (t *txn) drops(m *box) bool { return m.removed != 0 && m.Messages == 0 && !t.keepEmpty(m) }

// abandon leaves it to another to wait for a commit: it may be durable yet, and
// whoever watches counts on its maker.
func (a *Account) abandon(mine *deposit, commit kv.Commit) {
	if a.store.start() != nil { // it closes, and so do the views
		a.follow.withdraw(mine)
		return
	}
	go func() {
		defer a.store.work.Done()
		if err := commit.Wait(a.store.ctx); err != nil {
			a.follow.withdraw(mine)
			return
		}
		a.advance(a.store.ctx, commit.Version())
	}()
}

// settle waits until the transaction is durable and then lets the views see
// it.
func (t *txn) settle(ctx context.Context, commit kv.Commit) (mail.ModSeq, error) {
	a := t.a
	var mine *deposit
	if len(t.items) > 0 && t.watched {
		mine = a.follow.deposit(t.head.modseq, commit.Version(), t.effects)
	}
	if err := commit.Wait(ctx); err != nil {
		if mine != nil {
			a.abandon(mine, commit)
		}
		return 0, fmt.Errorf("commit: %w", err)
	}
	if len(t.newWords) > 0 {
		a.keywords.learn(t.firstWord, t.newWords)
	}
	if t.dirty && a.follow.open.Load() > 0 {
		a.advance(ctx, commit.Version())
	}
	if t.emails > 0 && a.store.o.Arrived != nil {
		a.store.o.Arrived(a.id)
	}
	return t.head.modseq, nil
}
