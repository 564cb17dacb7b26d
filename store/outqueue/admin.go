package outqueue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Get gives one item.
func (q *Queue) Get(ctx context.Context, id ID) (*Item, error) {
	shard, err := q.locate(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", id, err)
	}
	var it *Item
	err = q.db.View(ctx, partition(shard), func(r kv.Reader) error {
		b, err := r.Get(stateKey(id))
		if errors.Is(err, kv.ErrNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		s, err := decodeState(b)
		if err != nil {
			return err
		}
		it, err = readItem(r, id, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", id, err)
	}
	q.memory.show(it)
	return it, nil
}

// A Filter chooses items. The zero value chooses all.
type Filter struct {
	After ID // only those behind it
	Limit int

	Held     bool // only those that are held
	Deferred bool // only those that have been tried in vain
	Underway bool // only those that are being tried
	Untried  bool // only those that have not been tried

	Account mail.AccountID // whose submission or redelivery it is
	From    string         // part of the reverse-path
	To      string         // part of a recipient's address
	Domain  string         // the domain of a recipient who still waits
	Said    string         // part of what was last said of such a recipient
	Frozen  string         // the rule that holds it
	Before  time.Time      // only those that came before; zero for all
	Larger  mail.ByteCount // only those with more octets
}

func (f *Filter) wantsState(s state) bool {
	return (!f.Held || s.held) && (!f.Deferred || s.tried) && (!f.Underway || s.taken()) && (!f.Untried || !s.tried) &&
		(f.Larger == 0 || mail.ByteCount(s.octets) > f.Larger)
}

func (f *Filter) wants(it *Item) bool {
	switch {
	case f.Account != 0 && it.Account != f.Account && it.Origin.Account != f.Account,
		!contains(it.Envelope.From, f.From),
		f.Frozen != "" && it.Frozen != f.Frozen,
		!f.Before.IsZero() && !it.Created.Before(f.Before):
		return false
	}
	return (f.To == "" || f.some(it, false, func(i int) bool { return contains(it.Envelope.To[i].Address, f.To) })) &&
		(f.Domain == "" || f.some(it, true, func(i int) bool { return strings.EqualFold(it.Envelope.To[i].Address.Domain, f.Domain) })) &&
		(f.Said == "" || f.some(it, true, func(i int) bool { return it.Status[i].said(f.Said) }))
}

// some tells whether something holds for a recipient, of those who still wait
// or of all.
func (f *Filter) some(it *Item, pending bool, holds func(int) bool) bool {
	for i, s := range it.Status {
		if (!pending || s.State == Pending) && holds(i) {
			return true
		}
	}
	return false
}

// said tells whether a text is in the last answer.
func (s *Status) said(text string) bool {
	all := strings.Join(strings.Fields(fmt.Sprintf("%s %d %s %s", s.Remote, s.Reply.Code, s.Reply.Enhanced, s.Reply.Text)), " ")
	return strings.Contains(strings.ToLower(all), strings.ToLower(text))
}

func contains(a mail.Address, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(a.String()), strings.ToLower(part))
}

// listPage is how many items List reads in one view.
const listPage = 100

// List goes through items in the order of their ids, which is that of their
// coming within a shard. It reads page by page: items that come or go
// meanwhile may be in it or not.
func (q *Queue) List(ctx context.Context, f Filter) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		shards, err := q.count(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		left := f.Limit
		if left <= 0 {
			left = math.MaxInt
		}
		for at := f.After + 1; at.shard() < shards; {
			items, next, err := q.page(ctx, at, f)
			if err != nil {
				yield(nil, fmt.Errorf("list queue: %w", err))
				return
			}
			for _, it := range items {
				if left == 0 || !yield(it, nil) {
					return
				}
				left--
			}
			if left == 0 {
				return
			}
			at = next
		}
	}
}

// page reads the items of one page that the filter wants, and gives the id at
// which the next page begins.
func (q *Queue) page(ctx context.Context, at ID, f Filter) (items []*Item, next ID, err error) {
	shard := at.shard()
	next = newID(shard+1, 0)
	err = q.db.View(ctx, partition(shard), func(r kv.Reader) error {
		var ids []ID
		n := 0
		for row, err := range r.Scan(stateKey(at), []byte{keys.QueueState + 1}, kv.ScanOptions{Limit: listPage}) {
			if err != nil {
				return err
			}
			s, err := decodeState(row.Value)
			if err != nil {
				return err
			}
			id := idOf(row.Key)
			if n++; n == listPage {
				next = id + 1
			}
			if s.lent = q.memory.leased(id); f.wantsState(s) {
				ids = append(ids, id)
			}
		}
		_, all, damaged, err := readAll(r, ids)
		for i, it := range all {
			switch {
			case damaged[i] != nil:
				q.o.Log.Error("queue item cannot be read", obs.Queue, ids[i].String(), obs.Err, damaged[i])
			case f.wants(it):
				q.memory.show(it)
				items = append(items, it)
			}
		}
		return err
	})
	return items, next, err
}

// Hold keeps items from being tried until Release, whatever becomes of a rule
// that holds them, too. An attempt that is under way goes on. Items that do not
// exist give ErrNotFound, after the others.
func (q *Queue) Hold(ctx context.Context, ids ...ID) error {
	return q.edit(ctx, "hold", ids, func(it *Item, s *state) error {
		s.held, it.Frozen = true, ""
		return nil
	})
}

// Release ends Hold, and makes an exception of the rules that hold the items;
// they keep their times.
func (q *Queue) Release(ctx context.Context, ids ...ID) error {
	return q.edit(ctx, "release", ids, func(it *Item, s *state) error {
		s.held, it.Frozen = false, ""
		return nil
	})
}

// Unhold ends Hold; what a rule holds stays.
func (q *Queue) Unhold(ctx context.Context, ids ...ID) error {
	rules, err := q.Freezes(ctx)
	if err != nil {
		return err
	}
	return q.edit(ctx, "release", ids, func(it *Item, s *state) error {
		it.Frozen = frozenBy(rules, it)
		s.held = it.Frozen != ""
		return nil
	})
}

// Retry makes items due now, if nobody is at them. It fails with ErrHeld for
// those that are held.
func (q *Queue) Retry(ctx context.Context, now time.Time, ids ...ID) error {
	return q.change(ctx, "retry", ids, func(id ID, s *state) error {
		switch {
		case s.held:
			return fmt.Errorf("%s: %w", id, ErrHeld)
		case !s.taken():
			s.due = now.UnixNano()
		}
		return nil
	})
}

// change changes the states of items and pokes the relay.
func (q *Queue) change(ctx context.Context, what string, ids []ID, fn func(ID, *state) error) error {
	err := q.each(ctx, ids, func(tx *shardTxn, id ID, old state) error {
		s := old
		if err := fn(id, &s); err != nil {
			return err
		}
		if s != old {
			tx.schedule(id, old, s)
		}
		return nil
	})
	q.poke()
	if err != nil {
		return fmt.Errorf("%s queue items: %w", what, err)
	}
	return nil
}

// Delete removes items, also those that somebody is at, whose Result will get
// ErrNotFound. Nobody is told.
func (q *Queue) Delete(ctx context.Context, ids ...ID) error {
	err := q.each(ctx, ids, func(tx *shardTxn, id ID, s state) error {
		it, err := readItem(tx, id, s)
		if errors.Is(err, errDamaged) {
			it, err = &Item{ID: id}, nil // it cannot be read, but it can go
		}
		if err != nil {
			return err
		}
		return tx.remove(it, s)
	})
	if err != nil {
		return fmt.Errorf("delete queue items: %w", err)
	}
	return nil
}

// eachBatch is how many items one transaction changes.
const eachBatch = 100

// each runs fn on items, shard by shard, in transactions of some size, and
// gives ErrNotFound for those that do not exist once the others are done.
func (q *Queue) each(ctx context.Context, ids []ID, fn func(*shardTxn, ID, state) error) error {
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	byShard := map[int][]ID{}
	var missing error
	for _, id := range ids {
		if id.shard() >= shards {
			missing = errors.Join(missing, fmt.Errorf("%s: %w", id, ErrNotFound))
			continue
		}
		byShard[id.shard()] = append(byShard[id.shard()], id)
	}
	for shard, ids := range byShard {
		for len(ids) > 0 {
			batch := ids[:min(eachBatch, len(ids))]
			ids = ids[len(batch):]
			gone, err := q.eachOf(ctx, shard, shards, batch, fn)
			if err != nil {
				return err
			}
			missing = errors.Join(missing, gone)
		}
	}
	return missing
}

func (q *Queue) eachOf(ctx context.Context, shard, shards int, ids []ID, fn func(*shardTxn, ID, state) error) (missing, err error) {
	var tx *shardTxn
	done := q.memory.touch(ids)
	defer done()
	err = kv.Apply(ctx, q.db, partition(shard), func(kvtx kv.Txn) (err error) {
		missing = nil
		if tx, err = begin(kvtx, shard, shards); err != nil {
			return err
		}
		for _, id := range ids {
			s, err := tx.state(id)
			s.lent = q.memory.leased(id)
			if errors.Is(err, ErrNotFound) {
				missing = errors.Join(missing, fmt.Errorf("%s: %w", id, err))
				continue
			}
			if err == nil {
				err = fn(tx, id, s)
			}
			if err != nil {
				return err
			}
		}
		if q.o.Shared {
			tx.head.early++ // it may stand anywhere now
		}
		tx.end()
		return nil
	})
	if err == nil {
		q.drop(ctx, shard, tx.freed)
	}
	return missing, err
}
