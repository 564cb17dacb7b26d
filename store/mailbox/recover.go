package mailbox

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Lost is an expunged entry that can still be recovered.
type Lost struct {
	Mailbox mail.MailboxID // where it was
	Entry   Entry          // as it was
	Gone    time.Time
}

// Lost goes through the expunged entries that can be recovered, the oldest
// first.
func (a *Account) Lost(ctx context.Context) iter.Seq2[Lost, error] {
	const page = 1000
	return func(yield func(Lost, error) bool) {
		from := []byte{keys.Gone}
		for {
			var list []Lost
			err := a.view(ctx, func(r kv.Reader, h *head) error {
				list = list[:0]
				if err := a.learnKeywords(r, h); err != nil {
					return err
				}
				for it, err := range r.Scan(from, []byte{keys.Gone + 1}, kv.ScanOptions{Limit: page}) {
					if err != nil {
						return err
					}
					g, err := decodeGone(it)
					if err != nil {
						return err
					}
					g.row.Keywords = a.keywords.intern(g.row.words)
					list = append(list, Lost{g.id, g.row.Entry, time.Unix(g.second, 0).UTC()})
					from = append(g.key, 0)
				}
				return nil
			})
			if err != nil {
				yield(Lost{}, err)
				return
			}
			for _, l := range list {
				if !yield(l, nil) {
					return
				}
			}
			if len(list) < page {
				return
			}
		}
	}
}

// Recover brings expunged entries back, into a mailbox of the caller's choice,
// under new UIDs and without the flag Deleted. Those that have been purged or
// recovered meanwhile are left out. It gives how many came back.
func (a *Account) Recover(ctx context.Context, now time.Time, lost []Lost, to mail.MailboxID) (int, error) {
	n := 0
	for len(lost) > 0 {
		part := lost[:min(len(lost), expungeBatch)]
		back := 0
		_, err := a.change(ctx, now, []mail.MailboxID{to}, nil, func(t *txn, _ [][]byte) (err error) {
			back, err = t.recoverEntries(part, to)
			return err
		})
		if err != nil {
			return n, err
		}
		n += back
		lost = lost[len(part):]
	}
	return n, nil
}

func (t *txn) recoverEntries(lost []Lost, to mail.MailboxID) (int, error) {
	m, err := t.box(to)
	if err != nil {
		return 0, err
	}
	want := make([][]byte, len(lost))
	for i, l := range lost {
		want[i] = appendGoneKey(nil, l.Gone.Unix(), l.Mailbox, l.Entry.UID)
	}
	got, err := t.GetMany(want)
	if err != nil {
		return 0, err
	}
	var rows []row
	for i, b := range got {
		if b == nil {
			continue
		}
		r, err := decodeRow(lost[i].Entry.UID, b)
		if err != nil {
			return 0, err
		}
		t.Delete(want[i])
		rows = append(rows, r)
	}
	if err := t.checkQuota(rows); err != nil {
		return 0, err
	}
	spots, err := t.readPlaces(rows, to)
	if err != nil {
		return 0, err
	}
	ef := t.effect(m)
	for i := range rows {
		r, p := &rows[i], spots[rows[i].Email]
		if len(p.at) >= maxPlaces {
			return 0, fmt.Errorf("copies of message %v: %w", r.Email, ErrTooMany)
		}
		p.gone--
		t.head.goneBytes -= mail.ByteCount(r.Size)
		r.UID, r.ModSeq, r.Saved = m.UIDNext, t.modseq(), t.now.Unix()
		r.Flags &^= mail.Deleted
		m.UIDNext++
		p.at = append(p.at, place{to, r.UID})
		t.Put(appendEntryKey(nil, to, r.UID), r.append(nil))
		t.countIn(m, r)
		t.log(itemCreated, m, []mail.UID{r.UID}, []mail.EmailID{r.Email})
		if ef != nil {
			ef.upserts = append(ef.upserts, t.seen(r))
		}
	}
	t.putPlaces(spots)
	return len(rows), nil
}

// A LostMailbox is a deleted mailbox that can still be recovered.
type LostMailbox struct {
	Info
	Gone time.Time
}

// LostMailboxes lists the deleted mailboxes that can be recovered.
func (a *Account) LostMailboxes(ctx context.Context) ([]LostMailbox, error) {
	var list []LostMailbox
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		list = list[:0]
		all, err := readAllBoxes(r)
		for _, m := range all {
			if m.removed != 0 {
				list = append(list, LostMailbox{m.Info, time.Unix(m.removed, 0).UTC()})
			}
		}
		return err
	})
	return list, err
}

// RecoverMailbox brings a deleted mailbox back with all that it held, under a
// name that is free. Its UIDs are what they were. What has been purged of it
// stays away.
func (a *Account) RecoverMailbox(ctx context.Context, id mail.MailboxID, name string) (Info, error) {
	name, err := CleanName(name)
	if err != nil {
		return Info{}, err
	}
	var back Info
	_, err = a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		if _, err := t.readNames(); err != nil {
			return err
		}
		if t.named(name) != nil {
			return ErrExists
		}
		for _, parent := range parents(name) {
			if _, err := t.makeMailbox(parent, mail.RoleNone); err != nil && !errors.Is(err, ErrExists) {
				return err
			}
		}
		got, err := t.GetMany([][]byte{appendBoxKey(nil, id), appendSubscriptionKey(nil, name)})
		if err != nil {
			return err
		}
		if got[0] == nil {
			return ErrNoMailbox
		}
		m, err := decodeBox(id, got[0])
		if err != nil {
			return err
		}
		if m.removed == 0 {
			return ErrNoMailbox
		}
		if q := t.a.store.quota(&t.head); q > 0 && t.head.bytes+m.Size > q {
			return ErrOverQuota
		}
		// A role may have gone to another mailbox.
		m.Name, m.removed, m.Role, m.Subscribed = name, 0, mail.RoleNone, got[1] != nil
		t.head.boxes++
		t.head.bytes += m.Size
		t.head.messages += int64(m.Messages)
		t.head.goneBytes -= m.Size
		t.boxes = append(t.boxes, &m)
		t.changeBox(MailboxCreated, &m)
		back = m.Info
		return nil
	})
	return back, err
}
