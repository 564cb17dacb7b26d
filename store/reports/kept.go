package reports

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Report is one that others have sent, as it was understood. What Data
// means is for those to say who keep it.
type Report struct {
	Kind     Kind
	Domain   string    // of ours, that it is about
	From, To time.Time // what it tells of; it is kept in order of To
	Org      string    // who reports
	ID       string    // what they call it
	Proven   string    // the domain that is proven to have sent it, "" if none is
	Received time.Time
	Data     []byte
}

type reportRecord struct {
	Domain   string `cbor:"1,keyasint"`
	From     int64  `cbor:"2,keyasint"`
	To       int64  `cbor:"3,keyasint"`
	Org      string `cbor:"4,keyasint"`
	ID       string `cbor:"5,keyasint"`
	Proven   string `cbor:"6,keyasint,omitempty"`
	Received int64  `cbor:"7,keyasint"`
	Size     int    `cbor:"8,keyasint"`
}

// Limits of reports that are kept.
const (
	// MaxReport is how many octets of one are kept.
	MaxReport = 2 << 20
	// maxName bounds the names in it.
	maxName = 300
	// maxAhead is how far a report may be from the day it comes on.
	maxAhead = 24 * time.Hour
)

// keptSize is the length of the keys of what is kept.
const keptSize = 1 + 1 + 8 + hashSize + 2

// ErrKnown says that a report has come before.
var ErrKnown = errors.New("the report is known")

// ErrDate says that a report is about a time long ago, or to come.
var ErrDate = errors.New("the report is about another time")

// ErrNoRoom says that too many reports are kept.
var ErrNoRoom = errors.New("there is no room for more reports")

func keptKey(kind Kind, to time.Time, id []byte, part int) []byte {
	b := binary.BigEndian.AppendUint64([]byte{keys.ReportKept, byte(kind)}, uint64(max(to.Unix(), 0)))
	return binary.BigEndian.AppendUint16(append(b, id...), uint16(part))
}

// Keep keeps a report. One that is known by its kind, domain, reporter and ID
// is kept once: ErrKnown. The other errors that are about it are ErrDate,
// ErrTooLarge and ErrNoRoom. RFC 9990 §3.5.4
func (s *Store) Keep(ctx context.Context, r Report) error {
	if len(r.Data) > MaxReport || len(r.Domain) > maxName || len(r.Org) > maxName || len(r.ID) > maxName {
		return ErrTooLarge
	}
	if r.To.After(r.Received.Add(maxAhead)) || r.To.Before(r.Received.Add(-s.o.Keep)) {
		return fmt.Errorf("%w: %s", ErrDate, r.To.UTC().Format(time.DateOnly))
	}
	r.Domain = strings.ToLower(r.Domain)
	id := hash(string(rune(r.Kind)), r.Domain, strings.ToLower(r.Org), r.ID)
	known := append([]byte{keys.ReportKnown, byte(r.Kind)}, id...)
	head, err := encode(reportRecord{
		r.Domain, r.From.UnixNano(), r.To.UnixNano(), r.Org, r.ID, r.Proven, r.Received.UnixNano(), len(r.Data),
	})
	if err != nil {
		return err
	}
	total := []byte{keys.ReportTotal}
	return s.apply(ctx, func(tx kv.Txn) error {
		found, err := tx.GetMany([][]byte{known, total})
		if err != nil {
			return err
		}
		used := octetsKept(found[1])
		parts := (len(r.Data) + partSize - 1) / partSize
		size := int64(len(head) + len(r.Data) + parts) // with a version for each
		switch {
		case found[0] != nil:
			return ErrKnown
		case used+size > s.o.MaxOctets:
			return ErrNoRoom
		}
		tx.Put(known, binary.BigEndian.AppendUint64([]byte{version}, uint64(r.To.Unix())))
		tx.Put(total, encodeOctets(used+size))
		tx.Put(keptKey(r.Kind, r.To, id, 0), head)
		for part, rest := 1, r.Data; len(rest) > 0; part++ {
			n := min(len(rest), partSize)
			tx.Put(keptKey(r.Kind, r.To, id, part), append([]byte{version}, rest[:n]...))
			rest = rest[n:]
		}
		return nil
	})
}

func encodeOctets(n int64) []byte { return binary.BigEndian.AppendUint64([]byte{version}, uint64(n)) }

func octetsKept(b []byte) int64 {
	if len(b) != 9 || b[0] != version {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[1:]))
}

// Kept calls fn for each report of a kind that tells of a time since then, in
// order of their ends, until fn returns an error. Domain chooses those about
// one domain, unless it is "".
func (s *Store) Kept(ctx context.Context, kind Kind, domain string, since time.Time, fn func(Report) error) error {
	lo, end := keptKey(kind, since, nil, 0)[:10], kv.PrefixEnd([]byte{keys.ReportKept, byte(kind)})
	for {
		some, next, err := s.keptPage(ctx, kind, domain, lo, end)
		if err != nil {
			return err
		}
		for _, r := range some {
			if err := fn(r); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		lo = next
	}
}

// pageOctets is how much of what is kept is read at once.
const pageOctets = 4 << 20

// keptPage reads some reports, and says where the next are.
func (s *Store) keptPage(ctx context.Context, kind Kind, domain string, lo, hi []byte) (some []Report, next []byte, err error) {
	err = s.view(ctx, func(r kv.Reader) error {
		some, next = nil, nil
		octets, wanted := 0, false
		for item, err := range r.Scan(lo, hi, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(item.Key) != keptSize || len(item.Value) == 0 || item.Value[0] != version {
				return errRecord
			}
			if !bytes.Equal(item.Key[keptSize-2:], []byte{0, 0}) {
				if wanted && len(some) > 0 {
					one := &some[len(some)-1]
					one.Data = append(one.Data, item.Value[1:]...)
				}
				continue
			}
			if octets > pageOctets {
				next = bytes.Clone(item.Key)
				return nil
			}
			var rec reportRecord
			if err := decode(item.Value, &rec); err != nil {
				return err
			}
			octets += rec.Size + 512
			if wanted = domain == "" || strings.EqualFold(domain, rec.Domain); wanted {
				some = append(some, Report{
					Kind: kind, Domain: rec.Domain, From: time.Unix(0, rec.From), To: time.Unix(0, rec.To), Org: rec.Org, ID: rec.ID,
					Proven: rec.Proven, Received: time.Unix(0, rec.Received), Data: make([]byte, 0, min(max(rec.Size, 0), MaxReport)),
				})
			}
		}
		return nil
	})
	return some, next, err
}

// purgeKept removes reports that are too old.
func (s *Store) purgeKept(ctx context.Context, now time.Time) error {
	before := now.Add(-s.o.Keep)
	for _, kind := range []Kind{DMARC, TLS, Failure} {
		for more := true; more; {
			var err error
			if more, err = s.purgeSome(ctx, kind, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// purgeSome removes some old reports of a kind, and tells whether there are
// more.
func (s *Store) purgeSome(ctx context.Context, kind Kind, before time.Time) (more bool, err error) {
	err = s.apply(ctx, func(tx kv.Txn) error {
		more = false
		n, octets := 0, int64(0)
		for item, err := range tx.Scan([]byte{keys.ReportKept, byte(kind)}, keptKey(kind, before, nil, 0)[:10], kv.ScanOptions{Limit: batch}) {
			if err != nil {
				return err
			}
			if n++; n == batch {
				more = true
			}
			tx.Delete(item.Key)
			octets += int64(len(item.Value))
			if len(item.Key) == keptSize && bytes.Equal(item.Key[keptSize-2:], []byte{0, 0}) {
				tx.Delete(append([]byte{keys.ReportKnown, byte(kind)}, item.Key[10:10+hashSize]...))
			}
		}
		if n == 0 {
			return nil
		}
		used, err := tx.Get([]byte{keys.ReportTotal})
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		tx.Put([]byte{keys.ReportTotal}, encodeOctets(max(octetsKept(used)-octets, 0)))
		return nil
	})
	return more, err
}
