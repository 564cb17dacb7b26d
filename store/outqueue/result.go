package outqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/store/blob"
)

// Result notes what came of an attempt and returns when that is durable. An
// attempt that ends the lease removes the item if nobody is Pending any more,
// else makes it due at Attempt.Next. Results for recipients that are settled
// already change nothing, so a Result whose fate is unknown can be repeated
// (with Then under tokens) for as long as the lease holds. Results of one lease
// may be noted concurrently; Lease.Item stays as it was.
func (q *Queue) Result(ctx context.Context, now time.Time, l *Lease, a Attempt) error {
	shard := l.Item.ID.shard()
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	if err := q.checkAttempt(l.Item, &a); err != nil {
		return fmt.Errorf("result of %s: %w", l.Item.ID, err)
	}
	if len(a.Then) == 0 {
		err = q.gathered(ctx, now, shard, shards, l, &a)
	} else {
		err = q.resultThen(ctx, now, shard, shards, l, &a)
	}
	if err == nil || errors.Is(err, ErrNotFound) {
		q.memory.settled(l, err != nil || !a.Keep)
	}
	if err != nil {
		return fmt.Errorf("result of %s: %w", l.Item.ID, err)
	}
	if !a.Next.IsZero() {
		q.putOff(a.Next)
	}
	return nil
}

// resultThen is Result with notifications, which has a transaction of its own.
func (q *Queue) resultThen(ctx context.Context, now time.Time, shard, shards int, l *Lease, a *Attempt) error {
	release, err := q.keep(ctx, shard, a.Then)
	if err != nil {
		return err
	}
	o := ordered{arrival: new(arrival)}
	var freed []blob.Sum
	o.Commit, err = q.admit(ctx, shard, shards, func(tx *shardTxn, rules ruleBook) error {
		if err := q.settle(tx, now, l, a); err != nil {
			return err
		}
		for i := range a.Then {
			if _, err := tx.enqueue(now, rules, &a.Then[i]); err != nil {
				return err
			}
		}
		q.admitted(tx, &o)
		freed = tx.freed
		return nil
	})
	release()
	if err != nil {
		q.memory.giveUp(o.arrival, false)
		q.dropBodies(ctx, shard, a.Then)
		return err
	}
	if err := o.Wait(ctx); err != nil {
		q.memory.giveUp(o.arrival, true)
		return err
	}
	q.drop(ctx, shard, freed)
	q.arrived(now, o)
	return nil
}

func (q *Queue) checkAttempt(it *Item, a *Attempt) error {
	for _, r := range a.Results {
		if r.Index < 0 || r.Index >= len(it.Status) || r.State > Expired {
			return fmt.Errorf("there is no recipient %d or state %d", r.Index, r.State)
		}
	}
	for i := range a.Then {
		if err := q.check(&a.Then[i]); err != nil {
			return err
		}
	}
	return nil
}

// errNoNext is a mistake of the caller: the item would be tried at once, again
// and again.
var errNoNext = errors.New("recipients are pending and there is no next try")

// settle brings the results into the item.
func (q *Queue) settle(tx *shardTxn, now time.Time, l *Lease, a *Attempt) error {
	it, old, err := q.holding(tx, l)
	if err != nil {
		return err
	}
	q.memory.doubt(l)
	for _, r := range a.Results {
		it.Status[r.Index].note(now, r)
	}
	s := old
	if !a.Keep {
		if len(it.Pending()) == 0 {
			return tx.remove(it, old)
		}
		if a.Next.IsZero() {
			return errNoNext
		}
		it.ended(a.Try)
		s.leased, s.due = false, max(a.Next.UnixNano(), now.UnixNano())
		s.tried = s.tried || !a.Try.Began.IsZero()
	}
	s.way = wayOf(it)
	s.parts = tx.putRecord(it, old.parts)
	tx.schedule(it.ID, old, s)
	return nil
}

// note brings one result in.
func (s *Status) note(now time.Time, r Result) {
	if s.State != Pending {
		return
	}
	s.State, s.Last, s.Attempts = r.State, now, s.Attempts+1
	s.Told |= r.Told
	s.Reply, s.Remote = r.Reply, clip(r.Remote)
	s.Reply.Text, s.Reply.Enhanced = clip(r.Reply.Text), clip(r.Reply.Enhanced)
}

// ended notes the end of a try.
func (it *Item) ended(t Try) {
	if t.Began.IsZero() {
		return
	}
	it.Tries++
	t.Remote, t.Text = clip(t.Remote), clip(t.Text)
	t.Calls = slices.Clone(t.Calls[:min(len(t.Calls), maxCalls)])
	for i := range t.Calls {
		c := &t.Calls[i]
		c.Remote, c.TLS, c.Text = clipTo(c.Remote, maxCallOctets), clipTo(c.TLS, maxCallOctets), clipTo(c.Text, maxCallOctets)
	}
	it.History = append(it.History, t)
	if n := len(it.History) - maxHistory; n > 0 {
		it.History = it.History[n:]
	}
	if n := len(it.History) - fullTries - 1; n >= 0 {
		old := &it.History[n]
		old.Text, old.Calls = clipTo(old.Text, maxCallOctets), nil
	}
}

// clip bounds the words of a stranger, and makes them UTF-8.
func clip(s string) string { return clipTo(s, maxReply) }

func clipTo(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
