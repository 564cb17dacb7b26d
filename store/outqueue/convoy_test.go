package outqueue_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"waxwing/store/outqueue"
)

// Calls that come at once share transactions, and each gets its own items; for
// whom there is no room in a queue that fills up meanwhile, that is so for him
// alone.
func TestConvoy(t *testing.T) {
	const callers, room = 100, 80
	q := open(t, outqueue.Options{Shards: 1, MaxItems: room})
	var mu sync.Mutex
	taken := map[outqueue.ID]string{} // guarded by mu
	var wg sync.WaitGroup
	for i := range callers {
		name := fmt.Sprintf("msg%d", i)
		subs := []outqueue.Submission{q.submission(t, 100+i, "bob@b.example")}
		if i%10 == 0 {
			subs = append(subs, q.submission(t, 10, "eve@e.example"))
		}
		for j := range subs {
			subs[j].Message = name
		}
		wg.Go(func() {
			ids, err := q.Enqueue(t.Context(), start, subs...)
			if errors.Is(err, outqueue.ErrFull) {
				return
			}
			if err != nil || len(ids) != len(subs) {
				t.Errorf("%s: %v, %v", name, ids, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				if taken[id] != "" {
					t.Errorf("%s and %s are %s", name, taken[id], id)
				}
				taken[id] = name
			}
		})
	}
	wg.Wait()
	if len(taken) < room || len(taken) > room+1 { // the last may have brought two
		t.Errorf("%d items", len(taken))
	}
	leases := q.due(t, start, callers)
	if len(leases) != len(taken) {
		t.Errorf("%d items are due, %d were taken", len(leases), len(taken))
	}
	for _, l := range leases {
		if l.Item.Message != taken[l.Item.ID] {
			t.Errorf("%s is %s, not %s", l.Item.ID, l.Item.Message, taken[l.Item.ID])
		}
	}
}

// A queue that is full says so to each who comes.
func TestConvoyFull(t *testing.T) {
	q := open(t, outqueue.Options{Shards: 1, MaxItems: 1})
	q.enqueue(t, start, q.submission(t, 10, "bob@b.example"))
	subs := make([]outqueue.Submission, 20)
	for i := range subs {
		subs[i] = q.submission(t, 10, "bob@b.example")
	}
	var wg sync.WaitGroup
	for _, s := range subs {
		wg.Go(func() {
			if _, err := q.Enqueue(t.Context(), start, s); !errors.Is(err, outqueue.ErrFull) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
