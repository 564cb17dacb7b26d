package outqueue_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/outqueue"
)

// Rules hold what is there and what comes, survive a restart, and let go when
// they are removed.
func TestFreeze(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 2})
	r.enqueue(t, start, r.submission(t, 10, "bob@b.example"), r.submission(t, 10, "bob@c.example"))
	if _, err := r.Freeze(t.Context(), outqueue.Freeze{Name: "all"}); err == nil {
		t.Error("a rule that fits everything is taken")
	}
	rule := outqueue.Freeze{Name: "b", To: "@B.example", Reason: "they are moving", Created: start}
	if n, err := r.Freeze(t.Context(), rule); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := r.Freeze(t.Context(), rule); !errors.Is(err, outqueue.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if n, err := r.Freeze(t.Context(), outqueue.Freeze{Name: "ann", From: "ann@", To: "x@b.example"}); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	again := outqueue.New(r.db, r.blobs, outqueue.Options{}) // after a restart
	ids, err := again.Enqueue(t.Context(), start, r.submission(t, 10, "x@b.example"))
	if err != nil {
		t.Fatal(err)
	}
	if l := r.due(t, start.Add(time.Hour), 10); len(l) != 1 || l[0].Item.Envelope.To[0].Address.Domain != "c.example" {
		t.Errorf("%d items are due", len(l))
	}
	if it, err := r.Get(t.Context(), ids[0]); err != nil || it.Frozen == "" || !it.Held {
		t.Errorf("%+v, %v", it, err)
	}
	rules, err := r.Freezes(t.Context())
	if err != nil || len(rules) != 2 || rules[1].Reason != rule.Reason || !rules[1].Created.Equal(start) {
		t.Errorf("%+v, %v", rules, err)
	}
	// What another rule holds too stays.
	if n, err := r.Thaw(t.Context(), rules[0].Name); err != nil || n != 0 {
		t.Errorf("%d released, %v", n, err)
	}
	if n := len(r.due(t, start.Add(time.Hour), 10)); n != 0 {
		t.Errorf("%d items are due", n)
	}
	if n, err := r.Thaw(t.Context(), "b"); err != nil || n != 2 {
		t.Errorf("%d released, %v", n, err)
	}
	if n := len(r.due(t, start.Add(time.Hour), 10)); n != 2 {
		t.Errorf("%d items are due", n)
	}
	if _, err := r.Thaw(t.Context(), "b"); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("thawed twice: %v", err)
	}
}

// An administrator sends items elsewhere and mends addresses, but not under the
// hands of the relay.
func TestSteer(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	ids := r.enqueue(t, start, r.submission(t, 10, "bob@b.exampel", "cid@c.example"))
	l := r.one(t, start)
	old, to := addr("bob@b.exampel"), addr("bob@b.example")
	if err := r.EditRecipient(t.Context(), start, ids[0], old, to); !errors.Is(err, outqueue.ErrUnderway) {
		t.Errorf("under way: %v", err)
	}
	r.result(t, start, l, outqueue.Attempt{
		Results: []outqueue.Result{{Index: 0, Reply: outqueue.Reply{Code: 451, Text: "No such domain"}}, {Index: 1, State: outqueue.Delivered}},
		Next:    start.Add(time.Hour), Try: outqueue.Try{Began: start},
	})
	for _, f := range []outqueue.Filter{
		{Said: "451 no such"}, {Said: "such DOMAIN"}, {Domain: "b.exampel"}, {Before: start.Add(1)}, {Larger: 26}, {Deferred: true},
	} {
		if n := countItems(t, r, f); n != 1 {
			t.Errorf("%+v finds %d", f, n)
		}
	}
	for _, f := range []outqueue.Filter{
		{Said: "greylisted"}, {Domain: "c.example"}, {Domain: "exampel"}, {Before: start}, {Larger: 27}, {Untried: true}, {Underway: true}, {Frozen: "x"},
	} {
		if n := countItems(t, r, f); n != 0 {
			t.Errorf("%+v finds %d", f, n)
		}
	}
	totals, err := r.Destinations(t.Context())
	if err != nil || len(totals) != 1 || totals[0].Domain != "b.exampel" || totals[0].Items != 1 || totals[0].Deferred != 1 || totals[0].Said != "451 No such domain" {
		t.Errorf("%+v, %v", totals, err)
	}
	if err := r.EditRecipient(t.Context(), start, ids[0], addr("cid@c.example"), to); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("who has it: %v", err)
	}
	if err := r.EditRecipient(t.Context(), start, ids[0], old, to); err != nil {
		t.Fatal(err)
	}
	if err := r.Reroute(t.Context(), start, "smtp:other.example", ids...); err != nil {
		t.Fatal(err)
	}
	it := r.one(t, start).Item
	if it.Envelope.To[0].Address != to || it.Status[0].Attempts != 0 || it.Reroute != "smtp:other.example" {
		t.Errorf("%+v", it)
	}
}

func countItems(t *testing.T, r room, f outqueue.Filter) (n int) {
	t.Helper()
	for _, err := range r.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// What an administrator says of one message counts for more than the rule that
// holds it, and what is held for another reason stays held when the rule goes.
func TestRulesAndHolds(t *testing.T) {
	r := open(t, outqueue.Options{})
	ctx := t.Context()
	ids := r.enqueue(t, start, r.submission(t, 10, "a@b.example"), r.submission(t, 10, "b@b.example"), r.submission(t, 10, "c@b.example"))
	freeze := func() {
		t.Helper()
		if _, err := r.Freeze(ctx, outqueue.Freeze{Name: "b", To: "@b.example"}); err != nil {
			t.Fatal(err)
		}
	}
	held := func(what string, want ...bool) {
		t.Helper()
		for i, id := range ids {
			if it, err := r.Get(ctx, id); err != nil || it.Held != want[i] || it.Frozen != "" && !it.Held {
				t.Errorf("%s: item %d: held %t by %q, %v", what, i, it.Held, it.Frozen, err)
			}
		}
	}
	freeze()
	held("frozen", true, true, true)
	if err := errors.Join(r.Release(ctx, ids[0]), r.Hold(ctx, ids[1])); err != nil {
		t.Fatal(err)
	}
	if err := r.Retry(ctx, start, ids[1]); !errors.Is(err, outqueue.ErrHeld) {
		t.Errorf("one that is held is tried: %v", err)
	}
	held("steered", false, true, true)
	if n, err := r.Thaw(ctx, "b"); err != nil || n != 1 {
		t.Errorf("%d released, %v", n, err)
	}
	held("thawed", false, true, false)
	freeze()
	if err := errors.Join(r.Hold(ctx, ids...), r.Unhold(ctx, ids...)); err != nil {
		t.Fatal(err)
	}
	held("held no more, but by the rule", true, true, true)
}

// No more rules are made than are looked at.
func TestTooManyRules(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	err := kv.Apply(t.Context(), r.db, keys.Common, func(tx kv.Txn) error {
		for i := range outqueue.MaxFreezes {
			tx.Put(append([]byte{keys.QueueFreeze}, strconv.Itoa(i)...), []byte{1, 0xa0})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Freeze(t.Context(), outqueue.Freeze{Name: "more", To: "x"}); !errors.Is(err, outqueue.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	for _, bad := range []outqueue.Freeze{{Name: "x"}, {To: "x"}, {Name: strings.Repeat("x", 101), To: "x"}, {Name: "x", To: strings.Repeat("x", 5000)}} {
		if _, err := r.Freeze(t.Context(), bad); !errors.Is(err, outqueue.ErrRule) {
			t.Errorf("%.20s %.20s: %v", bad.Name, bad.To, err)
		}
	}
}
