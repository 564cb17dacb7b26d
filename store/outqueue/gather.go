package outqueue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"waxwing/store/kv"
)

const (
	// maxGathered is how many results one transaction notes: who enqueues waits
	// for it. maxGatheredTo is how many recipients an item may have that shares
	// one: its record is small enough for all to have room.
	maxGathered   = 32
	maxGatheredTo = 20
	// gatherPatience is how long results that are Patient wait for others. Of a
	// thousand domains that nobody can reach it makes some transactions, and
	// leaves processors and disk to mail that can go.
	gatherPatience = 400 * time.Millisecond
)

// A settlement is one call of Result on its way into a transaction.
type settlement struct {
	now     time.Time
	lease   *Lease
	attempt *Attempt
	done    chan struct{} // closed when what follows is known
	err     error
	commit  kv.Commit // nil if err is not
}

// A gathering is the results of a shard that wait for a transaction. Whoever is
// first takes all that have come, his own among them; what comes while one
// transaction is being made waits for the next.
type gathering struct {
	making  sync.Mutex // held while a transaction is being made
	mu      sync.Mutex
	waiting []*settlement // guarded by mu
}

// gathered notes a result in one transaction with others and returns when it is
// durable.
func (q *Queue) gathered(ctx context.Context, now time.Time, shard, shards int, l *Lease, a *Attempt) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := &settlement{now: now, lease: l, attempt: a, done: make(chan struct{})}
	g := &q.gatherings[shard]
	if len(l.Item.Status) > maxGatheredTo {
		q.note(ctx, shard, shards, []*settlement{s})
	} else {
		g.join(ctx, s, &q.throng)
		if g.waits(s) {
			g.making.Lock()
			if own := g.take(s); len(own) > 0 {
				q.noteAll(context.WithoutCancel(ctx), shard, shards, own)
			}
			g.making.Unlock()
		}
		<-s.done
	}
	if s.err != nil {
		return s.err
	}
	return q.durable(ctx, s.commit)
}

// join adds a result to those that wait. It returns at once if the result is
// not Patient; else when it has waited for others, or when others have taken it
// along.
func (g *gathering) join(ctx context.Context, s *settlement, t *throng) {
	g.mu.Lock()
	g.waiting = append(g.waiting, s)
	g.mu.Unlock()
	if !s.attempt.Patient {
		t.makeWay() // whoever can come comes first
		return
	}
	patience := time.NewTimer(gatherPatience)
	defer patience.Stop()
	select {
	case <-s.done:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// waits tells whether nobody has taken a result yet.
func (g *gathering) waits(s *settlement) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.waiting, s)
}

// take gives what waits, with s for certain, up to what one transaction notes;
// nothing if another has taken s.
func (g *gathering) take(s *settlement) []*settlement {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == s { // the newest that goes, if not all can
			first := max(i+1-maxGathered, 0)
			last := min(first+maxGathered, len(g.waiting))
			own := append([]*settlement(nil), g.waiting[first:last]...)
			g.waiting = append(append([]*settlement(nil), g.waiting[:first]...), g.waiting[last:]...)
			return own
		}
	}
	return nil
}

// noteAll notes results in one transaction; each in its own if that fails, so
// that one does not pay for another.
func (q *Queue) noteAll(ctx context.Context, shard, shards int, all []*settlement) {
	if q.note(ctx, shard, shards, all) {
		return
	}
	for i := range all {
		q.note(ctx, shard, shards, all[i:i+1])
	}
}

// note makes one transaction, and tells those whose results are in it. It gives
// false, and tells nobody, if the transaction of several came to nothing.
func (q *Queue) note(ctx context.Context, shard, shards int, all []*settlement) bool {
	var tx *shardTxn
	commit, err := q.db.Update(ctx, partition(shard), func(kvtx kv.Txn) (err error) {
		if tx, err = begin(kvtx, shard, shards); err != nil {
			return err
		}
		for _, s := range all {
			s.err = q.settle(tx, s.now, s.lease, s.attempt)
			if s.err != nil && !errors.Is(s.err, ErrNotFound) && !errors.Is(s.err, ErrLeaseLost) {
				return s.err
			}
		}
		tx.end()
		return nil
	})
	if err != nil && len(all) > 1 {
		return false
	}
	for _, s := range all {
		if err != nil {
			s.err = err
		} else if s.err == nil {
			s.commit = commit
		}
		close(s.done)
	}
	if err == nil && len(tx.freed) > 0 && commit.Wait(ctx) == nil {
		q.drop(ctx, shard, tx.freed)
	}
	return true
}
