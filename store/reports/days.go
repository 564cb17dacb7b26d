package reports

import (
	"bytes"
	"context"
	"errors"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Gathering is what was counted of a subject.
type Gathering struct {
	About []byte
	Rows  []Row
	Lost  uint64 // messages that are in none of the rows, for want of room
}

// A Row is one row and how often it was counted.
type Row struct {
	Data  []byte
	Count uint64
}

// Waiting gives the subjects of a kind, from days before a day, the oldest
// first, whose reports were not sent.
func (s *Store) Waiting(ctx context.Context, kind Kind, before Day) ([]Subject, error) {
	var all []Subject
	err := s.view(ctx, func(r kv.Reader) error {
		all = nil
		for item, err := range r.Scan([]byte{keys.ReportDomain, byte(kind)}, dayKey(keys.ReportDomain, kind, before), kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			if subject, ok := subjectOf(item.Key); ok {
				all = append(all, subject)
			}
		}
		return nil
	})
	return all, err
}

// subjectOf reads a key that ends in a domain.
func subjectOf(key []byte) (Subject, bool) {
	if len(key) < 7 {
		return Subject{}, false
	}
	day := Day(key[2])<<24 | Day(key[3])<<16 | Day(key[4])<<8 | Day(key[5])
	return Subject{Kind(key[1]), day, string(key[6:])}, true
}

// Gathered gives what was counted of a subject.
func (s *Store) Gathered(ctx context.Context, subject Subject) (Gathering, error) {
	var g Gathering
	err := s.view(ctx, func(r kv.Reader) error {
		g = Gathering{}
		b, err := r.Get(subject.key(keys.ReportDomain))
		if err != nil {
			return err
		}
		d, err := decodeDomain(b)
		if err != nil {
			return err
		}
		g.About, g.Lost = d.about, d.lost
		prefix := subject.rowPrefix()
		for item, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			n, row, err := decodeRow(item.Value)
			if err != nil {
				return err
			}
			g.Rows = append(g.Rows, Row{bytes.Clone(row), n})
		}
		return nil
	})
	if errors.Is(err, kv.ErrNotFound) {
		return g, nil
	}
	return g, err
}

// Sent is what is remembered of a report that was sent.
type Sent struct {
	Subject
	Began   time.Time
	Ended   time.Time // zero if it was not ended
	Outcome string    // in words
}

// A sentRecord is how it is stored.
type sentRecord struct {
	Began   int64  `cbor:"1,keyasint"`
	Ended   int64  `cbor:"2,keyasint,omitempty"`
	Outcome string `cbor:"3,keyasint,omitempty"`
}

// Begin says that a report is being sent from here on, and nothing more is
// counted for it. It gives when that was said first: by somebody who has died
// since, if it is not now.
func (s *Store) Begin(ctx context.Context, now time.Time, subject Subject) (began time.Time, err error) {
	key := subject.key(keys.ReportSent)
	err = s.apply(ctx, func(tx kv.Txn) error {
		b, err := tx.Get(key)
		if err == nil {
			var r sentRecord
			if err := decode(b, &r); err != nil {
				return err
			}
			began = time.Unix(0, r.Began)
			return nil
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		began = now
		b, err = encode(sentRecord{Began: now.UnixNano()})
		tx.Put(key, b)
		return err
	})
	return began, err
}

// End says that a report was sent, or will not be, and what came of it, in
// words. What was counted for it is removed.
func (s *Store) End(ctx context.Context, now time.Time, subject Subject, outcome string) error {
	key := subject.key(keys.ReportSent)
	err := s.apply(ctx, func(tx kv.Txn) error {
		r := sentRecord{Began: now.UnixNano()}
		if b, err := tx.Get(key); err == nil {
			if err := decode(b, &r); err != nil {
				return err
			}
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		r.Ended, r.Outcome = now.UnixNano(), clip(outcome)
		b, err := encode(r)
		tx.Put(key, b)
		tx.Delete(subject.key(keys.ReportDomain))
		return err
	})
	if err != nil {
		return err
	}
	prefix := subject.rowPrefix()
	return s.deleteAll(ctx, prefix, kv.PrefixEnd(prefix), nil)
}

// maxOutcome bounds what is remembered of an outcome.
const maxOutcome = 1000

func clip(s string) string {
	return string(bytes.ToValidUTF8([]byte(s[:min(len(s), maxOutcome)]), nil))
}

// LastSent gives what was sent of a kind since a day, in order of days and
// domains.
func (s *Store) LastSent(ctx context.Context, kind Kind, since Day) ([]Sent, error) {
	var all []Sent
	err := s.view(ctx, func(r kv.Reader) error {
		all = nil
		for item, err := range r.Scan(dayKey(keys.ReportSent, kind, since), kv.PrefixEnd([]byte{keys.ReportSent, byte(kind)}), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			subject, ok := subjectOf(item.Key)
			var rec sentRecord
			if err := decode(item.Value, &rec); err != nil || !ok {
				return errors.Join(errRecord, err)
			}
			one := Sent{Subject: subject, Began: time.Unix(0, rec.Began), Outcome: rec.Outcome}
			if rec.Ended != 0 {
				one.Ended = time.Unix(0, rec.Ended)
			}
			all = append(all, one)
		}
		return nil
	})
	return all, err
}
