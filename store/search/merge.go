package search

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

// fanIn is how many segments of like size are put together.
const fanIn = 8

// level tells segments of like size apart.
func level(docs int) int {
	n := 0
	for size := minBatch * fanIn; docs >= size && size < maxDocs; size *= fanIn {
		n++
	}
	return n
}

// merge puts segments together where there are fanIn of like size side by side;
// false if there are not.
func (a *Account) merge(ctx context.Context, s *state) (bool, error) {
	for i := 0; i < len(s.segments); {
		n, docs := 0, 0
		for ; i+n < len(s.segments); n++ {
			ref := s.segments[i+n]
			if level(ref.docs) != level(s.segments[i].docs) || docs+ref.docs > maxDocs {
				break
			}
			docs += ref.docs
		}
		// What would not fit any more counts as enough.
		full := i+n < len(s.segments) && n > 1 && level(s.segments[i+n].docs) == level(s.segments[i].docs)
		if n >= fanIn || full {
			return true, a.rewrite(ctx, s, i, n)
		}
		i += max(n, 1)
	}
	return false, nil
}

// A source is a segment that is being put together with others.
type source struct {
	*segment
	values [][]byte // its blocks
	to     []int32  // where each of its emails goes; -1 for those that are purged
	at     int      // block
	r      blockReader
	done   bool
}

func (s *source) next() error {
	for {
		more, err := s.r.next()
		if err != nil || more {
			return err
		}
		if s.at++; s.at >= len(s.values) {
			s.done = true
			return nil
		}
		if s.r, err = readBlock(s.blocks[s.at], s.values[s.at], len(s.emails)); err != nil {
			return err
		}
	}
}

// rewrite puts n segments from the i-th on into one, without what is purged.
func (a *Account) rewrite(ctx context.Context, s *state, i, n int) error {
	sources, err := a.sources(ctx, s.segments[i:i+n])
	if err != nil {
		return err
	}
	into := segment{id: randomID()}
	for _, src := range sources {
		into.old = into.old || src.old
		live, err := a.live(ctx, src.emails)
		if err != nil {
			return err
		}
		src.to = make([]int32, len(src.emails))
		for k, id := range src.emails {
			src.to[k] = -1
			if live[k] {
				src.to[k] = int32(len(into.emails))
				into.emails = append(into.emails, id)
			}
		}
		for _, k := range src.wild {
			if to := src.to[k]; to >= 0 {
				into.wild = append(into.wild, uint16(to))
			}
		}
	}
	next := *s
	next.segments = slices.Clone(s.segments)
	gone := make([]uint64, n)
	for k := range n {
		gone[k] = s.segments[i+k].id
	}
	if len(into.emails) == 0 {
		next.segments = slices.Delete(next.segments, i, i+n)
		return a.replace(ctx, s, &next, gone)
	}
	if err := a.writeMerged(ctx, &into, sources); err != nil {
		return err
	}
	next.segments = slices.Replace(next.segments, i, i+n, segmentRef{into.id, len(into.emails)})
	return a.replace(ctx, s, &next, gone)
}

// writeMerged writes the postings of sources as those of one segment.
func (a *Account) writeMerged(ctx context.Context, into *segment, sources []*source) error {
	out := writer{db: a.x.db, part: a.part}
	w := blockWriter{docs: len(into.emails), emit: func(first gram, block []byte) error {
		into.blocks = append(into.blocks, first)
		return out.put(ctx, postingsKey(into.id, first), block)
	}}
	pace := a.x.Pace()
	list := make([]uint16, 0, w.docs)
	for {
		least := -1
		for _, src := range sources {
			if !src.done && (least < 0 || int(src.r.gram) < least) {
				least = int(src.r.gram)
			}
		}
		if least < 0 {
			break
		}
		list = list[:0]
		for _, src := range sources {
			if src.done || int(src.r.gram) != least {
				continue
			}
			err := src.r.each(func(place int) {
				if to := src.to[place]; to >= 0 {
					list = append(list, uint16(to))
				}
			})
			if err == nil {
				err = src.next()
			}
			if err != nil {
				return err
			}
		}
		if len(list) > 0 {
			if err := w.put(gram(least), list); err != nil {
				return err
			}
		}
		if least%256 == 0 {
			if err := pace.Yield(ctx); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := out.put(ctx, emailsKey(into.id), into.encode()); err != nil {
		return err
	}
	return out.flush(ctx)
}

// sources reads segments with all their postings: two thousand octets or so an
// email.
func (a *Account) sources(ctx context.Context, refs []segmentRef) ([]*source, error) {
	var list []*source
	for _, ref := range refs {
		src := &source{at: -1}
		err := a.x.db.View(ctx, a.part, func(r kv.Reader) error {
			got, err := r.GetMany([][]byte{emailsKey(ref.id)})
			if err != nil {
				return err
			}
			if src.segment, err = decodeSegment(ref, got[0]); err != nil {
				return err
			}
			src.values = src.values[:0]
			lo := postingsKey(ref.id, 0)
			for it, err := range r.Scan(lo, kv.PrefixEnd(lo[:9]), kv.ScanOptions{}) {
				if err != nil {
					return err
				}
				k := len(src.values)
				if len(it.Key) != 11 || k >= len(src.blocks) || src.blocks[k] != gram(binary.BigEndian.Uint16(it.Key[9:])) {
					return fmt.Errorf("segment: %w", errCorrupt)
				}
				src.values = append(src.values, append([]byte(nil), it.Value...))
			}
			if len(src.values) != len(src.blocks) {
				return fmt.Errorf("segment: %w", errCorrupt)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if err := src.next(); err != nil {
			return nil, err
		}
		list = append(list, src)
	}
	return list, nil
}

// live tells which of emails, in the order of their numbers, there still are.
func (a *Account) live(ctx context.Context, emails []mail.EmailID) ([]bool, error) {
	list := make([]bool, len(emails))
	for i := 0; i < len(emails); {
		there, err := a.mail.Emails(ctx, emails[i], maxBuilt)
		if err != nil {
			return nil, err
		}
		if len(there) == 0 {
			break
		}
		for _, id := range there {
			for i < len(emails) && emails[i] < id {
				i++
			}
			if i < len(emails) && emails[i] == id {
				list[i] = true
				i++
			}
		}
	}
	return list, nil
}

// prune removes what has been purged: its abstracts at once, its postings where
// they are a quarter of a segment.
func (a *Account) prune(ctx context.Context, s *state, now time.Time) error {
	for i := 0; i < len(s.segments); i++ {
		known, err := a.readSegment(ctx, s.segments[i])
		if err != nil {
			return err
		}
		live, err := a.live(ctx, known.emails)
		if err != nil {
			return err
		}
		var gone [][]byte
		for k, id := range known.emails {
			if !live[k] {
				gone = append(gone, abstractKey(id))
			}
		}
		if len(gone) == 0 {
			continue
		}
		if err := a.remove(ctx, gone); err != nil {
			return err
		}
		if 4*len(gone) >= len(known.emails) {
			before := len(s.segments)
			if err := a.rewrite(ctx, s, i, 1); err != nil {
				return err
			}
			i -= before - len(s.segments)
		}
	}
	next := *s
	next.pruned = now.Unix()
	return a.replace(ctx, s, &next, nil)
}

// remove deletes rows that may be there.
func (a *Account) remove(ctx context.Context, rows [][]byte) error {
	return kv.Apply(ctx, a.x.db, a.part, func(tx kv.Txn) error {
		for _, key := range rows {
			tx.Delete(key)
		}
		return nil
	})
}
