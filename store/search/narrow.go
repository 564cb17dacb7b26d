package search

import (
	"context"
	"errors"
	"slices"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/kv"
)

// Candidates are the emails that may have a text. They are safe for concurrent
// use.
type Candidates struct {
	through mail.EmailID // later ones may have it: they are not indexed
	first   mail.EmailID
	bits    []uint64 // from first on
	finds   *finds   // what has been found out before; may be nil
}

// May tells whether an email may have the text, and whether that is certain:
// it is if it may not, or if it has been found out before.
func (c *Candidates) May(id mail.EmailID) (may, certain bool) {
	if c == nil {
		return true, false
	}
	if id <= c.through {
		if id < c.first {
			return false, true
		}
		i := uint64(id - c.first)
		if i/64 >= uint64(len(c.bits)) || c.bits[i/64]&(1<<(i%64)) == 0 {
			return false, true
		}
	}
	if c.finds != nil {
		if has, known := c.finds.tell(id); known {
			return has, true
		}
	}
	return true, false
}

// Found keeps what has been found out of a candidate by looking.
func (c *Candidates) Found(id mail.EmailID, has bool) {
	if c != nil && c.finds != nil {
		c.finds.keep(id, has)
	}
}

// maxSpan bounds the distance between the first and the last email's numbers
// that Candidates can tell apart: a bit each.
const maxSpan = 1 << 28

// Narrow gives, for each of the queries, the emails that may have its terms in
// their texts; nil where all may. Terms of less than three octets do not narrow
// anything down, nor do those of less than six of which a character may be wrong.
func (a *Account) Narrow(ctx context.Context, queries []abstract.Query) ([]*Candidates, error) {
	list := make([]*Candidates, len(queries))
	a.recall(queries, list)
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
		for i, q := range queries {
			if slices.ContainsFunc(q.Terms, narrows) {
				c := Candidates{through: s.through, first: segments[0].emails[0]}
				c.bits = make([]uint64, (c.through-c.first)/64+1)
				if err := c.find(ctx, r, segments, q); err != nil {
					return err
				}
				if list[i] != nil {
					c.finds = list[i].finds
				}
				list[i] = &c
			}
		}
		return nil
	})
	if errors.Is(err, errCorrupt) {
		return make([]*Candidates, len(queries)), a.repair(ctx, err)
	}
	return list, err
}

// recall gives what has been found out before.
func (a *Account) recall(queries []abstract.Query, list []*Candidates) {
	a.mu.Lock()
	for i := range queries {
		if f := a.findsOf(&queries[i]); f != nil {
			list[i] = &Candidates{finds: f}
		}
	}
	cost := a.rows.cost() + a.keptCost()
	a.mu.Unlock()
	a.x.weigh(a, cost)
}

// narrows tells whether a term can be looked up: whether a gram of it is there
// in any case.
func narrows(t abstract.Term) bool {
	if t.Almost {
		return len(t.Text) >= 2*gramSize
	}
	return len(t.Text) >= gramSize
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

func (c *Candidates) find(ctx context.Context, r kv.Reader, segments []*segment, q abstract.Query) error {
	for len(segments) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := segments[:min(len(segments), segmentsAtOnce)]
		segments = segments[len(part):]
		left := make([]places, len(part))
		for i, s := range part {
			left[i] = allPlaces(len(s.emails))
		}
		able, rest := part, left
		if q.Bare {
			able, rest = only(part, left, func(i int) bool { return !part[i].old })
		}
		for _, t := range q.Terms {
			if err := intersectTerm(r, able, rest, t); err != nil {
				return err
			}
			able, rest = only(able, rest, func(i int) bool { return rest[i].any() })
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

// only gives the segments for which keep holds, with what is left in them.
func only(segments []*segment, left []places, keep func(i int) bool) ([]*segment, []places) {
	var some []*segment
	var still []places
	for i, s := range segments {
		if keep(i) {
			some, still = append(some, s), append(still, left[i])
		}
	}
	return some, still
}

// intersectTerm leaves in each segment the places that may have a term.
func intersectTerm(r kv.Reader, segments []*segment, left []places, t abstract.Term) error {
	switch {
	case !narrows(t):
		return nil
	case t.Almost:
		return intersectAlmost(r, segments, left, t.Text)
	}
	grams := gramsOf(t.Text)
	if err := intersect(r, segments, left, grams[:min(len(grams), firstGrams)]); err != nil {
		return err
	}
	if len(grams) > firstGrams {
		segments, left = only(segments, left, func(i int) bool { return left[i].count() > fewLeft })
		return intersect(r, segments, left, grams[firstGrams:])
	}
	return nil
}

func (c *Candidates) add(id mail.EmailID) {
	i := uint64(id - c.first)
	c.bits[i/64] |= 1 << (i % 64)
}

// intersect leaves in each segment the places that have all the grams.
func intersect(r kv.Reader, segments []*segment, left []places, grams []gram) error {
	return eachPosting(r, segments, grams, func(i, _ int, found places) {
		if found == nil {
			clear(left[i])
		} else {
			left[i].and(found)
		}
	})
}

// eachPosting calls fn for each segment and each gram, with the places that have
// it; nil for none. All blocks are read in one round trip.
func eachPosting(r kv.Reader, segments []*segment, grams []gram, fn func(segment, gram int, found places)) error {
	if len(segments) == 0 || len(grams) == 0 {
		return nil
	}
	type lookup struct {
		segment int
		first   gram
		gram    int
	}
	var want [][]byte
	var lookups []lookup
	for i, s := range segments {
		for k, g := range grams {
			first, ok := s.block(g)
			if !ok {
				fn(i, k, nil)
				continue
			}
			want = append(want, postingsKey(s.id, first))
			lookups = append(lookups, lookup{i, first, k})
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
		found, err := find(l.first, values[i], len(segments[l.segment].emails), grams[l.gram])
		if err != nil {
			return err
		}
		fn(l.segment, l.gram, found)
	}
	return nil
}
