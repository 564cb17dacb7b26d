package outqueue

import (
	"context"
	"fmt"
	"math"
	"time"

	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// never is the head's mark of a shard in which nothing will be due.
const never = math.MaxInt64

// maxDue bounds how many items one transaction leases.
const maxDue = 500

// Due leases up to limit items that are due, the ones that have waited longest
// first in each shard, and returns when the leases are durable. An item that
// is not given back (Result) in time becomes due again.
func (q *Queue) Due(ctx context.Context, now time.Time, limit int) ([]*Lease, error) {
	shards, err := q.count(ctx)
	if err != nil {
		return nil, err
	}
	var leases []*Lease
	first := int(q.turn.Add(1))
	for i := range shards {
		if len(leases) >= limit {
			break
		}
		shard := (first + i) % shards
		h, err := q.look(ctx, shard)
		if err != nil {
			return leases, err
		}
		if h.low > now.UnixNano() {
			continue // and nothing is written
		}
		more, err := q.lease(ctx, now, shard, shards, min(limit-len(leases), maxDue))
		if err != nil {
			return leases, fmt.Errorf("lease queue items: %w", err)
		}
		leases = append(leases, more...)
	}
	return leases, nil
}

// Next gives a time before which nothing becomes due that is in the queue now;
// zero if there is nothing to wait for. It may be too early after items have
// gone, but not twice: Due at that time finds out.
func (q *Queue) Next(ctx context.Context) (time.Time, error) {
	shards, err := q.count(ctx)
	if err != nil {
		return time.Time{}, err
	}
	first := int64(never)
	for shard := range shards {
		h, err := q.look(ctx, shard)
		if err != nil {
			return time.Time{}, err
		}
		if h.counts.Items > h.counts.Held {
			first = min(first, h.low)
		}
	}
	if first == never {
		return time.Time{}, nil
	}
	return time.Unix(0, first), nil
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

// lease runs one transaction of Due.
func (q *Queue) lease(ctx context.Context, now time.Time, shard, shards, limit int) ([]*Lease, error) {
	var leases []*Lease
	expires := now.Add(q.o.Lease)
	err := kv.Apply(ctx, q.db, partition(shard), func(kvtx kv.Txn) error {
		leases = nil
		tx, err := begin(kvtx, shard, shards)
		if err != nil {
			return err
		}
		times, ids, err := tx.due(now, limit)
		if err != nil {
			return err
		}
		old, items, damaged, err := readAll(tx, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if damaged[i] != nil {
				q.o.Log.Error("queue item cannot be read and is set aside", obs.Queue, id.String(), obs.Err, damaged[i])
				tx.setAside(times[i], id, old[i])
				continue
			}
			s := old[i]
			s.leased, s.due = true, expires.UnixNano()
			s.epoch++
			tx.schedule(id, old[i], s)
			items[i].Leased, items[i].Due = true, expires
			leases = append(leases, &Lease{Item: items[i], Expires: expires, epoch: s.epoch})
		}
		tx.end()
		return nil
	})
	return leases, err
}

// due gives the items that are due and since when, and moves the head's mark to behind those
// that will be gone from the index.
func (tx *shardTxn) due(now time.Time, limit int) (times []int64, ids []ID, err error) {
	hi := dueKey(now.UnixNano()+1, 0)
	for item, err := range tx.Scan(dueKey(tx.head.low, 0), hi, kv.ScanOptions{KeysOnly: true, Limit: limit}) {
		if err != nil {
			return nil, nil, err
		}
		due, id, err := splitDueKey(item.Key)
		if err != nil {
			return nil, nil, err
		}
		times, ids = append(times, due), append(ids, id)
	}
	if len(ids) == limit {
		tx.head.low = times[limit-1]
		return times, ids, nil
	}
	tx.head.low = never
	for item, err := range tx.Scan(hi, []byte{keys.QueueDue + 1}, kv.ScanOptions{KeysOnly: true, Limit: 1}) {
		if err == nil {
			tx.head.low, _, err = splitDueKey(item.Key)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return times, ids, nil
}

// readAll reads the states and records of items in two round trips. One that
// cannot be read gives a nil item and its error; its state is zero if that is
// what is damaged.
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

// setAside takes an item that cannot be read out of the way of the others: it
// is held, or leaves the index if there is nothing to hold.
func (tx *shardTxn) setAside(due int64, id ID, s state) {
	if s == (state{}) {
		tx.Delete(dueKey(due, id))
		return
	}
	held := s
	held.held = true
	tx.schedule(id, s, held)
}

// leased checks that a lease is still its owner's, and gives the item's state.
func (tx *shardTxn) leased(l *Lease) (state, error) {
	s, err := tx.state(l.Item.ID)
	if err == nil && (!s.leased || s.epoch != l.epoch) {
		err = ErrLeaseLost
	}
	return s, err
}

// Extend lengthens a lease, from now on, and returns when that is durable.
func (q *Queue) Extend(ctx context.Context, now time.Time, l *Lease) error {
	shard := l.Item.ID.shard()
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	expires := now.Add(q.o.Lease)
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
