package search

import (
	"context"
	"slices"

	"waxwing/mail"
	"waxwing/store/kv"
)

// renew puts segments of the present format in the place of one of an older
// one, built from the messages; false if there was none.
func (a *Account) renew(ctx context.Context, s *state) (bool, error) {
	if !s.old {
		return false, nil
	}
	next := *s
	for i, ref := range s.segments {
		known, err := a.readSegment(ctx, ref)
		if err != nil {
			return false, err
		}
		if !known.old {
			continue
		}
		live, err := a.live(ctx, known.emails)
		if err != nil {
			return false, err
		}
		var ids []mail.EmailID
		for k, id := range known.emails {
			if live[k] {
				ids = append(ids, id)
			}
		}
		var made []segmentRef
		for len(ids) > 0 {
			n := min(len(ids), maxBuilt)
			ref, err := a.segment(ctx, ids[:n])
			if err != nil {
				return false, err
			}
			made, ids = append(made, ref), ids[n:]
		}
		next.segments = slices.Replace(slices.Clone(s.segments), i, i+1, made...)
		return true, a.replace(ctx, s, &next, []uint64{ref.id})
	}
	next.old = false
	return true, a.replace(ctx, s, &next, nil)
}

// readSegment reads which emails a segment is of.
func (a *Account) readSegment(ctx context.Context, ref segmentRef) (known *segment, err error) {
	err = a.x.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany([][]byte{emailsKey(ref.id)})
		if err == nil {
			known, err = decodeSegment(ref, got[0])
		}
		return err
	})
	return known, err
}
