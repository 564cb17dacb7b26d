package peers

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Triple names what a greylist puts off: mail from a neighbourhood and
// sender to a recipient. It is a hash: addresses are not kept.
type Triple [16]byte

// TripleOf gives the triple of a neighbourhood, a sender and a recipient.
func TripleOf(neighbourhood Subject, from, to string) Triple {
	h := sha256.New()
	h.Write([]byte(neighbourhood.String() + "\x00" + from + "\x00" + to))
	return Triple(h.Sum(nil)[:16])
}

// How long a triple is kept: one that has never come back, and one that has.
const (
	pendingLasts = 2 * 24 * time.Hour
	passedLasts  = 35 * 24 * time.Hour
)

// A triple is what is known of one.
type triple struct {
	first, last int64 // unix nanoseconds
	passed      bool
	dirty       bool
}

const tripleVersion = 1

func (t triple) encode() []byte {
	b := append(make([]byte, 0, 18), tripleVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.first))
	b = binary.BigEndian.AppendUint64(b, uint64(t.last))
	if t.passed {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeTriple(b []byte) (triple, error) {
	if len(b) != 18 || b[0] != tripleVersion || b[17] > 1 {
		return triple{}, errRow
	}
	return triple{
		first: int64(binary.BigEndian.Uint64(b[1:])), last: int64(binary.BigEndian.Uint64(b[9:])), passed: b[17] == 1,
	}, nil
}

// over tells whether it is time to forget a triple.
func (t *triple) over(now time.Time) bool {
	if t.passed {
		return now.Sub(time.Unix(0, t.last)) > passedLasts
	}
	return now.Sub(time.Unix(0, t.first)) > pendingLasts
}

// Attempt notes that a triple has come, and says when it came first: now, if
// it never has. Passed says that it has been let through before.
func (s *Store) Attempt(ctx context.Context, key Triple, now time.Time) (first time.Time, passed bool, err error) {
	s.mu.Lock()
	t := s.triples[key]
	s.mu.Unlock()
	if t == nil {
		// Another node may know it, or it had to make room.
		if t, err = s.readTriple(ctx, key); err != nil {
			return time.Time{}, false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.triples[key]; have != nil {
		t = have
	}
	if t == nil || t.over(now) {
		t = &triple{first: now.UnixNano()}
	}
	t.last, t.dirty = now.UnixNano(), true
	s.putTriple(key, t)
	return time.Unix(0, t.first), t.passed, nil
}

// Pass notes that a triple has been let through.
func (s *Store) Pass(key Triple, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.triples[key]
	if t == nil {
		t = &triple{first: now.UnixNano()}
	}
	t.last, t.passed, t.dirty = now.UnixNano(), true, true
	s.putTriple(key, t)
}

// putTriple keeps a triple. Where there are too many, the oldest of a few goes.
func (s *Store) putTriple(key Triple, t *triple) {
	if s.triples[key] == nil && len(s.triples) >= s.o.MaxTriples {
		var victim Triple
		oldest, looked := int64(0), 0
		for other, o := range s.triples {
			if looked == 0 || o.last < oldest {
				victim, oldest = other, o.last
			}
			if looked++; looked == 16 {
				break
			}
		}
		delete(s.triples, victim)
	}
	s.triples[key] = t
}

func (s *Store) readTriple(ctx context.Context, key Triple) (found *triple, err error) {
	err = s.db.View(ctx, keys.Peers, func(r kv.Reader) error {
		stored, err := r.GetMany([][]byte{key.key()})
		if err != nil || stored[0] == nil {
			return err
		}
		if t, err := decodeTriple(stored[0]); err == nil { // one that cannot be read is none
			found = &t
		}
		return nil
	})
	return found, err
}

func (t Triple) key() []byte { return append([]byte{keys.PeerTriple}, t[:]...) }

// flushTriples writes the triples that have changed.
func (s *Store) flushTriples(ctx context.Context) error {
	type changed struct {
		key   Triple
		value []byte
	}
	var all []changed
	s.mu.Lock()
	for key, t := range s.triples {
		if t.dirty {
			all = append(all, changed{key, t.encode()})
			t.dirty = false
		}
	}
	s.mu.Unlock()
	for some := range slices.Chunk(all, batch) {
		err := kv.Apply(ctx, s.db, keys.Peers, func(tx kv.Txn) error {
			for _, c := range some {
				tx.Put(c.key.key(), c.value)
			}
			return nil
		})
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, c := range all { // once too often does no harm
				if t := s.triples[c.key]; t != nil {
					t.dirty = true
				}
			}
			return err
		}
	}
	return nil
}
