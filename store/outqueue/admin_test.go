package outqueue_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/outqueue"
)

func TestAdministration(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 3})
	var all []outqueue.ID
	for i := range 350 {
		s := r.submission(t, 10, fmt.Sprintf("u%d@B.example", i%10))
		s.Origin.Account = mail.AccountID(1 + i%2)
		all = append(all, r.enqueue(t, start, s)...)
	}
	slices.Sort(all)
	list := func(f outqueue.Filter) (ids []outqueue.ID) {
		for it, err := range r.List(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, it.ID)
		}
		return ids
	}
	if got := list(outqueue.Filter{}); !slices.Equal(got, all) {
		t.Errorf("%d items are listed, want %d", len(got), len(all))
	}
	if got := list(outqueue.Filter{After: all[149], Limit: 120}); !slices.Equal(got, all[150:270]) {
		t.Errorf("a page has %d items", len(got))
	}
	if got := list(outqueue.Filter{To: "U3@b", From: "ann@", Account: 2}); len(got) != 35 {
		t.Errorf("%d items are for u3", len(got))
	}
	if got := list(outqueue.Filter{From: "bob"}); len(got) != 0 {
		t.Errorf("%d items are from bob", len(got))
	}

	l := r.due(t, start, 1)[0]
	held := []outqueue.ID{all[0], all[120], all[340], l.Item.ID}
	slices.Sort(held)
	held = slices.Compact(held)
	if err := r.Hold(t.Context(), append(held, 1<<62)...); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("hold of one that is not there: %v", err)
	}
	if got := list(outqueue.Filter{Held: true}); !slices.Equal(got, held) {
		t.Errorf("held: %v, want %v", got, held)
	}
	// An attempt under way ends as ever, but nothing follows.
	r.result(t, start, l, outqueue.Attempt{Next: start})
	if n := len(r.due(t, start, 1000)); n != len(all)-len(held) {
		t.Errorf("%d items are due, want %d", n, len(all)-len(held))
	}
	if err := r.Release(t.Context(), held...); err != nil {
		t.Fatal(err)
	}
	leases := r.due(t, start, 1000)
	if len(leases) != len(held) {
		t.Errorf("%d items are due, want %d", len(leases), len(held))
	}
	for _, l := range leases {
		r.result(t, start, l, outqueue.Attempt{Next: start.Add(time.Hour), Try: outqueue.Try{Began: start}})
	}
	if got := list(outqueue.Filter{Deferred: true}); !slices.Equal(got, held) {
		t.Errorf("deferred: %v, want %v", got, held)
	}
	if err := r.Retry(t.Context(), start, all...); err != nil {
		t.Fatal(err)
	}
	if n := len(r.due(t, start, 1000)); n != len(held) { // the others are leased
		t.Errorf("%d items are due, want %d", n, len(held))
	}
	if err := r.Delete(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	r.empty(t)
}

// An item whose record is damaged does not stop the others, and can go.
func TestDamage(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	ids := r.enqueue(t, start, r.submission(t, 10, "bob@b.example"), r.submission(t, 10, "bob@b.example"))
	key := append([]byte{keys.QueueItem, 0, 0}, 0, 0, 0, 0, 0, byte(ids[0]), 0, 0)
	err := kv.Apply(t.Context(), r.db, keys.Outqueue(0), func(tx kv.Txn) error {
		if _, err := tx.Get(key); err != nil {
			return err
		}
		tx.Put(key, []byte("\x01damage"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Queue = outqueue.New(r.db, r.blobs, outqueue.Options{}) // which does not remember it
	if l := r.one(t, start); l.Item.ID != ids[1] {
		t.Errorf("%s is leased", l.Item.ID)
	}
	if len(r.due(t, start.Add(time.Hour), 10)) != 1 {
		t.Error("the damaged item comes again")
	}
	if c, err := r.Counts(t.Context()); err != nil || c.Held != 1 {
		t.Errorf("counts: %+v, %v", c, err)
	}
	if err := r.Delete(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	r.empty(t)
}
