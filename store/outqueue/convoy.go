package outqueue

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// maxConvoy is how many calls of Enqueue share a transaction at most.
	maxConvoy = 32
	// maxConvoyShare is how many octets a call may bring into one.
	maxConvoyShare = txnSize / 8
)

// A convoy is the submissions of several calls of Enqueue that go into one
// transaction, of the shard whose turn it is. Whoever comes first leads it: he
// lets all others run first that can, and takes along who has come meanwhile. One
// alone waits for nobody.
type convoy struct {
	shard int
	calls []*enqueuing
	size  int
	done  chan struct{} // closed when each call knows what has become of it
}

// An enqueuing is one call.
type enqueuing struct {
	now  time.Time
	subs []Submission
	ids  []ID
	full bool  // there was no room for it
	err  error // errLeft until it is known
}

// errLeft says that who led has not come to an end.
var errLeft = errors.New("the transaction was given up")

// travels tells whether a call can share a transaction, and what it brings: not
// where a token decides about the shard, or a large body has to be kept.
func (q *Queue) travels(subs []Submission) (size int, ok bool) {
	if q.o.Shared {
		return 0, false
	}
	for i := range subs {
		s := &subs[i]
		if s.Token != "" || !s.Body.IsInline() {
			return 0, false
		}
		size += s.size()
	}
	return size, size <= maxConvoyShare
}

// together is Enqueue in a convoy. It does not end before the transaction does,
// whatever becomes of ctx: the bodies are the caller's, and are read by another.
func (q *Queue) together(ctx context.Context, now time.Time, shards int, subs []Submission, size int) ([]ID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.throng.enter()
	defer q.throng.leave()
	own := &enqueuing{now: now, subs: subs, ids: make([]ID, len(subs)), err: errLeft}
	c, leads := q.board(own, shards, size)
	if leads {
		q.lead(context.WithoutCancel(ctx), c, shards)
	} else {
		<-c.done
	}
	if own.err != nil {
		return nil, fmt.Errorf("enqueue: %w", own.err)
	}
	return own.ids, nil
}

// board gives the convoy that a call goes with, and whether it leads.
func (q *Queue) board(own *enqueuing, shards, size int) (c *convoy, leads bool) {
	q.boarding.Lock()
	defer q.boarding.Unlock()
	c = q.convoy
	if c == nil || len(c.calls) >= maxConvoy || c.size+size > txnSize {
		c = &convoy{shard: int(q.turn.Add(1)) % shards, done: make(chan struct{})}
		q.convoy, leads = c, true
	}
	c.calls = append(c.calls, own)
	c.size += size
	return c, leads
}

// A throng tells whether calls of Enqueue come at once. Letting others run first
// wakes a processor for them that sleeps, which costs as much as it is meant to
// save where there are none.
type throng struct {
	inside atomic.Int32 // calls under way
	alone  atomic.Int32 // how many in a row met nobody
}

// fewAlone is how many calls in a row must have met nobody for the next to expect
// nobody.
const fewAlone = 32

func (t *throng) enter() {
	if t.inside.Add(1) > 1 {
		t.alone.Store(0)
	} else {
		t.alone.Add(1)
	}
}

func (t *throng) leave() { t.inside.Add(-1) }

// makeWay lets others run first that can, where there are others.
func (t *throng) makeWay() {
	if t.alone.Load() < fewAlone {
		runtime.Gosched()
	}
}

// lead makes the transaction of a convoy, once others have had time to come.
func (q *Queue) lead(ctx context.Context, c *convoy, shards int) {
	defer close(c.done)
	q.throng.makeWay()
	q.depart(c)
	q.bring(ctx, c, shards)
}

// depart lets nobody else into a convoy.
func (q *Queue) depart(c *convoy) {
	q.boarding.Lock()
	defer q.boarding.Unlock()
	if q.convoy == c {
		q.convoy = nil
	}
}

// bring makes the transaction of a convoy; one for each call if that fails, so
// that one does not pay for another.
func (q *Queue) bring(ctx context.Context, c *convoy, shards int) {
	if q.bringAll(ctx, c.shard, shards, c.calls) {
		return
	}
	for i := range c.calls {
		q.bringAll(ctx, c.shard, shards, c.calls[i:i+1])
	}
}

// bringAll makes one transaction and returns when it is durable. It gives false
// if that of several calls came to nothing.
func (q *Queue) bringAll(ctx context.Context, shard, shards int, calls []*enqueuing) bool {
	o := ordered{arrival: new(arrival)}
	var err error
	o.Commit, err = q.admit(ctx, shard, shards, func(tx *shardTxn, rules ruleBook) (err error) {
		for _, own := range calls {
			if own.full = tx.head.counts.Items >= int64(q.o.MaxItems/shards); own.full {
				continue
			}
			for i := range own.subs {
				if own.ids[i], err = tx.enqueue(own.now, rules, &own.subs[i]); err != nil {
					return err
				}
			}
		}
		if len(tx.made) == 0 {
			return ErrFull
		}
		q.admitted(tx, &o)
		return nil
	})
	if err != nil {
		q.memory.giveUp(o.arrival, false)
		calls[0].err = err
		return len(calls) == 1
	}
	along := q.company.depart()
	err = o.Wait(ctx)
	along.end()
	last := calls[0].now
	for _, own := range calls {
		if own.err = err; own.full {
			own.err = ErrFull
		}
		if own.now.After(last) {
			last = own.now
		}
	}
	if err != nil {
		q.memory.giveUp(o.arrival, true)
		q.poke()
		return true
	}
	q.arrived(last, o)
	return true
}
