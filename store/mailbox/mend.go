package mailbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// What mends findings: each is one transaction that reads what it needs afresh,
// and trusts nothing that is kept in memory. What people can see the change of
// is logged, so that open mailboxes and mail programs follow.

// mend runs fn as a change that knows nothing from before.
func (a *Account) mend(ctx context.Context, fn func(t *txn) error) error {
	var t txn
	commit, err := a.store.db.Update(ctx, a.part, func(tx kv.Txn) error {
		t = txn{Txn: tx, a: a, now: time.Now(), kept: new(kept)}
		kv.Spare(tx, leaveOut)
		if _, err := t.begin(nil, nil); err != nil {
			return err
		}
		if err := fn(&t); err != nil {
			return err
		}
		t.dirty = true // the head's stamp says to others that all is to be read anew
		return t.finish()
	})
	if err != nil {
		return err
	}
	_, err = t.settle(ctx, commit)
	return err
}

// mailboxRow reads a mailbox for a mend; nil if there is none, or none that
// can be read. What is logged for it is written.
func (t *txn) mailboxRow(id mail.MailboxID) (*box, error) {
	for _, m := range t.boxes {
		if m.ID == id {
			return m, nil
		}
	}
	got, err := t.Txn.GetMany([][]byte{appendBoxKey(nil, id)})
	if err != nil || got[0] == nil {
		return nil, err
	}
	m, err := decodeBox(id, got[0])
	if err != nil {
		return nil, nil // which is another finding
	}
	t.boxes = append(t.boxes, &m)
	return &m, nil
}

// dropKey removes a row.
func (a *Account) dropKey(key []byte) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error { t.Txn.Delete(key); return nil })
	}
}

// onBox changes the record of a mailbox.
func (a *Account) onBox(id mail.MailboxID, fn func(*txn, *box) error) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			m, err := t.mailboxRow(id)
			if err != nil || m == nil {
				return err
			}
			if err := fn(t, m); err != nil {
				return err
			}
			t.changeBox(MailboxChanged, m)
			return nil
		})
	}
}

func (a *Account) dropRole(id mail.MailboxID) func(context.Context) error {
	return a.onBox(id, func(_ *txn, m *box) error { m.Role = mail.RoleNone; return nil })
}

func (a *Account) resubscribe(id mail.MailboxID) func(context.Context) error {
	return a.onBox(id, func(t *txn, m *box) error {
		got, err := t.Txn.GetMany([][]byte{appendSubscriptionKey(nil, m.Name)})
		m.Subscribed = err == nil && got[0] != nil
		return err
	})
}

// names reads the mailboxes that can be read and live.
func (t *txn) names() (map[string]bool, error) {
	names := make(map[string]bool)
	for it, err := range t.Scan([]byte{keys.Mailbox}, []byte{keys.Mailbox + 1}, kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		if m, err := decodeBox(0, it.Value); err == nil && m.removed == 0 {
			names[m.Name] = true
		}
	}
	return names, nil
}

// freeName gives a name that nobody has, like one.
func freeName(names map[string]bool, like string) string {
	name := like
	for i := 2; names[name]; i++ {
		name = fmt.Sprintf("%s (%d)", like, i)
	}
	return name
}

func (a *Account) rename(id mail.MailboxID, name string) func(context.Context) error {
	return a.onBox(id, func(t *txn, m *box) error {
		names, err := t.names()
		if err == nil && m.Name == name {
			m.Name = freeName(names, name)
			got, e := t.Txn.GetMany([][]byte{appendSubscriptionKey(nil, m.Name)})
			m.Subscribed, err = e == nil && got[0] != nil, e
		}
		return err
	})
}

func (a *Account) addParent(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			names, err := t.names()
			if err != nil || names[name] {
				return err
			}
			got, err := t.Txn.GetMany([][]byte{appendSubscriptionKey(nil, name)})
			if err != nil {
				return err
			}
			m := t.head.newBox(name, mail.RoleNone)
			m.NoSelect, m.Subscribed = true, got[0] != nil
			t.boxes = append(t.boxes, m)
			t.changeBox(MailboxCreated, m)
			return nil
		})
	}
}

// rebuildBox makes a mailbox anew whose record is lost; it counts what it
// holds. Its UIDVALIDITY is new, since nobody knows its UIDNEXT.
func (a *Account) rebuildBox(id mail.MailboxID) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			old, err := t.mailboxRow(id)
			if err != nil || old != nil && (id != Inbox || old.removed == 0) {
				return err
			}
			names, err := t.names()
			if err != nil {
				return err
			}
			m := t.head.newBox(freeName(names, "Recovered "+id.String()), mail.RoleNone)
			t.head.mailbox = max(t.head.mailbox-1, id) // it has a number
			m.ID = id
			if int(id) <= len(defaultMailboxes) {
				if d := defaultMailboxes[id-1]; !names[d.name] {
					m.Name, m.Role = d.name, d.role
				}
			}
			got, err := t.Txn.GetMany([][]byte{appendSubscriptionKey(nil, m.Name)})
			if err != nil {
				return err
			}
			m.Subscribed = got[0] != nil
			t.boxes = slices.DeleteFunc(t.boxes, func(b *box) bool { return b.ID == id })
			t.boxes = append(t.boxes, m)
			t.changeBox(MailboxCreated, m)
			if err := t.countBox(m); err != nil {
				return err
			}
			return t.total()
		})
	}
}

// unremove brings back a mailbox that nobody has deleted.
func (a *Account) unremove(id mail.MailboxID) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			m, err := t.mailboxRow(id)
			if err != nil || m == nil || m.removed == 0 || plausible(m.removed, t.now) {
				return err
			}
			names, err := t.names()
			if err != nil {
				return err
			}
			m.Name, m.removed, m.thinned = freeName(names, m.Name), 0, false
			got, err := t.Txn.GetMany([][]byte{appendSubscriptionKey(nil, m.Name)})
			if err != nil {
				return err
			}
			m.Subscribed = got[0] != nil
			t.changeBox(MailboxCreated, m)
			if err := t.countBox(m); err != nil {
				return err
			}
			return t.total()
		})
	}
}

func (a *Account) putThread(e emailSpot) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			got, err := t.Txn.GetMany([][]byte{appendRecordKey(nil, e.id)})
			if err == nil && got[0] != nil {
				t.Put(appendThreadKey(nil, e.thread, e.id), []byte{rowFormat})
			}
			return err
		})
	}
}

func (a *Account) putKeyword(n int64) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			t.Put(appendKeywordKey(nil, n), append([]byte{rowFormat}, lostKeyword(n)...))
			return nil
		})
	}
}

// lowerKeywords has the account know as many keywords as there are.
func (a *Account) lowerKeywords(ctx context.Context) error {
	return a.mend(ctx, func(t *txn) error {
		t.head.keywords = 0
		return t.raise()
	})
}

// setRefs counts references again: so many as were found, and what has come
// and gone since the snapshot.
func (a *Account) setRefs(sum blob.Sum, where byte, said, n int64) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			key := appendRefsKey(nil, &sum)
			got, err := t.Txn.GetMany([][]byte{key})
			if err != nil {
				return err
			}
			now := n
			if said > 0 && got[0] != nil {
				if is, err := decodeRefs(got[0]); err == nil {
					now += is - said
				}
			}
			if where == bodyInline && now <= 1 {
				t.Delete(key)
				return nil
			}
			t.Put(key, binary.AppendUvarint([]byte{refsFormat}, uint64(max(now, 1))))
			return nil
		})
	}
}

// onEntry changes an entry that can be read.
func (a *Account) onEntry(at place, fn func(t *txn, m *box, r *row)) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			m, err := t.mailboxRow(at.Mailbox)
			if err != nil || m == nil {
				return err
			}
			got, err := t.Txn.GetMany([][]byte{appendEntryKey(nil, at.Mailbox, at.UID)})
			if err != nil || got[0] == nil {
				return err
			}
			r, err := looseRow(t, at.Mailbox, at.UID, got[0])
			if err != nil {
				return err
			}
			r.words = slices.Clone(r.words)
			fn(t, m, &r)
			r.ModSeq = t.modseq()
			t.Put(appendEntryKey(nil, at.Mailbox, at.UID), r.append(nil))
			t.log(itemChanged, m, []mail.UID{at.UID}, []mail.EmailID{r.Email})
			return nil
		})
	}
}

func (a *Account) dropWords(at place) func(context.Context) error {
	return a.onEntry(at, func(t *txn, _ *box, r *row) {
		r.words = appendWords(nil, slices.DeleteFunc(wordNumbers(r.words), func(n uint32) bool { return int64(n) >= t.head.keywords }))
	})
}

func (a *Account) resize(at place, size mail.ByteCount) func(context.Context) error {
	return a.onEntry(at, func(t *txn, m *box, r *row) {
		more := min(size, 1<<32-1) - mail.ByteCount(r.Size)
		r.Size = uint32(min(size, 1<<32-1))
		m.Size += more
		if m.removed != 0 {
			t.head.goneBytes += more
		} else {
			t.head.bytes += more
		}
	})
}

// dropEntry takes an entry out that cannot be read.
func (a *Account) dropEntry(at place) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			key := appendEntryKey(nil, at.Mailbox, at.UID)
			got, err := t.Txn.GetMany([][]byte{key})
			if err != nil || got[0] == nil {
				return err
			}
			if _, err := decodeRow(at.UID, got[0]); err == nil {
				return nil
			}
			t.Delete(key)
			m, err := t.mailboxRow(at.Mailbox)
			if err == nil && m != nil {
				t.log(itemVanished, m, []mail.UID{at.UID}, []mail.EmailID{0})
				if at.UID >= m.UIDNext {
					m.UIDNext = at.UID + 1
				}
			}
			return err
		})
	}
}

// place writes down where an email lies: in what the check has found and what
// is written down, as far as it is there. One that lies nowhere is put into
// the mailbox where it was appended.
func (a *Account) place(id mail.EmailID, found []spot, gone []goneSpot) func(context.Context) error {
	gone = slices.Clone(gone)
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			got, err := t.Txn.GetMany([][]byte{appendRecordKey(nil, id), appendPlacesKey(nil, id)})
			if err != nil || got[0] == nil {
				return err
			}
			r, err := decodeRecord(id, got[0])
			if err != nil {
				return err
			}
			at := make(map[place]bool)
			if p, err := decodePlaces(got[1], r.home); err == nil {
				for _, q := range p.at {
					at[q] = true
				}
			}
			for _, s := range found {
				at[s.at] = true
			}
			var p places
			for q := range at {
				got, err := t.Txn.GetMany([][]byte{appendEntryKey(nil, q.Mailbox, q.UID)})
				if err != nil {
					return err
				}
				if e, err := decodeRow(q.UID, got[0]); err == nil && e.Email == id {
					p.at = append(p.at, q)
				}
			}
			for _, g := range gone {
				got, err := t.Txn.GetMany([][]byte{g.key[:]})
				if err != nil {
					return err
				}
				if got[0] != nil {
					p.gone++
				}
			}
			if len(p.at) == 0 && p.gone == 0 {
				return t.putBack(id, &r, &p)
			}
			t.Put(appendPlacesKey(nil, id), p.append(nil))
			return nil
		})
	}
}

// putBack makes an entry for an email that lies nowhere.
func (t *txn) putBack(id mail.EmailID, r *record, p *places) error {
	m, err := t.mailboxRow(r.home.Mailbox)
	if err != nil {
		return err
	}
	if m == nil || m.removed != 0 || m.NoSelect {
		if m, err = t.mailboxRow(Inbox); err != nil {
			return err
		}
	}
	if m == nil {
		return fmt.Errorf("INBOX: %w", errCorrupt)
	}
	if m.UIDNext <= r.home.UID && m.ID == r.home.Mailbox {
		m.UIDNext = r.home.UID + 1
	}
	e := row{Entry: Entry{Size: uint32(min(r.size(), 1<<32-1)), Email: id, Internal: r.received}}
	p.gone = 0
	return t.comeBack(m, []row{e}, map[mail.EmailID]*places{id: p})
}

// dropRecord gives a record up that cannot be read. What named it is found
// next.
func (a *Account) dropRecord(id mail.EmailID) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			got, err := t.Txn.GetMany([][]byte{appendRecordKey(nil, id)})
			if err != nil || got[0] == nil {
				return err
			}
			if _, err := decodeRecord(id, got[0]); err == nil {
				return nil
			}
			t.dropRecord(id)
			return nil
		})
	}
}

func (t *txn) dropRecord(id mail.EmailID) {
	t.Delete(appendRecordKey(nil, id))
	t.Delete(appendPlacesKey(nil, id))
	lo := appendRestKey(nil, id, 0)
	t.Txn.DeleteRange(lo, kv.PrefixEnd(lo[:9]))
}

// reparse finds out about a message again.
func (a *Account) reparse(id mail.EmailID) func(context.Context) error {
	return func(ctx context.Context) error {
		r, err := a.findRecord(ctx, id)
		if err != nil || r == nil {
			return err
		}
		if _, err := a.heal(ctx, id, r); err != nil { // its size may be wrong as well
			return err
		}
		if r, err = a.findRecord(ctx, id); err != nil || r == nil {
			return err
		}
		if r.where == bodyInline && r.body > blob.Inline { // nothing that is so large is there
			return fmt.Errorf("message %v: %w", id, errCorrupt)
		}
		body, err := a.OpenMessage(ctx, id)
		if err != nil {
			return err
		}
		defer body.Close()
		m, err := message.Parse(io.NewSectionReader(body, int64(len(r.prefix)), int64(r.body)))
		if err != nil {
			return err
		}
		return a.mend(ctx, func(t *txn) error {
			got, err := t.Txn.GetMany([][]byte{appendRecordKey(nil, id)})
			if err != nil || got[0] == nil {
				return err
			}
			now, err := decodeRecord(id, got[0])
			if err != nil {
				return err
			}
			if now.sum != r.sum {
				return errors.New("the message is another one meanwhile")
			}
			lo := appendRestKey(nil, id, 0)
			t.Txn.DeleteRange(lo, kv.PrefixEnd(lo[:9]))
			now.prefix, now.rest = slices.Clone(headerOnly(now.prefix)), 0
			now.message = m.AppendBinary(nil)
			t.putRecord(id, &now)
			return nil
		})
	}
}

// headerOnly gives a prefix if it is made of header fields. Where the rest of a
// record is damaged it may be octets of something else, which would stand before
// the text.
func headerOnly(prefix []byte) []byte {
	name, _, colon := bytes.Cut(prefix, []byte(":"))
	odd := func(r rune) bool { return r <= ' ' || r >= 127 } // RFC 5322 §2.2
	if !colon || len(name) == 0 || bytes.ContainsFunc(name, odd) || !bytes.HasSuffix(prefix, []byte("\r\n")) {
		return nil
	}
	return prefix
}
