package outqueue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"waxwing/store/outqueue"
)

// The index tells enough to choose by: whose an item is, where it goes, how
// large and how urgent it is, and whether it has been tried.
func TestReady(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 2})
	one, two, several := r.submission(t, 10, "bob@B.example"), r.submission(t, 99, "cid@b.example", "dan@b.example"), r.submission(t, 10, "e@b.example", "f@c.example")
	one.Origin.Account, several.Origin.Account, two.Envelope.Priority = 7, 7, 3
	again := r.submission(t, 10, "bob@b.example")
	again.Account = 9
	ids := r.enqueue(t, start, one, two, several, again)
	look := func(c *outqueue.Cursor) map[outqueue.ID]outqueue.Ready {
		found := map[outqueue.ID]outqueue.Ready{}
		err := r.Ready(t.Context(), start, c, func(r outqueue.Ready) bool { found[r.ID] = r; return true })
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	var cursor outqueue.Cursor
	got := look(&cursor)
	if len(got) != 4 || len(look(&cursor)) != 0 {
		t.Fatalf("%d items are ready", len(got))
	}
	a, b, c, d := got[ids[0]], got[ids[1]], got[ids[2]], got[ids[3]]
	if a.Destination != outqueue.Destination("b.example") || b.Destination != a.Destination || c.Destination == a.Destination || d.Destination == a.Destination {
		t.Error("the destinations are wrong")
	}
	if a.Sender != c.Sender || a.Sender == b.Sender {
		t.Error("the senders are wrong")
	}
	if a.Size != 27 || b.Size != 116 || b.Priority != 3 || a.Priority != 0 || a.Tried {
		t.Errorf("%+v, %+v", a, b)
	}

	// What is left of an item after a try goes to what is left of it.
	leases, err := r.Lease(t.Context(), start, c)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	r.result(t, start, leases[0], outqueue.Attempt{
		Results: []outqueue.Result{{Index: 0, State: outqueue.Delivered}}, Next: start, Try: outqueue.Try{Began: start},
	})
	if c = look(&outqueue.Cursor{})[ids[2]]; c.Destination != outqueue.Destination("c.example") || !c.Tried {
		t.Errorf("%+v", c)
	}
}

// What is no longer as the index said is not leased.
func TestLeaseChanged(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	var all []outqueue.Ready
	ids := r.enqueue(t, start, r.submission(t, 10, "a@b.example"), r.submission(t, 10, "b@b.example"), r.submission(t, 10, "c@b.example"))
	if err := r.Ready(t.Context(), start, &outqueue.Cursor{}, func(r outqueue.Ready) bool { all = append(all, r); return true }); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.Hold(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if leases, err := r.Lease(t.Context(), start, all...); err != nil || len(leases) != want {
			t.Fatalf("%d leases, want %d: %v", len(leases), want, err)
		}
	}
}

// A cursor finds everything that comes, in pages and in any order of shards.
func TestCursor(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 3})
	var cursor outqueue.Cursor
	seen := map[outqueue.ID]bool{}
	var all []outqueue.ID
	for i := range 30 {
		now := start.Add(time.Duration(i) * time.Second)
		var subs []outqueue.Submission
		for j := range 150 {
			s := r.submission(t, 1, fmt.Sprintf("u%d@b.example", j))
			if j%50 == 0 {
				s.Due = now.Add(time.Duration(j) * time.Minute)
			}
			subs = append(subs, s)
		}
		all = append(all, r.enqueue(t, now, subs...)...)
		if i%5 != 4 {
			continue
		}
		err := r.Ready(t.Context(), now, &cursor, func(r outqueue.Ready) bool {
			if seen[r.ID] {
				t.Errorf("%s comes twice", r.ID)
			}
			seen[r.ID] = true
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Ready(t.Context(), start.Add(24*time.Hour), &cursor, func(r outqueue.Ready) bool { seen[r.ID] = true; return true }); err != nil {
		t.Fatal(err)
	}
	for _, id := range all {
		if !seen[id] {
			t.Fatalf("%s was not found", id)
		}
	}
	if len(seen) != len(slices.Compact(all)) {
		t.Errorf("%d of %d", len(seen), len(all))
	}
}
