package mailbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// After an older state of an account has been brought back, the numbers that it
// would give next have been given before, to other messages, and mail programs
// remember those. So it gets numbers that nobody has seen.

// renewRate is how many changes, and how many emails, an account has in a second
// at most, over the years. Numbers begin anew with the time that they are
// renewed at, times this; so they are above those of any earlier life, also
// when the same state is brought back twice. They stay below 2^53 (JSON).
const renewRate = 1 << 16

// renewBoxes is how many mailboxes are renewed in one transaction.
const renewBoxes = 1000

// Renew gives an account that has been brought back numbers that it has never
// had: each mailbox another UIDVALIDITY (RFC 9051 §2.3.1.1), and modseqs, emails
// and mailboxes to come higher ones than any before. The log of changes begins
// anew, so that nobody is told of changes since a state that is no more. No
// Store may be open on db. What has no record that can be read stays as it is:
// mending gives it numbers.
func Renew(ctx context.Context, db kv.Store, id mail.AccountID, now time.Time) error {
	part := keys.Account(id)
	var boxes []*box
	var validity mail.UIDValidity
	var modseq mail.ModSeq
	err := kv.Apply(ctx, db, part, func(tx kv.Txn) error {
		got, err := tx.GetMany([][]byte{headKey})
		if err != nil || got[0] == nil {
			return err
		}
		h, err := decodeHead(got[0])
		if err != nil {
			return nil
		}
		if boxes, err = readableBoxes(tx); err != nil {
			return err
		}
		validity = h.renew(now, len(boxes))
		modseq = h.modseq
		items := make([]item, 0, len(boxes))
		for _, m := range boxes {
			if m.removed == 0 {
				items = append(items, item{kind: byte(MailboxChanged), mailbox: m.ID})
			}
		}
		tx.DeleteRange([]byte{keys.Change}, []byte{keys.Change + 1})
		if err := putChange(tx, nil, h.modseq, now, items); err != nil {
			return err
		}
		tx.Put(headKey, h.append(nil))
		return nil
	})
	if err != nil {
		return fmt.Errorf("new numbers for account %v: %w", id, err)
	}
	for some := range slices.Chunk(boxes, renewBoxes) {
		first := validity
		err := kv.Apply(ctx, db, part, func(tx kv.Txn) error {
			validity = first
			for _, m := range some {
				validity++
				m.UIDValidity, m.HighestModSeq = validity, modseq
				tx.Put(appendBoxKey(nil, m.ID), m.append(nil))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("new numbers for the mailboxes of account %v: %w", id, err)
		}
	}
	return nil
}

// readableBoxes reads all mailboxes but for damaged records.
func readableBoxes(r kv.Reader) ([]*box, error) {
	var list []*box
	for it, err := range r.Scan([]byte{keys.Mailbox}, []byte{keys.Mailbox + 1}, kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		if len(it.Key) != 5 {
			continue
		}
		if m, err := decodeBox(boxOfKey(it.Key), it.Value); err == nil {
			list = append(list, &m)
		}
	}
	return list, nil
}

// renew raises what the head gives out, and gives the UIDVALIDITY after which
// those of so many mailboxes follow.
func (h *head) renew(now time.Time, boxes int) mail.UIDValidity {
	since := uint64(max(now.Unix(), 1))
	h.forgotten = max(h.modseq, mail.ModSeq(since*renewRate))
	h.modseq = h.forgotten + 1
	h.names = h.modseq
	h.email = max(h.email, mail.EmailID(since*renewRate))
	// These are few enough to take less than one in a second.
	seconds := uint32(min(since, math.MaxUint32/2))
	h.mailbox = max(h.mailbox, mail.MailboxID(seconds))
	first := max(h.validity, mail.UIDValidity(seconds))
	if uint64(first)+uint64(boxes) > math.MaxUint32 { // of a record without sense
		first = mail.UIDValidity(seconds)
	}
	h.validity = first + mail.UIDValidity(boxes)
	var stamp [8]byte
	_, _ = rand.Read(stamp[:]) // never fails
	h.stamp = binary.LittleEndian.Uint64(stamp[:])
	return first
}
