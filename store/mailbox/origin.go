package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// What has been imported is remembered for good, in the transaction that
// appends it: an import that is run again brings nothing twice, also what has
// been moved or deleted since, and can tell which flags have changed at the
// source.
//
//	origin 'o', source 16, item -> version, uvarint mailbox, uvarint uid,
//	uvarint email, uvarint flags, keywords with spaces between
//
// Flags and keywords are those of the source, as they were when they were
// last carried over.

// A SourceID names a mailbox elsewhere; it is a hash of what makes it out.
type SourceID [16]byte

// An Origin names a message elsewhere.
type Origin struct {
	Source SourceID
	Item   string // what tells it from others of the source, 1 to 40 octets
}

const maxItem = 40

func (o Origin) key() ([]byte, error) {
	if len(o.Item) == 0 || len(o.Item) > maxItem {
		return nil, fmt.Errorf("item of %d octets: %w", len(o.Item), ErrName)
	}
	return append(sourcePrefix(o.Source), o.Item...), nil
}

func sourcePrefix(s SourceID) []byte { return append([]byte{keys.Origin}, s[:]...) }

// An Imported tells what has become of an item of a source.
type Imported struct {
	Item     string
	Mailbox  mail.MailboxID
	UID      mail.UID
	Email    mail.EmailID
	Flags    mail.Flags // at the source, when they were last carried over
	Keywords []mail.Keyword
}

type importedRow struct {
	mailbox  mail.MailboxID
	uid      mail.UID
	email    mail.EmailID
	flags    mail.Flags
	keywords []mail.Keyword
}

func (r importedRow) append(dst []byte) []byte {
	dst = append(dst, rowFormat)
	for _, n := range [...]uint64{uint64(r.mailbox), uint64(r.uid), uint64(r.email), uint64(r.flags)} {
		dst = binary.AppendUvarint(dst, n)
	}
	for i, k := range r.keywords {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, k...)
	}
	return dst
}

func decodeImported(b []byte) (importedRow, error) {
	d := decoder{b: b}
	if d.byte() != rowFormat {
		d.bad = true
	}
	r := importedRow{mailbox: mail.MailboxID(d.uvarint()), uid: mail.UID(d.uvarint()),
		email: mail.EmailID(d.uvarint()), flags: mail.Flags(d.uvarint())}
	if d.bad {
		return r, fmt.Errorf("origin: %w", errCorrupt)
	}
	for word := range strings.FieldsSeq(string(d.b)) {
		r.keywords = append(r.keywords, mail.Keyword(word))
	}
	return r, nil
}

func appendedBefore(b []byte) (Appended, error) {
	r, err := decodeImported(b)
	return Appended{Mailbox: r.mailbox, UID: r.uid, Email: r.email}, err
}

// Imported goes through what has been imported from a source, in the order of
// the items. Each thousand are of one moment.
func (a *Account) Imported(ctx context.Context, source SourceID) iter.Seq2[Imported, error] {
	return func(yield func(Imported, error) bool) {
		prefix := sourcePrefix(source)
		lo, hi := prefix, kv.PrefixEnd(prefix)
		for {
			part, err := a.importedPart(ctx, lo, hi)
			for _, im := range part {
				if !yield(im, nil) {
					return
				}
			}
			if err != nil {
				yield(Imported{}, err)
			}
			if err != nil || len(part) < importedPart {
				return
			}
			lo = append(append(sourcePrefix(source), part[len(part)-1].Item...), 0)
		}
	}
}

const importedPart = 1000

func (a *Account) importedPart(ctx context.Context, lo, hi []byte) ([]Imported, error) {
	var part []Imported
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		part = part[:0]
		for it, err := range r.Scan(lo, hi, kv.ScanOptions{Limit: importedPart}) {
			if err != nil {
				return err
			}
			row, err := decodeImported(it.Value)
			if err != nil {
				return err
			}
			part = append(part, Imported{string(it.Key[1+len(SourceID{}):]), row.mailbox, row.uid, row.email, row.flags, row.keywords})
		}
		return nil
	})
	return part, err
}

// FindImported tells what is remembered of origins, nil for what is new.
func (a *Account) FindImported(ctx context.Context, origins []Origin) ([]*Imported, error) {
	want := make([][]byte, len(origins))
	for i, o := range origins {
		var err error
		if want[i], err = o.key(); err != nil {
			return nil, err
		}
	}
	list := make([]*Imported, len(origins))
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		got, err := r.GetMany(want)
		if err != nil {
			return err
		}
		for i, b := range got {
			if b == nil {
				continue
			}
			row, err := decodeImported(b)
			if err != nil {
				return err
			}
			list[i] = &Imported{origins[i].Item, row.mailbox, row.uid, row.email, row.flags, row.keywords}
		}
		return nil
	})
	return list, err
}

// Remember writes what is known of items of a source: of those that are found
// in a mailbox already, or whose flags have been carried over.
func (a *Account) Remember(ctx context.Context, source SourceID, list ...Imported) error {
	for _, im := range list {
		if err := checkKeywords(im.Keywords); err != nil {
			return err
		}
	}
	return a.eachOrigin(ctx, len(list), func(t *txn, i int) error {
		im := &list[i]
		key, err := Origin{source, im.Item}.key()
		if err == nil {
			t.Put(key, importedRow{im.Mailbox, im.UID, im.Email, im.Flags & settable, im.Keywords}.append(nil))
		}
		return err
	})
}

// ForgetImported forgets items of a source: if they come again they are new.
func (a *Account) ForgetImported(ctx context.Context, source SourceID, items ...string) error {
	return a.eachOrigin(ctx, len(items), func(t *txn, i int) error {
		key, err := Origin{source, items[i]}.key()
		if err == nil {
			t.Delete(key)
		}
		return err
	})
}

// eachOrigin runs fn for each index, a thousand in a transaction; fewer where
// keywords are long.
func (a *Account) eachOrigin(ctx context.Context, n int, fn func(t *txn, i int) error) error {
	for from, size := 0, importedPart; from < n; {
		to := min(from+size, n)
		_, err := a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
			t.dirty = true
			var errs []error
			for i := from; i < to; i++ {
				errs = append(errs, fn(t, i))
			}
			return errors.Join(errs...)
		})
		switch {
		case err == nil:
			from = to
		case errors.Is(err, kv.ErrTooLarge) && to-from > 1:
			size = (to - from + 1) / 2
		default:
			return err
		}
	}
	return nil
}
