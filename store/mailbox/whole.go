package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Reading many messages one after the other, as whoever searches them or
// builds an index of them does.

// LastEmail gives the highest number that an email of the account has had.
// Emails that come later get higher ones.
func (a *Account) LastEmail(ctx context.Context) (mail.EmailID, error) {
	h, err := a.head(ctx)
	return h.email, err
}

// Emails lists up to limit of the account's emails from a number on, in order,
// wherever they lie: also those that are gone but not purged.
func (a *Account) Emails(ctx context.Context, from mail.EmailID, limit int) ([]mail.EmailID, error) {
	var list []mail.EmailID
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		list = list[:0]
		for it, err := range r.Scan(appendRecordKey(nil, from), []byte{keys.Message + 1}, kv.ScanOptions{Limit: limit, KeysOnly: true}) {
			if err != nil {
				return err
			}
			if len(it.Key) != 9 {
				return fmt.Errorf("key of a message: %w", errCorrupt)
			}
			list = append(list, mail.EmailID(binary.BigEndian.Uint64(it.Key[1:])))
		}
		return nil
	})
	return list, err
}

// Sum gives the hash of an email's body, and whether there is such an email.
// It tells two emails apart that have had the same number in two lives of an
// account.
func (a *Account) Sum(ctx context.Context, id mail.EmailID) (sum blob.Sum, there bool, err error) {
	err = a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany([][]byte{appendRecordKey(nil, id)})
		if err != nil || got[0] == nil {
			return err
		}
		record, err := decodeRecord(id, got[0])
		sum, there = record.sum, true
		return err
	})
	return sum, there, err
}

// A Whole is an email with what is known of it.
type Whole struct {
	*Facts        // nil: there is no such email, or it cannot be read
	Text   []byte // prefix and body as one; nil for those that OpenMessage opens
	Err    error  // why it cannot be read
}

// ReadWhole reads emails with what is known of them, in two round trips for
// all. Where that is very much it gives the first of them only, one at least.
func (a *Account) ReadWhole(ctx context.Context, ids []mail.EmailID) ([]Whole, error) {
	var list []Whole
	if len(ids) == 0 {
		return list, nil
	}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany(recordKeys(ids))
		if err != nil {
			return err
		}
		list = list[:0]
		records := make([]record, 0, len(ids))
		want := make([][]byte, 0, len(ids))
		for i, size := 0, 0; i < len(got) && size < enough; i++ {
			w, record, n := startWhole(r, ids[i], got[i])
			if w.Facts != nil && record.where == bodyInline {
				want = appendChunkKeys(want, &record)
				n += int(record.size())
			}
			size += n
			list, records = append(list, w), append(records, record)
		}
		values, err := r.GetMany(want)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Facts == nil || records[i].where != bodyInline {
				continue
			}
			n := chunks(records[i].body)
			if list[i].Text, err = assemble(ids[i], &records[i], values[:n]); err != nil {
				list[i] = Whole{Err: err}
			}
			values = values[n:]
		}
		return nil
	})
	return list, err
}

// startWhole reads the record of an email, and tells how long it is.
func startWhole(r kv.Reader, id mail.EmailID, b []byte) (w Whole, rec record, size int) {
	if b == nil {
		return w, rec, 0
	}
	var err error
	if rec, err = decodeRecord(id, b); err != nil {
		return Whole{Err: err}, rec, 0
	}
	whole, err := rec.complete(r, id)
	if err != nil {
		return Whole{Err: err}, rec, 0
	}
	facts, err := rec.facts(id, whole, nil)
	if err != nil {
		return Whole{Err: err}, rec, 0
	}
	return Whole{Facts: &facts}, rec, len(whole)
}
