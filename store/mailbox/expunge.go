package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// An expunged entry is out of sight, but its row stays, under the time when
// it went, until it is purged. So the email stays too.

func appendGoneKey(dst []byte, second int64, id mail.MailboxID, uid mail.UID) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keys.Gone), uint64(max(second, 0)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(id))
	return binary.BigEndian.AppendUint32(dst, uint32(uid))
}

// A goneEntry is the row of an expunged entry.
type goneEntry struct {
	key    []byte
	second int64
	id     mail.MailboxID
	row    row
}

func decodeGone(it kv.Item) (goneEntry, error) {
	if len(it.Key) != 17 {
		return goneEntry{}, fmt.Errorf("key of an expunged entry: %w", errCorrupt)
	}
	g := goneEntry{
		key:    append([]byte(nil), it.Key...),
		second: int64(binary.BigEndian.Uint64(it.Key[1:])),
		id:     mail.MailboxID(binary.BigEndian.Uint32(it.Key[9:])),
	}
	var err error
	g.row, err = decodeRow(mail.UID(binary.BigEndian.Uint32(it.Key[13:])), append([]byte(nil), it.Value...))
	return g, err
}

// ExpungeOptions say what Expunge is to spare.
type ExpungeOptions struct {
	OnlyDeleted bool // only entries with the flag Deleted, as EXPUNGE and UID EXPUNGE
}

// Expunge removes entries. It gives the UIDs that are gone, and the modseq of
// the last change (zero if there was none). Beyond some thousands it goes by
// parts. They can be recovered for the Store's window. RFC 9051 §6.4.3
func (a *Account) Expunge(ctx context.Context, mbox mail.MailboxID, uids []mail.UID, o ExpungeOptions) ([]mail.UID, mail.ModSeq, error) {
	var gone []mail.UID
	var last mail.ModSeq
	now := time.Now()
	full := false
	err := batches(sorted(uids), expungeBatch, func(uids []mail.UID) error {
		var part []mail.UID
		m, err := a.change(ctx, now, []mail.MailboxID{mbox}, nil, func(t *txn, _ [][]byte) error {
			part = part[:0]
			m, err := t.box(mbox)
			if err != nil {
				return err
			}
			rows, err := readRows(t, m, uids)
			if err != nil {
				return err
			}
			if o.OnlyDeleted {
				kept := rows[:0]
				for _, r := range rows {
					if r.Flags.Has(mail.Deleted) {
						kept = append(kept, r)
					}
				}
				rows = kept
			}
			for i := range rows {
				part = append(part, rows[i].UID)
			}
			if err := t.takeOut(m, rows, true); err != nil {
				return err
			}
			full = t.head.goneBytes > a.store.recoverable(&t.head)
			return nil
		})
		if err != nil {
			return err
		}
		if len(part) > 0 {
			last = m
		}
		gone = append(gone, part...)
		return nil
	})
	if full {
		a.makeRoom(ctx, now, len(gone))
	}
	return gone, last, err
}

// makeRoom purges some more than has been expunged: whoever fills the room for
// what can be recovered makes space in it.
func (a *Account) makeRoom(ctx context.Context, now time.Time, expunged int) {
	if _, err := a.Purge(ctx, now, 2*expunged+16); err != nil && ctx.Err() == nil {
		a.store.log.Error("no room made for what can be recovered", obs.Account, a.id, obs.Err, err)
	}
}

// takeOut removes entries of a mailbox. Their rows are kept to be recovered,
// or, unless keep is set, only those of emails that lie nowhere else.
func (t *txn) takeOut(m *box, rows []row, keep bool) error {
	if len(rows) == 0 {
		return nil
	}
	spots, err := t.readPlaces(rows, m.ID)
	if err != nil {
		return err
	}
	uids := make([]mail.UID, 0, len(rows))
	emails := make([]mail.EmailID, 0, len(rows))
	var key [17]byte
	for i := range rows {
		r, p := &rows[i], spots[rows[i].Email]
		t.Delete(appendEntryKey(key[:0], m.ID, r.UID))
		p.remove(place{m.ID, r.UID})
		t.countOut(m, r)
		if keep || len(p.at) == 0 && p.gone == 0 {
			p.gone++
			t.head.goneBytes += mail.ByteCount(r.Size)
			t.scratch = r.append(t.scratch[:0])
			t.Put(appendGoneKey(key[:0], t.now.Unix(), m.ID, r.UID), t.scratch)
		}
		uids, emails = append(uids, r.UID), append(emails, r.Email)
	}
	t.putPlaces(spots)
	t.log(itemVanished, m, uids, emails)
	if ef := t.effect(m); ef != nil {
		ef.vanished = append(ef.vanished, uids...)
	}
	return nil
}

// readUIDs lists the UIDs of a mailbox.
func readUIDs(r kv.Reader, id mail.MailboxID) ([]mail.UID, error) {
	var list []mail.UID
	lo := appendEntryKey(nil, id, 0)
	for it, err := range r.Scan(lo, kv.PrefixEnd(lo[:5]), kv.ScanOptions{KeysOnly: true}) {
		if err != nil {
			return nil, err
		}
		if len(it.Key) != 9 {
			return nil, fmt.Errorf("key of an entry: %w", errCorrupt)
		}
		list = append(list, mail.UID(binary.BigEndian.Uint32(it.Key[5:])))
	}
	return list, nil
}
