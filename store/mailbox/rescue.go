package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// DamagedName is the mailbox for what repairing has found or could not save:
// texts that no message knew, and reports of messages without their text.
const DamagedName = "Damaged"

// damagedBox gives that mailbox.
func (a *Account) damagedBox(ctx context.Context) (Info, error) {
	m, err := a.Mailbox(ctx, DamagedName)
	if errors.Is(err, ErrNoMailbox) {
		m, err = a.createMailbox(ctx, DamagedName, CreateOptions{}, true)
	}
	return m, err
}

// keepDamaged puts a message into it, once for each token that is not empty. No
// limit stands in the way: what is saved there was in the account before.
func (a *Account) keepDamaged(ctx context.Context, b *blob.Staged, internal time.Time, token string) error {
	if err := b.Finish(); err != nil {
		return err
	}
	m, err := a.damagedBox(ctx)
	if err != nil {
		return err
	}
	if token != "" {
		token = "damaged " + token
	}
	entries := []NewEntry{{Mailbox: m.ID, Body: b, Internal: internal, Token: token}}
	_, err = a.appendAnd(ctx, time.Now(), entries, &appendWith{before: func(t *txn) error { t.unlimited = true; return nil }})
	return err
}

// findRecord reads a record; nil if there is none that can be read.
func (a *Account) findRecord(ctx context.Context, id mail.EmailID) (*record, error) {
	var found *record
	err := a.store.db.View(ctx, a.part, func(kr kv.Reader) error {
		kv.Spare(kr, leaveOut)
		got, err := kr.GetMany([][]byte{appendRecordKey(nil, id)})
		if err != nil || got[0] == nil {
			return err
		}
		r, err := decodeRecord(id, slices.Clone(got[0]))
		if err == nil {
			found = &r
			if whole, err := r.complete(kr, id); err == nil {
				r.message, r.rest = slices.Clone(whole), 0
			}
		}
		return nil
	})
	return found, err
}

// giveUp takes a message out that cannot be read any longer, after putting a
// report of it into DamagedName: with what is known of it, and what is left of
// its text. If that is all of it the message stays.
func (a *Account) giveUp(id mail.EmailID, found []spot, gone []goneSpot, why string) func(context.Context) error {
	return func(ctx context.Context) error {
		r, err := a.findRecord(ctx, id)
		if err != nil {
			return err
		}
		if r != nil {
			if whole, err := a.heal(ctx, id, r); whole || err != nil {
				return err
			}
		}
		if len(found) > 0 {
			if err := a.report(ctx, id, r, found, why); err != nil {
				return err
			}
		}
		return a.mend(ctx, func(t *txn) error { return t.takeAway(id, r, found, gone) })
	}
}

// heal puts right what is said about a text of which every octet is there,
// also where it is: in the engine or in the blob store.
func (a *Account) heal(ctx context.Context, id mail.EmailID, r *record) (whole bool, err error) {
	left, err := a.readChunks(ctx, r.sum)
	if err != nil {
		return false, err
	}
	where, size := r.where, mail.ByteCount(len(left))
	inline := size <= blob.Inline && sha256.Sum256(left) == r.sum
	if where == bodyBlob || !inline {
		n, there := a.wholeBlob(ctx, r.sum)
		switch {
		case there:
			where, size = bodyBlob, n
		case inline:
			where = bodyInline
		default:
			return false, ctx.Err()
		}
	}
	return true, a.mend(ctx, func(t *txn) error {
		got, err := t.Txn.GetMany([][]byte{appendRecordKey(nil, id), appendRefsKey(nil, &r.sum)})
		if err != nil || got[0] == nil {
			return err
		}
		now, err := decodeRecord(id, got[0])
		if err != nil || now.sum != r.sum || now.where != r.where {
			return err
		}
		if where == bodyInline {
			t.dropChunks(r.sum)
			t.putChunks(&r.sum, left)
		} else if got[1] == nil { // else it could be swept away before it is counted
			t.Put(appendRefsKey(nil, &r.sum), binary.AppendUvarint([]byte{refsFormat}, 1))
		}
		if now.body == size && now.where == where {
			return nil
		}
		now.message, err = now.complete(t, id)
		if err != nil && !errors.Is(err, errCorrupt) { // what is corrupt is found out again: see reparse
			return err
		}
		now.prefix, now.message, now.rest = slices.Clone(now.prefix), slices.Clone(now.message), 0
		now.body, now.where = size, where
		lo := appendRestKey(nil, id, 0)
		t.Txn.DeleteRange(lo, kv.PrefixEnd(lo[:9]))
		t.putRecord(id, &now)
		return nil
	})
}

// wholeBlob tells whether the blob store has every octet of a body, and how
// many.
func (a *Account) wholeBlob(ctx context.Context, sum blob.Sum) (mail.ByteCount, bool) {
	b, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: sum})
	if err != nil {
		return 0, false
	}
	defer b.Close()
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(b, 0, int64(b.Size())))
	return b.Size(), err == nil && blob.Sum(h.Sum(nil)) == sum
}

// report writes the report of a message.
func (a *Account) report(ctx context.Context, id mail.EmailID, r *record, found []spot, why string) error {
	var where []string
	var internal time.Time
	err := a.view(ctx, func(kr kv.Reader, _ *head) error {
		where = where[:0]
		kv.Spare(kr, leaveOut)
		for _, s := range found[:min(len(found), 10)] {
			got, err := kr.GetMany([][]byte{appendBoxKey(nil, s.at.Mailbox), appendEntryKey(nil, s.at.Mailbox, s.at.UID)})
			if err != nil {
				return err
			}
			name := s.at.Mailbox.String()
			if m, err := decodeBox(s.at.Mailbox, got[0]); err == nil {
				name = m.Name
			}
			if e, err := decodeRow(s.at.UID, got[1]); err == nil { // no sheet says another date
				internal = e.InternalDate()
			}
			where = append(where, fmt.Sprintf("message %d of %s", s.at.UID, name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("A message in this account cannot be read any longer: %s.\r\n\r\nIt was %s (%v), and arrived %s.\r\nWhat is known of it stands above; what is left of its text is attached.\r\n",
		why, strings.Join(where, ", "), id, internal.Format(time.RFC1123Z))
	parts := []*message.Builder{message.NewText("plain", text)}
	rest, end := a.remains(ctx, r)
	defer end()
	if rest != nil {
		parts = append(parts, message.NewBinary("application/octet-stream", rest).SetDisposition("attachment", "damaged-message.eml"))
	}
	top := message.NewMultipart("mixed", parts...)
	subject := fmt.Sprintf("message %v", id)
	if r != nil {
		if m, err := message.Decode(r.message); err == nil {
			subject = message.DecodeHeader(m.Envelope.Subject)
			top.AddAddresses("From", m.Envelope.From...)
			top.AddAddresses("To", m.Envelope.To...)
			if !m.Date.IsZero() {
				top.AddDate("Date", m.Date)
			}
		}
	}
	top.AddText("Subject", "[damaged] "+subject)
	b := blob.Stage(ctx, a.store.blobs)
	defer b.Close()
	if _, err := top.WriteTo(b); err != nil {
		return err
	}
	return a.keepDamaged(ctx, b, internal, fmt.Sprint(id, " ", found[0].at))
}

// remains gives what there is of a body, nil if nothing.
func (a *Account) remains(ctx context.Context, r *record) (io.Reader, func()) {
	none := func() {}
	if r == nil {
		return nil, none
	}
	if r.where == bodyBlob {
		b, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: r.sum})
		if err != nil {
			return nil, none
		}
		return untilDamage{b}, func() { b.Close() }
	}
	left, err := a.readChunks(ctx, r.sum)
	if err != nil || len(left) == 0 {
		return nil, none
	}
	return bytes.NewReader(append(slices.Clone(r.prefix), left...)), none
}

// untilDamage ends where a body is found to be damaged: in the end at the latest,
// where its sum is compared.
type untilDamage struct{ r io.Reader }

func (u untilDamage) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if errors.Is(err, blob.ErrCorrupt) {
		err = io.EOF
	}
	return n, err
}

// leaveOut is for who makes do with what can be read; see kv.Spare.
func leaveOut([]byte, error) {}

// readChunks reads what there is of a small body.
func (a *Account) readChunks(ctx context.Context, sum blob.Sum) ([]byte, error) {
	var left []byte
	err := a.store.db.View(ctx, a.part, func(kr kv.Reader) error {
		left = nil
		kv.Spare(kr, leaveOut)
		lo := appendBodyKey(nil, &sum, 0)[:33]
		for it, err := range kr.Scan(lo, kv.PrefixEnd(lo), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(it.Value) > 0 {
				left = append(left, it.Value[1:]...)
			}
		}
		return nil
	})
	return left, err
}

// takeAway removes an email with its entries and its body, which is of no use.
func (t *txn) takeAway(id mail.EmailID, r *record, found []spot, gone []goneSpot) error {
	for _, s := range found {
		key := appendEntryKey(nil, s.at.Mailbox, s.at.UID)
		got, err := t.Txn.GetMany([][]byte{key})
		if err != nil {
			return err
		}
		e, err := looseRow(t, s.at.Mailbox, s.at.UID, got[0])
		if err != nil || e.Email != id {
			continue
		}
		t.Delete(key)
		m, err := t.mailboxRow(s.at.Mailbox)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if m.removed != 0 {
			m.count(&e.Entry, -1)
			m.thinned = true
			t.head.goneBytes -= mail.ByteCount(e.Size)
			m.HighestModSeq = t.modseq()
			continue
		}
		t.countOut(m, &e)
		t.log(itemVanished, m, []mail.UID{e.UID}, []mail.EmailID{id})
	}
	for _, g := range gone {
		got, err := t.Txn.GetMany([][]byte{g.key[:]})
		if err != nil {
			return err
		}
		if e, err := decodeRow(0, got[0]); err == nil {
			t.head.goneBytes -= mail.ByteCount(e.Size)
			t.Delete(g.key[:])
		}
	}
	t.dropRecord(id)
	if r == nil {
		return nil
	}
	if r.thread != mail.ThreadID(id) {
		t.Delete(appendThreadKey(nil, r.thread, id))
	}
	got, err := t.Txn.GetMany([][]byte{appendRefsKey(nil, &r.sum)})
	if err != nil {
		return err
	}
	if n, err := decodeRefs(got[0]); err == nil && n > 1 {
		return nil // others have it; if it is of no use to them either it is found next
	}
	if r.where == bodyInline {
		t.dropBody(r.sum)
	} else { // what is in the engine under its sum may be another's
		t.Delete(appendRefsKey(nil, &r.sum))
		t.Put(appendReleaseKey(nil, &r.sum), release{since: t.now.Unix()}.encode())
	}
	return nil
}

func (t *txn) dropBody(sum blob.Sum) {
	t.dropChunks(sum)
	t.Delete(appendRefsKey(nil, &sum))
}

func (t *txn) dropChunks(sum blob.Sum) {
	lo := appendBodyKey(nil, &sum, 0)[:33]
	t.Txn.DeleteRange(lo, kv.PrefixEnd(lo))
}

// rescueBody puts a text that belongs to no message into DamagedName.
func (a *Account) rescueBody(sum blob.Sum) func(context.Context) error {
	return func(ctx context.Context) error {
		left, err := a.readChunks(ctx, sum)
		if err != nil {
			return err
		}
		b, err := blob.StageBytes(ctx, a.store.blobs, left)
		if err != nil {
			return err
		}
		defer b.Close()
		whole := b.Sum() == sum && b.IsInline()
		if len(left) > 0 {
			token := fmt.Sprint(sum, " ", b.Sum())
			if whole { // it belongs to that message then, however often there was one before
				token = ""
				err := a.mend(ctx, func(t *txn) error { t.dropChunks(sum); t.putChunks(&sum, left); return nil })
				if err != nil {
					return err
				}
			}
			if err := a.keepDamaged(ctx, b, time.Time{}, token); err != nil {
				return err
			}
		}
		if len(left) > 0 && whole {
			return nil
		}
		return a.mend(ctx, func(t *txn) error { t.dropBody(sum); return nil })
	}
}

// rescueRefs does so for a large one, of which there are references alone.
func (a *Account) rescueRefs(sum blob.Sum) func(context.Context) error {
	return func(ctx context.Context) error {
		drop := func() error {
			return a.mend(ctx, func(t *txn) error { t.Delete(appendRefsKey(nil, &sum)); return nil })
		}
		from, err := a.store.blobs.Open(ctx, blob.Key{Owner: a.id, Sum: sum})
		if errors.Is(err, blob.ErrNotFound) {
			return drop()
		}
		if err != nil {
			return err
		}
		defer from.Close()
		b := blob.Stage(ctx, a.store.blobs)
		defer b.Close()
		if _, err := io.Copy(b, io.NewSectionReader(from, 0, int64(from.Size()))); err != nil {
			return err
		}
		if err := b.Finish(); err != nil {
			return err
		}
		if err := drop(); err != nil { // the message counts anew; if that fails the sweep is a day away
			return err
		}
		return a.keepDamaged(ctx, b, time.Time{}, sum.String())
	}
}
