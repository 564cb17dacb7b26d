package mailbox

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"
	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// What mends what is counted: of a mailbox, of the account, and the account's own
// record.

// countBox counts what a mailbox holds, and raises what must be above it.
func (t *txn) countBox(m *box) error {
	m.Messages, m.Unseen, m.Deleted, m.Size = 0, 0, 0, 0
	over, err := looseSheets(t, m.ID, 0, math.MaxUint32)
	if err != nil {
		return err
	}
	m.sheets = len(over.list) > 0
	lo := appendEntryKey(nil, m.ID, 0)
	for it, err := range t.Scan(lo, kv.PrefixEnd(lo[:5]), kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if len(it.Key) != 9 {
			continue
		}
		uid := mail.UID(binary.BigEndian.Uint32(it.Key[5:]))
		if uid >= m.UIDNext {
			m.UIDNext = uid + 1
		}
		r, err := decodeRow(uid, it.Value)
		if err != nil || over.lay(&r) != nil {
			continue
		}
		m.count(&r.Entry, 1)
		t.head.modseq = max(t.head.modseq, r.ModSeq)
	}
	return nil
}

func (a *Account) recount(id mail.MailboxID) func(context.Context) error {
	return a.onBox(id, func(t *txn, m *box) error {
		before := t.head.modseq
		if err := t.countBox(m); err != nil {
			return err
		}
		if t.head.modseq > before { // rows from the future: the log cannot tell of them
			t.Txn.DeleteRange([]byte{keys.Change}, []byte{keys.Change + 1})
			t.head.forgotten = t.head.modseq
		}
		if m.removed == 0 {
			return t.total()
		}
		m.HighestModSeq = t.modseq()
		return t.total()
	})
}

// total adds up the account from its mailboxes and what is expunged.
func (t *txn) total() error {
	h := &t.head
	h.bytes, h.messages, h.goneBytes, h.boxes, h.pending, h.notes = 0, 0, 0, 0, 0, 0
	add := func(m *box) {
		if m.removed != 0 {
			h.goneBytes += m.Size
			return
		}
		h.boxes++
		h.bytes += m.Size
		h.messages += int64(m.Messages)
	}
	for _, m := range t.boxes { // as they will be
		add(m)
	}
	for it, err := range t.Scan([]byte{keys.Mailbox}, []byte{keys.Mailbox + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		m, err := decodeBox(mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])), it.Value)
		if err == nil && !slices.ContainsFunc(t.boxes, func(b *box) bool { return b.ID == m.ID }) {
			add(&m)
		}
	}
	for it, err := range t.Scan([]byte{keys.Gone}, []byte{keys.Gone + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if g, err := decodeGone(it); err == nil {
			h.goneBytes += mail.ByteCount(g.row.Size)
		}
	}
	for it, err := range t.Scan([]byte{keys.Pending}, []byte{keys.Pending + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if _, err := decodeMark(it.Value); err == nil {
			h.pending++
		}
	}
	for it, err := range t.Scan([]byte{keys.Annotation}, []byte{keys.Annotation + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		h.notes += mail.ByteCount(len(it.Value))
	}
	return nil
}

func (a *Account) recountAll(ctx context.Context) error { return a.mend(ctx, (*txn).total) }

// raiseHead raises what the account has given to what there is.
func (t *txn) raise() error {
	h := &t.head
	for it, err := range t.Scan([]byte{keys.Mailbox}, []byte{keys.Mailbox + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		id := mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:]))
		h.mailbox = max(h.mailbox, id)
		if m, err := decodeBox(id, it.Value); err == nil {
			h.validity = max(h.validity, m.UIDValidity)
			h.modseq = max(h.modseq, m.HighestModSeq)
		}
	}
	for _, last := range []struct {
		prefix byte
		is     func(key []byte)
	}{
		{keys.Message, func(k []byte) { h.email = max(h.email, mail.EmailID(binary.BigEndian.Uint64(k[1:]))) }},
		{keys.Keyword, func(k []byte) { h.keywords = max(h.keywords, int64(binary.BigEndian.Uint32(k[1:]))+1) }},
		{keys.Change, func(k []byte) { h.modseq = max(h.modseq, mail.ModSeq(binary.BigEndian.Uint64(k[1:]))) }},
	} {
		for it, err := range t.Scan([]byte{last.prefix}, []byte{last.prefix + 1}, kv.ScanOptions{KeysOnly: true, Reverse: true, Limit: 1}) {
			if err != nil {
				return err
			}
			if len(it.Key) >= 5 && (last.prefix == keys.Keyword || len(it.Key) >= 9) {
				last.is(it.Key)
			}
		}
	}
	return nil
}

func (a *Account) raiseHead(ctx context.Context) error {
	return a.mend(ctx, func(t *txn) error {
		before := t.head.modseq
		if err := t.raise(); err != nil {
			return err
		}
		if t.head.modseq != before {
			return t.cut()
		}
		return nil
	})
}

// cut forgets all changes. The log begins anew with one of now, which says how
// far back it goes.
func (t *txn) cut() error {
	t.Txn.DeleteRange([]byte{keys.Change}, []byte{keys.Change + 1})
	t.head.forgotten = t.head.modseq
	m, err := t.mailboxRow(Inbox)
	if err == nil && m != nil {
		t.changeBox(MailboxChanged, m)
	}
	return err
}

func (a *Account) cutLog(ctx context.Context) error {
	return a.mend(ctx, func(t *txn) error {
		if err := t.raise(); err != nil {
			return err
		}
		return t.cut()
	})
}

// rebuildHead makes the account's record anew from all that there is.
func (a *Account) rebuildHead(ctx context.Context) error {
	commit, err := a.store.db.Update(ctx, a.part, func(tx kv.Txn) error {
		t := txn{Txn: tx, a: a, now: time.Now(), kept: new(kept)}
		t.head.deletions = t.now.Unix() // not one that anybody remembers
		t.head.validity = mail.UIDValidity(t.now.Unix())
		if err := t.raise(); err != nil {
			return err
		}
		for it, err := range t.Scan([]byte{keys.Entry}, []byte{keys.Entry + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if r, err := decodeRow(0, it.Value); err == nil {
				t.head.modseq = max(t.head.modseq, r.ModSeq)
				t.head.email = max(t.head.email, r.Email)
			}
		}
		if err := t.raiseSheets(); err != nil {
			return err
		}
		t.head.modseq++
		t.head.names = t.head.modseq
		if err := t.cut(); err != nil {
			return err
		}
		if err := t.total(); err != nil {
			return err
		}
		t.dirty = true
		return t.finish()
	})
	if err != nil {
		return err
	}
	return commit.Wait(ctx)
}
