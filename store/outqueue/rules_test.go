package outqueue_test

import (
	"sync"
	"testing"
	"time"

	"waxwing/store/outqueue"
)

// What comes while a rule is made is held by it, whoever takes it and however
// long ago he has read the rules; and what comes while it is removed is not.
func TestFreezeWhileMailComes(t *testing.T) {
	for _, shared := range []bool{false, true} {
		r := open(t, outqueue.Options{Shards: 3, Shared: shared})
		takers := []*outqueue.Queue{r.Queue}
		if shared {
			takers = append(takers, outqueue.New(r.db, r.blobs, outqueue.Options{Shared: true}))
		}
		// bring enqueues from all sides while change runs.
		bring := func(change func()) {
			var taking sync.WaitGroup
			under, over := make(chan struct{}, 100), make(chan struct{})
			for _, q := range takers {
				for range 3 {
					sub := r.submission(t, 10, "bob@b.example")
					taking.Go(func() {
						for {
							if _, err := q.Enqueue(t.Context(), start, sub); err != nil {
								t.Error(err)
								return
							}
							select {
							case under <- struct{}{}:
							default:
							}
							select {
							case <-over:
								return
							default:
							}
						}
					})
				}
			}
			for range 2 * len(takers) {
				<-under
			}
			change()
			close(over)
			taking.Wait()
		}
		bring(func() {
			if _, err := r.Freeze(t.Context(), outqueue.Freeze{Name: "b", To: "@b.example"}); err != nil {
				t.Error(err)
			}
		})
		if n := countItems(t, r, outqueue.Filter{}) - countItems(t, r, outqueue.Filter{Frozen: "b", Held: true}); n != 0 {
			t.Errorf("shared %t: %d items are not held", shared, n)
		}
		bring(func() {
			if _, err := r.Thaw(t.Context(), "b"); err != nil {
				t.Error(err)
			}
		})
		if n := countItems(t, r, outqueue.Filter{Held: true}); n != 0 {
			t.Errorf("shared %t: %d items are held still", shared, n)
		}
	}
}

// Where the queue is shared, a process hears that something stands before its
// cursor: what is urgent, what comes out of turn, what was released.
func TestEarlyPlaces(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1, Shared: true})
	other := outqueue.New(r.db, r.blobs, outqueue.Options{Shared: true})
	var cursor outqueue.Cursor
	now := start.Add(time.Minute)
	look := func() (found int, behind bool) {
		t.Helper()
		err := other.Ready(t.Context(), now, &cursor, func(outqueue.Ready) bool { found++; return true })
		if err != nil {
			t.Fatal(err)
		}
		return found, other.News().Behind
	}
	check := func(what string, n int, early bool) {
		t.Helper()
		if found, behind := look(); found != n || behind != early {
			t.Errorf("%s: %d found, behind %t", what, found, behind)
		}
	}
	ids := r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
	check("the first", 1, false)
	r.enqueue(t, start.Add(time.Second), r.submission(t, 10, "bob@b.example"))
	check("the next", 1, false)
	later := r.submission(t, 10, "bob@b.example")
	later.Due = start.Add(time.Hour)
	r.enqueue(t, start.Add(2*time.Second), later)
	check("one for later", 0, false)
	urgent := r.submission(t, 10, "bob@b.example")
	urgent.Envelope.Priority = 5
	r.enqueue(t, start.Add(3*time.Second), urgent)
	check("an urgent one", 0, true)
	check("afterwards", 0, false)
	r.enqueue(t, start.Add(time.Second/2), r.submission(t, 10, "bob@b.example"))
	check("one that comes out of turn", 0, true)
	if err := r.Hold(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	look()
	if err := r.Release(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	check("one that was released", 0, true)
	cursor = outqueue.Cursor{}
	check("from the beginning", 4, false)
}
