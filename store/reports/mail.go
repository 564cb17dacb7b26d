package reports

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// MaxSize is the largest mail that is taken to be read.
const MaxSize = 16 << 20

// Errors that callers branch on.
var (
	// ErrFull says that too much mail waits to be read.
	ErrFull = errors.New("too many reports wait to be read")
	// ErrTooLarge says that a mail is over MaxSize.
	ErrTooLarge = errors.New("the report is too large")
	// ErrNone says that no mail waits.
	ErrNone = errors.New("no report waits to be read")
)

// A Mail is one with reports in it, as it came.
type Mail struct {
	ID       uint64 // grows with time
	Message  string // its id in the log
	Received time.Time
	From     string // the reverse-path
	To       string // the address of ours
	Results  string // what is proven of it, as in Authentication-Results; "" if nobody has looked
	Size     int64
	Tries    int // how often reading it has begun
}

type mailRecord struct {
	Message  string `cbor:"1,keyasint"`
	Received int64  `cbor:"2,keyasint"`
	From     string `cbor:"3,keyasint"`
	To       string `cbor:"4,keyasint"`
	Results  string `cbor:"5,keyasint"`
	Size     int64  `cbor:"6,keyasint"`
	Tries    int    `cbor:"7,keyasint"`
}

// Parts of what is too large for one value, and how many of them one
// transaction writes.
const (
	partSize     = 60 << 10
	partsAtOnce  = 50
	maxResults   = 16 << 10
	orphanBefore = time.Hour // from when on what has no envelope will not get one
)

func mailKey(id uint64, part int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64([]byte{keys.ReportMail}, id), uint16(part))
}

// Take keeps a mail to be read, and returns when it is durable. The ID is
// given here.
func (s *Store) Take(ctx context.Context, m Mail, text io.ReaderAt) error {
	if m.Size > MaxSize {
		return ErrTooLarge
	}
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	m.ID = uint64(max(m.Received.UnixMilli(), 0))<<16 | uint64(binary.BigEndian.Uint16(random[:]))
	body := make([]byte, m.Size)
	if _, err := text.ReadAt(body, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read a report: %w", err)
	}
	var parts [][]byte
	for len(body) > 0 {
		n := min(len(body), partSize)
		parts, body = append(parts, body[:n]), body[n:]
	}
	if err := s.room(ctx, len(parts)+1); err != nil {
		return err
	}
	m.Results = m.Results[:min(len(m.Results), maxResults)]
	envelope, err := encode(mailRecord{m.Message, m.Received.UnixNano(), m.From, m.To, m.Results, m.Size, 0})
	if err != nil {
		return err
	}
	for done := 0; ; {
		n := min(len(parts)-done, partsAtOnce)
		last := done+n == len(parts)
		err := s.apply(ctx, func(tx kv.Txn) error {
			for i, part := range parts[done : done+n] {
				tx.Put(mailKey(m.ID, 1+done+i), append([]byte{version}, part...))
			}
			if last { // only with its envelope is it there at all
				tx.Put(mailKey(m.ID, 0), envelope)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("keep a report: %w", err)
		}
		if done += n; last {
			poke(s.arrived)
			return nil
		}
	}
}

// room tells whether some more parts may wait.
func (s *Store) room(ctx context.Context, parts int) error {
	most := int(s.o.MaxMail/partSize) - parts
	return s.view(ctx, func(r kv.Reader) error {
		n := 0
		for _, err := range r.Scan([]byte{keys.ReportMail}, []byte{keys.ReportMail + 1}, kv.ScanOptions{KeysOnly: true, Limit: max(most, 0) + 1}) {
			if err != nil {
				return err
			}
			if n++; n > most {
				return ErrFull
			}
		}
		return nil
	})
}

// Arrived gives a channel that holds a token when mail may be waiting that has
// come to this server.
func (s *Store) Arrived() <-chan struct{} { return s.arrived }

// Next gives the mail that has waited longest, after another, and its octets;
// ErrNone if there is none.
func (s *Store) Next(ctx context.Context, after uint64) (m Mail, text []byte, err error) {
	err = s.view(ctx, func(r kv.Reader) error {
		m, text = Mail{}, nil
		lo := binary.BigEndian.AppendUint64([]byte{keys.ReportMail}, after+1)
		for item, err := range r.Scan(lo, []byte{keys.ReportMail + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if len(item.Key) != 11 || len(item.Value) == 0 || item.Value[0] != version {
				return errRecord
			}
			id, part := binary.BigEndian.Uint64(item.Key[1:]), binary.BigEndian.Uint16(item.Key[9:])
			switch {
			case part == 0 && m.ID != 0:
				return nil
			case part == 0:
				var rec mailRecord
				if err := decode(item.Value, &rec); err != nil {
					return err
				}
				m = Mail{id, rec.Message, time.Unix(0, rec.Received), rec.From, rec.To, rec.Results, rec.Size, rec.Tries}
			case id == m.ID:
				text = append(text, item.Value[1:]...)
			case m.ID != 0:
				return nil
			}
		}
		return nil
	})
	if err == nil && m.ID == 0 {
		err = ErrNone
	}
	return m, text, err
}

// SetTries notes how often reading a mail has begun, so that one that ends the
// server each time is not read for ever.
func (s *Store) SetTries(ctx context.Context, id uint64, tries int) error {
	return s.apply(ctx, func(tx kv.Txn) error {
		b, err := tx.Get(mailKey(id, 0))
		if err != nil {
			return err
		}
		var rec mailRecord
		if err := decode(b, &rec); err != nil {
			return err
		}
		rec.Tries = tries
		b, err = encode(rec)
		tx.Put(mailKey(id, 0), b)
		return err
	})
}

// Done forgets a mail.
func (s *Store) Done(ctx context.Context, id uint64) error {
	return s.apply(ctx, func(tx kv.Txn) error {
		tx.DeleteRange(mailKey(id, 0), mailKey(id+1, 0))
		return nil
	})
}

// purgeMail removes what a crash has left of mail that was never acknowledged.
func (s *Store) purgeMail(ctx context.Context, now time.Time) error {
	before := uint64(max(now.Add(-orphanBefore).UnixMilli(), 0)) << 16
	var orphans []uint64
	err := s.view(ctx, func(r kv.Reader) error {
		orphans = nil
		var whole, last uint64
		for item, err := range r.Scan([]byte{keys.ReportMail}, mailKey(before, 0), kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			if len(item.Key) != 11 {
				continue
			}
			id := binary.BigEndian.Uint64(item.Key[1:])
			if bytes.Equal(item.Key[9:], []byte{0, 0}) {
				whole = id
			} else if id != whole && id != last {
				last = id
				orphans = append(orphans, id)
			}
		}
		return nil
	})
	for _, id := range orphans {
		err = errors.Join(err, s.Done(ctx, id))
	}
	return err
}
