package peers

import (
	"context"
	"slices"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// batch is how many rows one transaction writes.
const batch = 1000

// A change is what is to be added to a subject's row.
type change struct {
	subject Subject
	row     row // its values are what has been added
}

// Flush writes what has been counted since it was written last.
func (s *Store) Flush(ctx context.Context) error {
	for some := range slices.Chunk(s.takeChanges(), batch) {
		if err := s.write(ctx, some); err != nil {
			s.giveBack(some)
			return err
		}
	}
	return s.flushTriples(ctx)
}

// takeChanges gives what is to be written, which counts as written from here.
func (s *Store) takeChanges() []change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []change
	for subject, p := range s.peers {
		if p.dirty {
			changes = append(changes, change{subject, row{first: p.first, last: p.last, values: p.unsaved}})
			p.unsaved, p.dirty = values{}, false
		}
	}
	return changes
}

// giveBack undoes takeChanges for what could not be written.
func (s *Store) giveBack(changes []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if p := s.peers[c.subject]; p != nil {
			v := c.row.values
			v.decay(time.Duration(p.last - c.row.last))
			p.unsaved.add(v)
			p.dirty = true
		}
	}
}

// write adds changes to their rows, whoever else has written to them, and
// takes over how they stand then.
func (s *Store) write(ctx context.Context, changes []change) error {
	rowKeys := make([][]byte, len(changes))
	for i, c := range changes {
		rowKeys[i] = c.subject.key()
	}
	merged := make([]row, len(changes))
	err := kv.Apply(ctx, s.db, keys.Peers, func(tx kv.Txn) error {
		stored, err := tx.GetMany(rowKeys)
		if err != nil {
			return err
		}
		for i, c := range changes {
			merged[i] = c.row
			if was, err := decodeRow(stored[i]); err == nil { // one that cannot be read begins again
				merged[i] = merge(was, c.row)
			}
			tx.Put(rowKeys[i], merged[i].encode())
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range changes {
		p := s.peers[c.subject]
		if p == nil {
			continue
		}
		now := merge(merged[i], row{first: p.first, last: p.last, values: p.unsaved})
		p.row = now
	}
	return nil
}

// merge adds two rows, as of the later one.
func merge(a, b row) row {
	if a.last > b.last {
		a, b = b, a
	}
	a.values.decay(time.Duration(b.last - a.last))
	b.values.add(a.values)
	b.first = min(a.first, b.first)
	return b
}

// Purge removes what has not been seen for long, and the oldest of what is
// too much.
func (s *Store) Purge(ctx context.Context, now time.Time) error {
	if err := s.purge(ctx, keys.PeerCounts, s.o.MaxPeers, func(value []byte) int64 {
		r, err := decodeRow(value)
		if err != nil || now.Sub(time.Unix(0, r.last)) > s.o.Keep {
			return 0
		}
		return r.last
	}); err != nil {
		return err
	}
	if err := s.purge(ctx, keys.PeerTriple, s.o.MaxTriples, func(value []byte) int64 {
		t, err := decodeTriple(value)
		if err != nil || t.over(now) {
			return 0
		}
		return t.last
	}); err != nil {
		return err
	}
	s.forgetOld(now)
	return s.purgeRules(ctx, now)
}

// forgetOld is what Purge does in memory.
func (s *Store) forgetOld(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for subject, p := range s.peers {
		if now.Sub(time.Unix(0, p.last)) > s.o.Keep && !p.dirty {
			delete(s.peers, subject)
		}
	}
	for key, t := range s.triples {
		if t.over(now) {
			delete(s.triples, key)
		}
	}
	for subject, r := range s.reached {
		if now.Sub(r.since) > Window(SentToday) {
			delete(s.reached, subject)
		}
	}
}

// purge deletes rows that seen gives no time for, and the oldest beyond a
// number.
func (s *Store) purge(ctx context.Context, prefix byte, most int, seen func(value []byte) int64) error {
	type found struct {
		key  string
		seen int64
	}
	var rows []found
	err := s.db.View(ctx, keys.Peers, func(r kv.Reader) error {
		for item, err := range r.Scan([]byte{prefix}, kv.PrefixEnd([]byte{prefix}), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			rows = append(rows, found{string(item.Key), seen(item.Value)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b found) int { return int(min(max(b.seen-a.seen, -1), 1)) }) // newest first
	keep := 0
	for keep < len(rows) && keep < most && rows[keep].seen > 0 {
		keep++
	}
	for some := range slices.Chunk(rows[keep:], batch) {
		err := kv.Apply(ctx, s.db, keys.Peers, func(tx kv.Txn) error {
			for _, f := range some {
				tx.Delete([]byte(f.key))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
