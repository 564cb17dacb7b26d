package search

import (
	"context"
	"errors"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/kv"
)

// Candidates are the emails that may have a text.
type Candidates struct {
	through mail.EmailID // later ones may have it: they are not indexed
	first   mail.EmailID
	bits    []uint64 // from first on
}

// May tells whether an email may have the text; false is certain.
func (c *Candidates) May(id mail.EmailID) bool {
	if c == nil || id > c.through {
		return true
	}
	if id < c.first {
		return false
	}
	i := uint64(id - c.first)
	return i/64 < uint64(len(c.bits)) && c.bits[i/64]&(1<<(i%64)) != 0
}

// maxSpan bounds the distance between the first and the last email's numbers
// that Candidates can tell apart: a bit each.
const maxSpan = 1 << 28

// Narrow gives, for each of the folded needles, the emails that may have it in
// their text; nil where all may. Needles of less than three octets are not
// narrowed down.
func (a *Account) Narrow(ctx context.Context, needles [][]byte) ([]*Candidates, error) {
	list := make([]*Candidates, len(needles))
	if a.x.db == nil {
		return list, nil
	}
	err := a.x.db.View(ctx, a.part, func(r kv.Reader) error {
		a.mu.Lock()
		err := a.read(r)
		s := a.state
		segments := make([]*segment, len(s.segments))
		for i, ref := range s.segments {
			segments[i] = a.segments[ref.id]
		}
		a.mu.Unlock()
		if err != nil || len(segments) == 0 || s.through-segments[0].emails[0] >= maxSpan {
			return err
		}
		for i, needle := range needles {
			if grams := gramsOf(needle); len(grams) > 0 {
				c := &Candidates{through: s.through, first: segments[0].emails[0]}
				c.bits = make([]uint64, (c.through-c.first)/64+1)
				if err := c.find(ctx, r, segments, grams); err != nil {
					return err
				}
				list[i] = c
			}
		}
		return nil
	})
	if errors.Is(err, errCorrupt) {
		return make([]*Candidates, len(needles)), a.repair(ctx, err)
	}
	return list, err
}

// repair drops an index that cannot be read: it is built anew, and until then
// everything is a candidate.
func (a *Account) repair(ctx context.Context, why error) error {
	a.x.log.Error("search index is built anew", obs.Account, a.id, obs.Err, why)
	return a.x.Drop(ctx, a.id)
}

// How segments are gone through: so many at a time, with a needle's first
// grams; with the others where more than a few emails are left.
const (
	segmentsAtOnce = 64
	firstGrams     = 5
	fewLeft        = 4
)

func (c *Candidates) find(ctx context.Context, r kv.Reader, segments []*segment, grams []gram) error {
	for len(segments) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := segments[:min(len(segments), segmentsAtOnce)]
		segments = segments[len(part):]
		left := make([]places, len(part))
		for i, s := range part {
			left[i] = newPlaces(len(s.emails))
			for j := range s.emails {
				left[i].add(j)
			}
		}
		if err := intersect(r, part, left, grams[:min(len(grams), firstGrams)]); err != nil {
			return err
		}
		if len(grams) > firstGrams {
			var open []*segment
			var still []places
			for i, s := range part {
				if left[i].count() > fewLeft {
					open, still = append(open, s), append(still, left[i])
				}
			}
			if err := intersect(r, open, still, grams[firstGrams:]); err != nil {
				return err
			}
		}
		for i, s := range part {
			for j, id := range s.emails {
				if left[i].has(j) {
					c.add(id)
				}
			}
			for _, j := range s.wild {
				c.add(s.emails[j])
			}
		}
	}
	return nil
}

func (c *Candidates) add(id mail.EmailID) {
	i := uint64(id - c.first)
	c.bits[i/64] |= 1 << (i % 64)
}

// intersect leaves in each segment the places that have all the grams. All
// blocks are read in one round trip.
func intersect(r kv.Reader, segments []*segment, left []places, grams []gram) error {
	if len(segments) == 0 || len(grams) == 0 {
		return nil
	}
	type lookup struct {
		segment int
		first   gram
		gram    gram
	}
	var want [][]byte
	var lookups []lookup
	for i, s := range segments {
		for _, g := range grams {
			first, ok := s.block(g)
			if !ok {
				clear(left[i])
				continue
			}
			want = append(want, postingsKey(s.id, first))
			lookups = append(lookups, lookup{i, first, g})
		}
	}
	values, err := r.GetMany(want)
	if err != nil {
		return err
	}
	for i, l := range lookups {
		if values[i] == nil {
			return errCorrupt
		}
		found, err := find(l.first, values[i], len(segments[l.segment].emails), l.gram)
		if err != nil {
			return err
		}
		if found == nil {
			clear(left[l.segment])
			continue
		}
		left[l.segment].and(found)
	}
	return nil
}
