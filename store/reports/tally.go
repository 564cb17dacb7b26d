package reports

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Day is a day in UTC, counted from 1970.
type Day uint32

const daySeconds = 24 * 60 * 60

// DayOf gives the day of a time.
func DayOf(t time.Time) Day { return Day(max(t.Unix(), 0) / daySeconds) }

// Start gives the beginning of the day.
func (d Day) Start() time.Time { return time.Unix(int64(d)*daySeconds, 0).UTC() }

// End gives the beginning of the next day.
func (d Day) End() time.Time { return (d + 1).Start() }

// String gives the date, such as "2026-11-22".
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// A Subject is a day of a domain: what one report is about.
type Subject struct {
	Kind   Kind
	Day    Day
	Domain string
}

// gathered is what is not written yet of a subject.
type gathered struct {
	about []byte
	rows  map[string]uint64
	lost  uint64 // rows for which there was no room
}

// Limits of what strangers bring.
const (
	maxRow    = 8 << 10 // octets
	maxAbout  = 16 << 10
	maxDomain = 253 // octets, RFC 1035 §2.3.4
)

// Count counts n of a row for a domain, today. About is what is to be said of
// the domain; what was said last holds. It costs no more than some memory. The
// domain is one in A-labels.
func (s *Store) Count(now time.Time, kind Kind, domain string, about, row []byte, n uint64) {
	domain = strings.ToLower(domain)
	if domain == "" || len(domain) > maxDomain || len(row) > maxRow || len(about) > maxAbout {
		return
	}
	subject := Subject{kind, DayOf(now), domain}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.pending[subject]
	if g == nil {
		if s.rows >= s.o.MaxPending {
			s.lost++
			poke(s.full)
			return
		}
		g = &gathered{rows: map[string]uint64{}}
		s.pending[subject] = g
	}
	if !bytes.Equal(g.about, about) {
		g.about = bytes.Clone(about)
	}
	if _, known := g.rows[string(row)]; !known {
		if s.rows >= s.o.MaxPending {
			g.lost += n
			s.lost++
			poke(s.full)
			return
		}
		if s.rows++; s.rows == s.o.MaxPending/2 {
			poke(s.full)
		}
	}
	g.rows[string(row)] += n
}

// Flush writes what has been counted since it was written last.
func (s *Store) Flush(ctx context.Context) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	taken, lost := s.pending, s.lost
	s.pending, s.rows, s.lost = map[Subject]*gathered{}, 0, 0
	s.mu.Unlock()
	if lost > 0 {
		s.o.Log.Warn("too much is counted for reports at once, and some is left out", "messages", lost)
	}
	for len(taken) > 0 {
		piece := cutPiece(taken)
		if err := s.write(ctx, piece); err != nil {
			s.giveBack(taken)
			s.giveBack(piece)
			return err
		}
	}
	return nil
}

// cutPiece takes as many rows as fit into a transaction.
func cutPiece(taken map[Subject]*gathered) map[Subject]*gathered {
	piece, rows, octets := map[Subject]*gathered{}, 0, 0
	for subject, g := range taken {
		part := &gathered{about: g.about, lost: g.lost, rows: map[string]uint64{}}
		g.lost = 0
		piece[subject] = part
		octets += len(subject.Domain) + len(g.about)
		for row, n := range g.rows {
			if rows++; rows > batch || octets > 1<<20 {
				return piece
			}
			part.rows[row] = n
			octets += len(row)
			delete(g.rows, row)
		}
		delete(taken, subject)
	}
	return piece
}

// giveBack undoes what has been taken and could not be written.
func (s *Store) giveBack(taken map[Subject]*gathered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for subject, g := range taken {
		now := s.pending[subject]
		if now == nil {
			now = &gathered{about: g.about, rows: map[string]uint64{}}
			s.pending[subject] = now
		}
		now.lost += g.lost
		for row, n := range g.rows {
			if _, known := now.rows[row]; !known {
				s.rows++
			}
			now.rows[row] += n
		}
	}
}

// A domainRow is what the store has of a subject.
type domainRow struct {
	rows  uint32
	lost  uint64
	about []byte
}

func (d domainRow) encode() []byte {
	b := binary.BigEndian.AppendUint32([]byte{version}, d.rows)
	b = binary.BigEndian.AppendUint64(b, d.lost)
	return append(b, d.about...)
}

func decodeDomain(b []byte) (d domainRow, err error) {
	if len(b) < 13 || b[0] != version {
		return d, errRecord
	}
	return domainRow{binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint64(b[5:]), bytes.Clone(b[13:])}, nil
}

func encodeRow(n uint64, row string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{version}, n), row...)
}

func decodeRow(b []byte) (n uint64, row []byte, err error) {
	if len(b) < 9 || b[0] != version {
		return 0, nil, errRecord
	}
	return binary.BigEndian.Uint64(b[1:]), b[9:], nil
}

// key gives the beginning of the keys of a subject's day.
func dayKey(prefix byte, kind Kind, day Day) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefix, byte(kind)}, uint32(day))
}

func (s Subject) key(prefix byte) []byte { return append(dayKey(prefix, s.Kind, s.Day), s.Domain...) }

func (s Subject) rowKey(row string) []byte {
	return append(s.rowPrefix(), hash(row)...)
}

func (s Subject) rowPrefix() []byte {
	return append(dayKey(keys.ReportRow, s.Kind, s.Day), hash(s.Domain)...)
}

// write adds rows to those of the store, whoever else has written there. What
// comes after the report was sent is left out.
func (s *Store) write(ctx context.Context, piece map[Subject]*gathered) error {
	subjects := slices.SortedFunc(maps.Keys(piece), func(a, b Subject) int { return bytes.Compare(a.key(0), b.key(0)) })
	var late uint64
	err := s.apply(ctx, func(tx kv.Txn) error {
		late = 0
		totals := map[string]total{}
		for _, subject := range subjects {
			missed, err := s.add(tx, subject, piece[subject], totals)
			if err != nil {
				return err
			}
			late += missed
		}
		for key, t := range totals {
			tx.Put([]byte(key), t.encode())
		}
		return nil
	})
	if late > 0 {
		s.o.Log.Info("counted too late for its report", "messages", late)
	}
	return err
}

// A total is how much a day has.
type total struct{ domains, rows uint32 }

func (t total) encode() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{version}, t.domains), t.rows)
}

func decodeTotal(b []byte) (t total) {
	if len(b) == 9 && b[0] == version {
		t = total{binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])}
	}
	return t
}

// add writes the rows of one subject, and tells how many messages came too
// late.
func (s *Store) add(tx kv.Txn, subject Subject, g *gathered, totals map[string]total) (late uint64, err error) {
	rows := slices.Sorted(maps.Keys(g.rows))
	wanted := [][]byte{dayKey(keys.ReportTotal, subject.Kind, subject.Day), subject.key(keys.ReportSent), subject.key(keys.ReportDomain)}
	for _, row := range rows {
		wanted = append(wanted, subject.rowKey(row))
	}
	found, err := tx.GetMany(wanted)
	if err != nil {
		return 0, err
	}
	if found[1] != nil {
		for _, n := range g.rows {
			late += n
		}
		return late, nil
	}
	t, ok := totals[string(wanted[0])]
	if !ok {
		t = decodeTotal(found[0])
	}
	d, err := decodeDomain(found[2])
	if err != nil { // there is none, or it cannot be read and begins again
		if t.domains >= uint32(s.o.MaxDomains) {
			return 0, nil
		}
		t.domains++
		d = domainRow{}
	}
	d.about = g.about
	d.lost = plus(d.lost, g.lost)
	for i, row := range rows {
		n := g.rows[row]
		had, _, err := decodeRow(found[3+i])
		if err != nil {
			if d.rows >= uint32(s.o.MaxRows) || t.rows >= uint32(s.o.MaxDay) {
				d.lost = plus(d.lost, n)
				continue
			}
			d.rows++
			t.rows++
		}
		tx.Put(wanted[3+i], encodeRow(plus(had, n), row))
	}
	tx.Put(wanted[2], d.encode())
	totals[string(wanted[0])] = t
	return 0, nil
}

// plus adds without going round.
func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// keepDays is for how long a day is kept whose reports could not be sent, and
// what is remembered of those that were.
const (
	keepDays = 7
	keepSent = 14
)

// purgeDays removes days that are too old.
func (s *Store) purgeDays(ctx context.Context, now time.Time) error {
	for _, kind := range []Kind{DMARC, TLS, Failure} {
		for prefix, keep := range map[byte]Day{
			keys.ReportTotal: keepDays, keys.ReportDomain: keepDays, keys.ReportRow: keepDays, keys.ReportSent: keepSent,
		} {
			lo, hi := []byte{prefix, byte(kind)}, dayKey(prefix, kind, max(DayOf(now), keep)-keep)
			if err := s.deleteAll(ctx, lo, hi, nil); err != nil {
				s.o.Log.Error("old counts for reports cannot be purged", obs.Err, err)
				return err
			}
		}
	}
	return nil
}
