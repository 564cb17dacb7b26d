package outqueue

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// never is the head's mark of a shard in which nothing will be due.
const never = math.MaxInt64

// maxLease bounds how many items one transaction leases.
const maxLease = 500

// Lease leases those of the items that are due and that nobody has. Where other
// processes share the engine it returns when the leases are durable; else they
// are known to this one alone, whose end ends them. An item that is not given
// back (Result) in time becomes due again.
func (q *Queue) Lease(ctx context.Context, now time.Time, ready ...Ready) ([]*Lease, error) {
	shards, err := q.count(ctx)
	if err != nil {
		return nil, err
	}
	if !q.o.Shared {
		return q.lendAll(ctx, now, ready, shards)
	}
	byShard := map[int][]Ready{}
	for _, r := range ready {
		if shard := r.ID.shard(); shard < shards {
			byShard[shard] = append(byShard[shard], r)
		}
	}
	var leases []*Lease
	var commits []kv.Commit
	for shard, ready := range byShard {
		for batch := range slices.Chunk(ready, maxLease) {
			more, commit, err := q.lease(ctx, now, shard, shards, batch)
			if err != nil {
				return nil, fmt.Errorf("lease queue items: %w", err)
			}
			leases, commits = append(leases, more...), append(commits, commit)
		}
	}
	for _, c := range commits {
		if err := c.Wait(ctx); err != nil {
			return nil, fmt.Errorf("lease queue items: %w", err)
		}
	}
	return leases, nil
}

// LeaseFresh leases those of the items that are known since they have just come,
// without waiting for the disk, and gives the others back. Where other processes
// share the engine there are none.
func (q *Queue) LeaseFresh(now time.Time, ready ...Ready) (leases []*Lease, rest []Ready) {
	if q.o.Shared {
		return nil, ready
	}
	return q.memory.lendKnown(now, now.Add(q.o.Lease), ready)
}

// look reads the head of a shard.
func (q *Queue) look(ctx context.Context, shard int) (h head, err error) {
	err = q.db.View(ctx, partition(shard), func(r kv.Reader) (err error) {
		h, err = readHead(r)
		return err
	})
	if err != nil {
		return head{}, fmt.Errorf("look for queue items: %w", err)
	}
	return h, nil
}

// lease runs one transaction of Lease.
func (q *Queue) lease(ctx context.Context, now time.Time, shard, shards int, ready []Ready) (leases []*Lease, commit kv.Commit, err error) {
	expires := now.Add(q.o.Lease)
	ids := make([]ID, len(ready))
	for i, r := range ready {
		ids[i] = r.ID
	}
	commit, err = q.db.Update(ctx, partition(shard), func(kvtx kv.Txn) error {
		leases = nil
		tx, err := begin(kvtx, shard, shards)
		if err != nil {
			return err
		}
		old, items, damaged, err := readAll(tx, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			switch s := old[i]; {
			case s.held, s.due > now.UnixNano(): // another has it, or it has been put off
				continue
			case s == (state{}) || damaged[i] != nil:
				tx.setAside(q, ready[i], s, damaged[i])
				continue
			}
			s := old[i]
			s.leased, s.due = true, expires.UnixNano()
			s.epoch++
			tx.schedule(id, old[i], s)
			items[i].Leased, items[i].Due = true, expires
			leases = append(leases, &Lease{Item: items[i], Expires: expires, epoch: s.epoch})
		}
		if err := tx.advance(); err != nil {
			return err
		}
		tx.end()
		return nil
	})
	return leases, commit, err
}

// advance moves the head's mark to the first item in the index, which nobody
// needs to look for among the graves before it again.
func (tx *shardTxn) advance() (err error) {
	tx.head.low, err = firstIn(tx, tx.head.low)
	return err
}

// firstIn gives the time of the first item in the index from a time on.
func firstIn(r kv.Reader, from int64) (int64, error) {
	first := int64(never)
	for item, err := range r.Scan(dueKey(from, 0), []byte{keys.QueueDue + 1}, kv.ScanOptions{KeysOnly: true, Limit: 1}) {
		if err == nil {
			first, _, err = splitDueKey(item.Key)
		}
		if err != nil {
			return 0, err
		}
	}
	return first, nil
}

// readAll reads the states and records of items in two round trips. One that
// cannot be read gives a nil item and its error; its state is zero if that is
// what is damaged, or if there is none.
func readAll(r kv.Reader, ids []ID) (states []state, items []*Item, damaged []error, err error) {
	stateKeys := make([][]byte, len(ids))
	for i, id := range ids {
		stateKeys[i] = stateKey(id)
	}
	rows, err := r.GetMany(stateKeys)
	if err != nil {
		return nil, nil, nil, err
	}
	states, items, damaged = make([]state, len(ids)), make([]*Item, len(ids)), make([]error, len(ids))
	var parts [][]byte
	for i, id := range ids {
		states[i], damaged[i] = decodeState(rows[i])
		for part := range int(states[i].parts) {
			parts = append(parts, itemKey(id, part))
		}
	}
	if rows, err = r.GetMany(parts); err != nil {
		return nil, nil, nil, err
	}
	for i, id := range ids {
		n := int(states[i].parts)
		if damaged[i] == nil {
			items[i], damaged[i] = assemble(id, states[i], rows[:n])
		}
		rows = rows[n:]
	}
	return states, items, damaged, nil
}

// leased checks that a durable lease is still its owner's, and gives the item's
// state.
func (tx *shardTxn) leased(l *Lease) (state, error) {
	s, err := tx.state(l.Item.ID)
	if err == nil && (!s.leased || s.epoch != l.epoch) {
		err = ErrLeaseLost
	}
	return s, err
}

// holding gives the item of a lease, which must still be its owner's, as it is
// now. It may be changed.
func (q *Queue) holding(tx *shardTxn, l *Lease) (it *Item, s state, err error) {
	if q.o.Shared {
		if s, err = tx.leased(l); err == nil {
			it, err = readItem(tx, l.Item.ID, s)
		}
		return it, s, err
	}
	lent, lost := q.memory.loan(l)
	if lost == nil && !lent.touched { // nobody has changed it
		own := *l.Item
		own.Status, own.History = slices.Clone(own.Status), slices.Clone(own.History)
		return &own, lent.state, nil
	}
	if s, err = tx.state(l.Item.ID); err != nil || lost != nil {
		return nil, s, cmp.Or(err, lost)
	}
	it, err = readItem(tx, l.Item.ID, s)
	return it, s, err
}

// Extend lengthens a lease, from now on, and returns when that is durable where
// leases are.
func (q *Queue) Extend(ctx context.Context, now time.Time, l *Lease) error {
	shard := l.Item.ID.shard()
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	expires := now.Add(q.o.Lease)
	if !q.o.Shared {
		if err := q.memory.extend(l, expires); err != nil {
			return fmt.Errorf("extend lease of %s: %w", l.Item.ID, err)
		}
		l.Expires = expires
		return nil
	}
	err = kv.Apply(ctx, q.db, partition(shard), func(kvtx kv.Txn) error {
		tx, err := begin(kvtx, shard, shards)
		if err != nil {
			return err
		}
		old, err := tx.leased(l)
		if err != nil {
			return err
		}
		s := old
		s.due = expires.UnixNano()
		tx.schedule(l.Item.ID, old, s)
		tx.end()
		return nil
	})
	if err != nil {
		return fmt.Errorf("extend lease of %s: %w", l.Item.ID, err)
	}
	l.Expires = expires
	return nil
}
