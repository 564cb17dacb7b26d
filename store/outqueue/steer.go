package outqueue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"waxwing/mail"
)

// edit changes the records of items.
func (q *Queue) edit(ctx context.Context, what string, ids []ID, fn func(*Item, *state) error) error {
	err := q.each(ctx, ids, func(tx *shardTxn, id ID, old state) error {
		it, err := readItem(tx, id, old)
		if err != nil {
			return err
		}
		s := old
		if err := fn(it, &s); err != nil {
			return err
		}
		s.way = wayOf(it)
		s.parts = tx.putRecord(it, old.parts)
		tx.schedule(id, old, s)
		return nil
	})
	q.poke()
	if err != nil {
		return fmt.Errorf("%s queue items: %w", what, err)
	}
	return nil
}

// Reroute says where items go instead of their ordinary way, in the words of
// the relay; empty for the ordinary way again. They are due now, if nobody is
// at them.
func (q *Queue) Reroute(ctx context.Context, now time.Time, to string, ids ...ID) error {
	return q.edit(ctx, "reroute", ids, func(it *Item, s *state) error {
		it.Reroute = clip(to)
		if !s.taken() {
			s.due = now.UnixNano()
		}
		return nil
	})
}

// EditRecipient puts another address in the place of a recipient's, for whom
// everything begins anew. It fails with ErrUnderway while the item is being
// tried, and with ErrNotFound if there is no such recipient who still waits.
func (q *Queue) EditRecipient(ctx context.Context, now time.Time, id ID, old, to mail.Address) error {
	return q.edit(ctx, "edit recipients of", []ID{id}, func(it *Item, s *state) error {
		if s.taken() {
			return ErrUnderway
		}
		for i := range it.Envelope.To {
			r := &it.Envelope.To[i]
			if it.Status[i].State != Pending || !strings.EqualFold(r.Address.String(), old.String()) {
				continue
			}
			r.Address, it.Status[i] = to, Status{}
			s.due = now.UnixNano()
			return nil
		}
		return fmt.Errorf("recipient %s: %w", old, ErrNotFound)
	})
}

// maxDestinations bounds how many domains Destinations tells apart.
const maxDestinations = 20_000

// A Total is what waits for one domain.
type Total struct {
	Domain   string // empty for all that are too many to be told apart
	Items    int64  // messages with a recipient there who still waits
	Octets   mail.ByteCount
	Deferred int64 // of them, have been tried in vain
	Held     int64 // of them, are held
	Oldest   time.Time
	Next     time.Time // the next try; zero if all are held
	Said     string    // what was last said of one of them
	last     time.Time
}

// Destinations adds up what waits, by the recipients' domains.
func (q *Queue) Destinations(ctx context.Context) ([]*Total, error) {
	var all []*Total
	at := map[string]*Total{}
	for it, err := range q.List(ctx, Filter{}) {
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, i := range it.Pending() {
			domain := strings.ToLower(it.Envelope.To[i].Address.Domain)
			t := at[domain]
			if t == nil && len(all) >= maxDestinations {
				domain = ""
				t = at[domain]
			}
			if t == nil {
				t = &Total{Domain: domain}
				at[domain], all = t, append(all, t)
			}
			t.add(it, &it.Status[i], seen[domain])
			seen[domain] = true
		}
	}
	return all, nil
}

// add counts one recipient, and the item unless it has been counted.
func (t *Total) add(it *Item, s *Status, counted bool) {
	if s.Last.After(t.last) {
		t.last = s.Last
		t.Said = strings.TrimSpace(s.Reply.Text)
		if s.Reply.Code != 0 {
			t.Said = fmt.Sprintf("%d %s", s.Reply.Code, t.Said)
		}
	}
	if counted {
		return
	}
	t.Items++
	t.Octets += it.Size
	if it.Tries > 0 {
		t.Deferred++
	}
	if t.Oldest.IsZero() || it.Created.Before(t.Oldest) {
		t.Oldest = it.Created
	}
	if it.Held {
		t.Held++
	} else if t.Next.IsZero() || it.Due.Before(t.Next) {
		t.Next = it.Due
	}
}
