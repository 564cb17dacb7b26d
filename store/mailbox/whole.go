package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

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

// Wholes are emails that have been read together. Whoever has them releases
// them.
type Wholes struct {
	List []Whole // their texts are valid until Release, and must not be changed

	texts  Texts
	octets []byte // what List has of texts
}

var allWholes = sync.Pool{New: func() any { return new(Wholes) }}

// ReadWhole reads emails with what is known of them, in two round trips for
// all, and reads what lies together at once. Where that is very much it gives
// the first of them only, one at least.
func (a *Account) ReadWhole(ctx context.Context, ids []mail.EmailID) (*Wholes, error) {
	w := allWholes.Get().(*Wholes)
	if len(ids) == 0 {
		return w, nil
	}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		w.reset()
		if err := w.find(r, ids); err != nil {
			return err
		}
		t := &w.texts
		if err := kv.GetFixed(r, t.want, &t.bodies); err != nil {
			return err
		}
		w.octets = slices.Grow(w.octets, len(t.prefixes)+len(t.bodies.Octets))
		for i := range t.list {
			if one := &t.list[i]; one.inline {
				w.assemble(&w.List[i], one)
			}
		}
		return nil
	})
	if err != nil {
		w.Release()
		return nil, err
	}
	return w, nil
}

// find reads the records, and notes where the bodies are.
func (w *Wholes) find(r kv.Reader, ids []mail.EmailID) error {
	t, size := &w.texts, 0
	return eachRecord(r, ids, &t.records, func(i int, b []byte) (bool, error) {
		whole, record, n := startWhole(r, ids[i], b)
		one := text{id: ids[i]}
		if whole.Facts != nil && record.where == bodyInline {
			t.add(&one, &record)
			n += int(record.size())
		}
		w.List, t.list = append(w.List, whole), append(t.list, one)
		size += n
		return size < enoughText, nil
	})
}

// assemble puts an email's text together.
func (w *Wholes) assemble(whole *Whole, one *text) {
	if err := w.texts.assemble(one); err != nil {
		*whole = Whole{Err: err}
		return
	}
	from := len(w.octets)
	w.octets = append(append(w.octets, w.texts.prefixes[one.from:one.to]...), one.body...)
	whole.Text = w.octets[from:len(w.octets):len(w.octets)]
}

func (w *Wholes) reset() {
	clear(w.List)
	w.List, w.octets = w.List[:0], w.octets[:0]
	w.texts.reset()
}

// Release gives the memory back.
func (w *Wholes) Release() {
	if cap(w.octets) > keptText || !w.texts.small() {
		return
	}
	w.reset()
	allWholes.Put(w)
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
