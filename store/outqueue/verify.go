package outqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Finding is something that is not as it must be, in words.
type Finding struct {
	What   string // what is wrong, and where
	Means  string // what that means
	Repair string // what repairing does, or who must do it
	Mended bool
	Failed string // why it could not be mended
}

// Verify checks what must hold in the queue, a shard at a time, and calls found
// for each thing that is wrong, after mending it where that is asked for and
// can be. Messages are never removed: one that cannot be read is told, and for
// a person to delete.
func (q *Queue) Verify(ctx context.Context, repair bool, found func(Finding)) error {
	n, err := q.count(ctx)
	if err != nil {
		return err
	}
	for shard := range n {
		if err := q.verifyShard(ctx, shard, n, repair, found); err != nil {
			return fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	return nil
}

// A wrong is a finding with what mends it; nil if a person must.
type wrong struct {
	Finding
	fix func(*shardTxn) error
}

type verification struct {
	r      kv.Reader
	states map[ID]state
	list   []wrong
	blobs  map[ID]blob.Sum
}

func (v *verification) wrong(fix func(*shardTxn) error, means, repair, format string, args ...any) {
	v.list = append(v.list, wrong{Finding{What: fmt.Sprintf(format, args...), Means: means, Repair: repair}, fix})
}

func (q *Queue) verifyShard(ctx context.Context, shard, shards int, repair bool, found func(Finding)) error {
	var v verification
	err := q.db.View(ctx, partition(shard), func(r kv.Reader) error {
		v = verification{r: r, states: make(map[ID]state), blobs: make(map[ID]blob.Sum)}
		return v.run()
	})
	if err != nil {
		return err
	}
	for id, sum := range v.blobs {
		b, err := q.blobs.Open(ctx, blob.Key{Owner: owner(shard), Sum: sum})
		if errors.Is(err, blob.ErrNotFound) {
			if _, err := q.Get(ctx, id); errors.Is(err, ErrNotFound) {
				continue // it has gone meanwhile
			}
			v.lost(id, "its text is missing from the blob store")
			continue
		}
		if err != nil {
			return err
		}
		if err := b.Close(); err != nil {
			return err
		}
	}
	for _, w := range v.list {
		if repair && w.fix != nil {
			err := kv.Apply(ctx, q.db, partition(shard), func(raw kv.Txn) error {
				tx, err := begin(raw, shard, shards)
				if err != nil {
					return err
				}
				defer tx.end()
				return w.fix(tx)
			})
			if err != nil {
				w.Failed = err.Error()
			} else {
				w.Mended = true
			}
		}
		found(w.Finding)
	}
	q.poke()
	return nil
}

// lost tells of an item that cannot be sent.
func (v *verification) lost(id ID, why string) {
	v.wrong(nil, "it cannot be sent", fmt.Sprintf("nobody but you can: waxwing queue delete %s, and tell its sender", id), "item %s: %s", id, why)
}

func (v *verification) run() error {
	for it, err := range v.r.Scan([]byte{keys.QueueState}, []byte{keys.QueueState + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if len(it.Key) != 9 {
			continue
		}
		id := idOf(it.Key)
		s, err := decodeState(it.Value)
		if err != nil {
			v.lost(id, "how it stands cannot be read")
			continue
		}
		v.states[id] = s
	}
	for _, step := range []func() error{v.checkItems, v.checkDue, v.checkHead} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) checkItems() error {
	for id, s := range v.states {
		it, err := readItem(v.r, id, s)
		if errors.Is(err, errDamaged) {
			v.lost(id, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		want := make([][]byte, s.chunks)
		for i := range want {
			want[i] = bodyKey(id, i)
		}
		got, err := v.r.GetMany(want)
		if err != nil {
			return err
		}
		octets := 0
		for _, b := range got {
			octets += len(b)
		}
		if int64(octets) != int64(it.inline) {
			v.lost(id, fmt.Sprintf("its text has %d octets, not %d", octets, it.inline))
		}
		if it.blob != nil {
			v.blobs[id] = *it.blob
		}
	}
	return nil
}

// checkDue lays the index of what is due beside the items.
func (v *verification) checkDue() error {
	there := make(map[ID]bool)
	for it, err := range v.r.Scan([]byte{keys.QueueDue}, []byte{keys.QueueDue + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		due, id, err := splitDueKey(it.Key)
		s, known := v.states[id]
		if err == nil && known && !s.held && max(s.due, 0) == due {
			there[id] = true
			continue
		}
		key := slices.Clone(it.Key)
		v.wrong(func(tx *shardTxn) error { tx.Delete(key); return nil }, "the relay looks for it again and again", "removes it",
			"the timetable has an item %s, which stands elsewhere or is gone", id)
	}
	for id, s := range v.states {
		if s.held || there[id] {
			continue
		}
		v.wrong(func(tx *shardTxn) error {
			now, err := tx.state(id)
			if err == nil && !now.held {
				tx.Put(dueKey(now.due, id), now.appendRow(nil))
				tx.head.low = min(tx.head.low, now.due)
			}
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			return err
		}, "it would never be tried again", "puts it back", "item %s is missing in the timetable", id)
	}
	return nil
}

// checkHead compares the counts, and what the shard has given.
func (v *verification) checkHead() error {
	h, err := readHead(v.r)
	if err != nil {
		return err
	}
	var counts Counts
	low, next := int64(never), uint64(1)
	for id, s := range v.states {
		counts.add(s, 1)
		if !s.held {
			low = min(low, s.due)
		}
		next = max(next, uint64(id)&(1<<numberBits-1)+1)
	}
	if h.counts != counts {
		v.wrong(func(tx *shardTxn) error { return tx.recount() }, "waxwing queue and its limits go by wrong numbers", "counts again",
			"the queue says %d items, %d held, %d deferred, %d octets, and has %d, %d, %d, %d", h.counts.Items, h.counts.Held, h.counts.Deferred, h.counts.Octets,
			counts.Items, counts.Held, counts.Deferred, counts.Octets)
	}
	if h.low > low || h.next < next {
		v.wrong(func(tx *shardTxn) error {
			tx.head.low, tx.head.next = min(tx.head.low, low), max(tx.head.next, next)
			return nil
		}, "what is due may not be looked at", "sets them right", "the queue looks for what is due later than that is, or could give a number twice")
	}
	return nil
}

// recount counts the shard's items.
func (tx *shardTxn) recount() error {
	var counts Counts
	for it, err := range tx.Scan([]byte{keys.QueueState}, []byte{keys.QueueState + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if s, err := decodeState(it.Value); err == nil {
			counts.add(s, 1)
		}
	}
	tx.head.counts = counts
	return nil
}
