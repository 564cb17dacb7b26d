package outqueue

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"waxwing/store/kv"
)

// Reclaim makes all leased items due now, and takes the leases away from those
// who have them. It is for a start, by a process that has the store for itself:
// who held the leases is dead, and nobody needs to wait until they run out.
func (q *Queue) Reclaim(ctx context.Context, now time.Time) error {
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	count := q.memory.reclaim()
	for shard := range shards {
		leased, err := q.leasedItems(ctx, now, shard)
		if err != nil {
			return fmt.Errorf("reclaim queue items: %w", err)
		}
		err = q.change(ctx, "reclaim", leased, func(_ ID, s *state) error {
			if s.leased {
				s.leased, s.due = false, min(s.due, now.UnixNano())
			}
			return nil
		})
		if err != nil {
			return err
		}
		count += len(leased)
	}
	if count > 0 {
		q.o.Log.Info("leases of the last run taken back", "count", count)
	}
	return nil
}

// leasedItems gives the items of a shard that somebody has. They stand in the
// index, before the end of the longest lease; but not those that are held,
// which are due at the end of their lease if they have been released by then.
func (q *Queue) leasedItems(ctx context.Context, now time.Time, shard int) (leased []ID, err error) {
	for lo, hi := dueKey(0, 0), dueKey(now.Add(q.o.Lease).UnixNano()+1, 0); lo != nil; {
		var ids []ID
		var next []byte
		err := q.db.View(ctx, partition(shard), func(r kv.Reader) (err error) {
			ids, next, err = leasedPage(r, lo, hi)
			return err
		})
		if err != nil {
			return nil, err
		}
		leased, lo = append(leased, ids...), next
	}
	return leased, nil
}

// leasedPage looks at a page of the index, and gives the key at which the next
// page begins; nil if there is none.
func leasedPage(r kv.Reader, lo, hi []byte) (leased []ID, next []byte, err error) {
	var ids []ID
	var states [][]byte
	for row, err := range r.Scan(lo, hi, kv.ScanOptions{KeysOnly: true, Limit: maxLease}) {
		if err != nil {
			return nil, nil, err
		}
		_, id, err := splitDueKey(row.Key)
		if err != nil {
			return nil, nil, err
		}
		if ids, states = append(ids, id), append(states, stateKey(id)); len(ids) == maxLease {
			next = append(bytes.Clone(row.Key), 0)
		}
	}
	rows, err := r.GetMany(states)
	if err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		// One that is damaged is set aside by Lease.
		if s, err := decodeState(rows[i]); err == nil && s.leased {
			leased = append(leased, id)
		}
	}
	return leased, next, nil
}
