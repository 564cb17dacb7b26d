package outqueue_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/store/blob/memblob"
	"waxwing/store/kv/memkv"
	"waxwing/store/outqueue"
	"waxwing/test/engine"
)

// Results that can wait are noted together, each with its own fate; one that
// cannot takes the others along.
func TestGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, blobs := &counter{Store: memkv.New()}, memblob.New(0)
		r := room{outqueue.New(db, blobs, outqueue.Options{Shards: 1}), db, blobs}
		defer func() { db.Close(); blobs.Close() }()
		now := time.Now()
		subs := make([]outqueue.Submission, 100)
		for i := range subs {
			subs[i] = r.submission(t, 10, fmt.Sprintf("user@dead%d.example", i))
		}
		ids := r.enqueue(t, now, subs...)
		leases := r.due(t, now, len(subs))
		if len(leases) != len(subs) {
			t.Fatalf("%d leases", len(leases))
		}
		if err := r.Delete(t.Context(), ids[7]); err != nil {
			t.Fatal(err)
		}
		note := func(leases []*outqueue.Lease, a outqueue.Attempt) (gone int) {
			var noting sync.WaitGroup
			var mu sync.Mutex
			for _, l := range leases {
				noting.Go(func() {
					err := r.Result(t.Context(), time.Now(), l, a)
					mu.Lock()
					defer mu.Unlock()
					if errors.Is(err, outqueue.ErrNotFound) || errors.Is(err, outqueue.ErrLeaseLost) {
						gone++
					} else if err != nil {
						t.Error(err)
					}
				})
			}
			noting.Wait()
			return gone
		}
		later := outqueue.Attempt{Patient: true, Next: now.Add(time.Hour), Try: outqueue.Try{Began: now}}
		db.updates.Store(0)
		if gone := note(leases, later); gone != 1 || db.updates.Load() > 10 {
			t.Errorf("%d have gone, %d transactions", gone, db.updates.Load())
		}
		if c, err := r.Counts(t.Context()); err != nil || c.Items != 99 || c.Deferred != 99 {
			t.Errorf("%+v, %v", c, err)
		}

		leases = r.due(t, now.Add(2*time.Hour), 10)
		db.updates.Store(0)
		begun := time.Now()
		var patient sync.WaitGroup
		patient.Go(func() { note(leases[1:], later) })
		synctest.Wait()
		r.result(t, time.Now(), leases[0], delivered)
		patient.Wait()
		if took := time.Since(begun); took > time.Millisecond || db.updates.Load() != 1 {
			t.Errorf("%v and %d transactions", took, db.updates.Load())
		}
	})
}

// Results of one lease that come together are all kept.
func TestGatheredOfOneLease(t *testing.T) {
	engine.NeedsBubble(t)
	synctest.Test(t, func(t *testing.T) {
		r := open(t, outqueue.Options{Shards: 1})
		r.enqueue(t, time.Now(), r.submission(t, 10, "a@b.example", "b@b.example", "c@b.example"))
		l := r.due(t, time.Now(), 1)[0]
		var noting sync.WaitGroup
		for i := range 2 {
			noting.Go(func() {
				r.result(t, time.Now(), l, outqueue.Attempt{Keep: true, Patient: true, Results: []outqueue.Result{{Index: i, State: outqueue.Delivered}}})
			})
		}
		noting.Wait()
		it, err := r.Get(t.Context(), l.Item.ID)
		if err != nil || len(it.Pending()) != 1 {
			t.Errorf("%+v, %v", it, err)
		}
		r.result(t, time.Now(), l, outqueue.Attempt{Results: []outqueue.Result{{Index: 2, State: outqueue.Delivered}}})
		r.empty(t)
	})
}

// Notifications are handed to the relay as other new messages are.
func TestThenIsFresh(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	r.enqueue(t, start, r.submission(t, 10, "a@b.example"))
	l := r.due(t, start, 1)[0]
	r.News()
	a := delivered
	a.Then = []outqueue.Submission{r.submission(t, 10, "bob@b.example")}
	r.result(t, start, l, a)
	n := r.News()
	if len(n.Fresh) != 1 || n.Stirred || n.Behind {
		t.Fatalf("%+v", n)
	}
	if leases, err := r.Lease(t.Context(), start, n.Fresh...); err != nil || len(leases) != 1 {
		t.Error(leases, err)
	}
}
