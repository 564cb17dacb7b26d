package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

// Copied tells where messages have come to: Dest[i] is the copy of Source[i].
// RFC 4315 §3
type Copied struct {
	UIDValidity  mail.UIDValidity
	Source, Dest []mail.UID
}

// Copy copies entries with their flags and dates, all or none. UIDs without
// an entry are ignored. RFC 9051 §6.4.7
func (a *Account) Copy(ctx context.Context, now time.Time, from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (Copied, error) {
	uids = sorted(uids)
	if len(uids) <= copyBatch {
		done, err := a.transfer(ctx, now, from, uids, to, transfer{})
		if !errors.Is(err, kv.ErrTooLarge) {
			return done, err
		}
	}
	return a.copyLarge(ctx, now, from, uids, to)
}

// Move moves entries: each is in exactly one of the mailboxes at any time.
// Beyond some thousands it goes by parts; what it gives with an error is what
// has been moved. RFC 6851 §3.3
func (a *Account) Move(ctx context.Context, now time.Time, from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (Copied, error) {
	var all Copied
	uids = sorted(uids)
	if len(uids) == 0 {
		return a.transfer(ctx, now, from, nil, to, transfer{move: true})
	}
	err := batches(uids, expungeBatch, func(uids []mail.UID) error {
		done, err := a.transfer(ctx, now, from, uids, to, transfer{move: true})
		all.add(done)
		return err
	})
	return all, err
}

func (c *Copied) add(d Copied) {
	if d.UIDValidity != 0 {
		c.UIDValidity = d.UIDValidity
	}
	c.Source, c.Dest = append(c.Source, d.Source...), append(c.Dest, d.Dest...)
}

// A transfer says what one transaction of Copy or Move does besides.
type transfer struct {
	move bool
	part uint32 // of a copy in several transactions: its number
}

// transfer copies or moves in one transaction.
func (a *Account) transfer(ctx context.Context, now time.Time, from mail.MailboxID, uids []mail.UID, to mail.MailboxID, o transfer) (Copied, error) {
	var done Copied
	_, err := a.change(ctx, now, addBox([]mail.MailboxID{from}, to), nil, func(t *txn, _ [][]byte) (err error) {
		if done, err = t.transfer(from, uids, to, o.move); err != nil || o.part == 0 {
			return err
		}
		return t.goOn(o.part, done.Dest)
	})
	if err != nil {
		return Copied{}, err
	}
	return done, nil
}

func (t *txn) transfer(from mail.MailboxID, uids []mail.UID, to mail.MailboxID, move bool) (Copied, error) {
	src, err := t.box(from)
	if err != nil {
		return Copied{}, err
	}
	dst, err := t.box(to)
	if err != nil {
		return Copied{}, err
	}
	done := Copied{UIDValidity: dst.UIDValidity}
	rows, err := readRows(t, src, uids)
	if err != nil || len(rows) == 0 {
		return done, err
	}
	if uint64(dst.UIDNext)+uint64(len(rows)) > math.MaxUint32 {
		return done, fmt.Errorf("UIDs of mailbox %v: %w", to, ErrTooMany)
	}
	if !move {
		if err := t.checkQuota(rows); err != nil {
			return done, err
		}
	}
	spots, err := t.readPlaces(rows, from)
	if err != nil {
		return done, err
	}
	dstEffect, srcEffect := t.effect(dst), (*effect)(nil)
	if move {
		srcEffect = t.effect(src)
		dstEffect = t.effect(dst) // the list may have moved
	}
	done.Source = make([]mail.UID, 0, len(rows))
	done.Dest = make([]mail.UID, 0, len(rows))
	emails := make([]mail.EmailID, 0, len(rows))
	var key [9]byte
	for i := range rows {
		r, p := &rows[i], spots[rows[i].Email]
		old := r.UID
		if move {
			t.Delete(appendEntryKey(key[:0], from, old))
			t.countOut(src, r)
			p.remove(place{from, old})
		}
		r.UID, r.ModSeq, r.Saved = dst.UIDNext, t.modseq(), savedAt(t.now)
		dst.UIDNext++
		if len(p.at) >= maxPlaces {
			return done, fmt.Errorf("copies of message %v: %w", r.Email, ErrTooMany)
		}
		p.at = append(p.at, place{to, r.UID})
		t.scratch = r.append(t.scratch[:0])
		t.Put(appendEntryKey(key[:0], to, r.UID), t.scratch)
		t.countIn(dst, r)
		done.Source, done.Dest = append(done.Source, old), append(done.Dest, r.UID)
		emails = append(emails, r.Email)
		if dstEffect != nil {
			dstEffect.upserts = append(dstEffect.upserts, t.seen(r))
		}
	}
	t.putPlaces(spots)
	if move {
		t.log(itemVanished, src, done.Source, emails)
		if srcEffect != nil {
			srcEffect.vanished = append(srcEffect.vanished, done.Source...)
		}
	}
	t.log(itemCreated, dst, slices.Clone(done.Dest), slices.Clone(emails))
	return done, nil
}

func (t *txn) checkQuota(rows []row) error {
	more := mail.ByteCount(0)
	for i := range rows {
		more += mail.ByteCount(rows[i].Size)
	}
	if !t.a.store.fits(&t.head, more, len(rows)) {
		return ErrOverQuota
	}
	return nil
}

// readPlaces reads the places of the emails of entries.
func (t *txn) readPlaces(rows []row, mbox mail.MailboxID) (map[mail.EmailID]*places, error) {
	want := make([][]byte, len(rows))
	buf := make([]byte, 0, 9*len(rows))
	for i := range rows {
		buf = appendPlacesKey(buf, rows[i].Email)
		want[i] = buf[len(buf)-9 : len(buf) : len(buf)]
	}
	got, err := t.GetMany(want)
	if err != nil {
		return nil, err
	}
	all := make(map[mail.EmailID]*places, len(rows))
	for i, b := range got {
		if all[rows[i].Email] != nil {
			continue
		}
		// Without a row the email has one place: that of the entry.
		p, err := decodePlaces(b, place{mbox, rows[i].UID})
		if err != nil {
			return nil, err
		}
		all[rows[i].Email] = &p
	}
	return all, nil
}

func (t *txn) putPlaces(all map[mail.EmailID]*places) {
	var key [9]byte
	for id, p := range all {
		t.scratch = p.append(t.scratch[:0])
		t.Put(appendPlacesKey(key[:0], id), t.scratch)
	}
}
