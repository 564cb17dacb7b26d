package outqueue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/outqueue"
)

// A counter counts the calls of a store.
type counter struct {
	kv.Store
	views, updates atomic.Int64
}

func (c *counter) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	c.views.Add(1)
	return c.Store.View(ctx, p, fn)
}

func (c *counter) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	c.updates.Add(1)
	return c.Store.Update(ctx, p, fn)
}

// What a new message costs does not depend on how many wait: it is written and
// removed, two transactions, and nothing is read or looked for.
func TestFreshCostsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // or what is believed for some seconds would be read again
		db, blobs := &counter{Store: memkv.New()}, memblob.New(0)
		r := room{outqueue.New(db, blobs, outqueue.Options{}), db, blobs}
		defer func() { db.Close(); blobs.Close() }()
		dead := make([]outqueue.Submission, 500)
		for i := range dead {
			dead[i] = r.submission(t, 10, fmt.Sprintf("user@dead%d.example", i))
		}
		for range 20 {
			r.enqueue(t, start, dead...)
		}
		r.News()
		db.views.Store(0)
		db.updates.Store(0)
		for i := range 50 {
			now := start.Add(time.Duration(10+i) * time.Second) // memory has forgotten those before
			id := r.enqueue(t, now, r.submission(t, 100, "bob@b.example"))[0]
			news := r.News()
			if len(news.Fresh) != 1 || news.Fresh[0].ID != id || news.Stirred || news.Behind {
				t.Fatalf("%+v", news)
			}
			leases, err := r.Lease(t.Context(), now, news.Fresh...)
			if err != nil || len(leases) != 1 {
				t.Fatal(leases, err)
			}
			b, err := r.OpenBody(t.Context(), leases[0].Item)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(b.Reader()); err != nil || string(text) != "Received: by us\r\n"+strings.Repeat("m", 100) {
				t.Fatalf("%q, %v", text, err)
			}
			r.result(t, now, leases[0], delivered)
		}
		if views, updates := db.views.Load(), db.updates.Load(); views != 0 || updates != 100 {
			t.Errorf("50 messages made %d views and %d updates", views, updates)
		}
	})
}

// News names what is due, and what is not is found in the index.
func TestNews(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	later := r.submission(t, 10, "bob@b.example")
	later.Due = start.Add(time.Hour)
	r.enqueue(t, start, later)
	if n := r.News(); len(n.Fresh) != 0 || !n.Stirred || n.Behind {
		t.Errorf("what is due later: %+v", n)
	}
	if _, err := r.Freeze(t.Context(), outqueue.Freeze{Name: "no", To: "cold.example"}); err != nil {
		t.Fatal(err)
	}
	r.News()
	ids := r.enqueue(t, start, r.submission(t, 10, "bob@cold.example"), r.submission(t, 10, "bob@b.example"))
	if n := r.News(); len(n.Fresh) != 1 || n.Fresh[0].ID != ids[1] || n.Stirred || n.Behind {
		t.Errorf("one of two is held: %+v", n)
	}
	if n := r.News(); len(n.Fresh) != 0 || n.Stirred || n.Behind {
		t.Errorf("nothing is new: %+v", n)
	}
}

// What an administrator does to an item that has just come counts, before it is
// leased and after.
func TestChangedWhileFresh(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	ids := r.enqueue(t, start, r.submission(t, 10, "a@b.example"), r.submission(t, 10, "b@b.example"), r.submission(t, 10, "c@b.example"), r.submission(t, 10, "d@b.example"))
	fresh := r.News().Fresh
	if err := errors.Join(r.Hold(t.Context(), ids[0]), r.Delete(t.Context(), ids[1]),
		r.EditRecipient(t.Context(), start, ids[2], addr("c@b.example"), addr("cid@b.example"))); err != nil {
		t.Fatal(err)
	}
	if n := r.News(); !n.Behind {
		t.Error("the relay does not look again")
	}
	leases, err := r.Lease(t.Context(), start, fresh...)
	if err != nil || len(leases) != 2 {
		t.Fatal(leases, err)
	}
	for _, l := range leases {
		switch l.Item.ID {
		case ids[2]:
			if l.Item.Envelope.To[0].Address != addr("cid@b.example") {
				t.Errorf("the recipient is %v", l.Item.Envelope.To[0])
			}
			if err := r.EditRecipient(t.Context(), start, ids[2], addr("cid@b.example"), addr("e@b.example")); !errors.Is(err, outqueue.ErrUnderway) {
				t.Errorf("a recipient is edited while the item is being tried: %v", err)
			}
			if it, err := r.Get(t.Context(), ids[2]); err != nil || !it.Leased || !it.Due.Equal(l.Expires) {
				t.Errorf("%+v, %v", it, err)
			}
			if err := r.Reroute(t.Context(), start, "smtp:relay.example", ids[2]); err != nil {
				t.Fatal(err)
			}
			r.result(t, start, l, outqueue.Attempt{Next: start.Add(time.Minute), Try: outqueue.Try{Began: start}})
			if it, err := r.Get(t.Context(), ids[2]); err != nil || it.Leased || it.Reroute != "smtp:relay.example" || it.Tries != 1 {
				t.Errorf("%+v, %v", it, err)
			}
		case ids[3]:
			if err := r.Hold(t.Context(), ids[3]); err != nil {
				t.Fatal(err)
			}
			r.result(t, start, l, outqueue.Attempt{Next: start, Try: outqueue.Try{Began: start}})
		default:
			t.Errorf("%s is leased", l.Item.ID)
		}
	}
	if got := r.due(t, start.Add(time.Hour), 10); len(got) != 1 || got[0].Item.ID != ids[2] {
		t.Errorf("%d items are due", len(got))
	}
	if c, err := r.Counts(t.Context()); err != nil || c.Items != 3 || c.Held != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// More than there is room for in memory is found in the index.
func TestManyAtOnce(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 2})
	const n = 12_000
	subs := make([]outqueue.Submission, 400)
	for i := range subs {
		subs[i] = r.submission(t, 10, "bob@b.example")
	}
	for range n / len(subs) {
		r.enqueue(t, start, subs...)
	}
	news := r.News()
	if len(news.Fresh) == 0 || len(news.Fresh) >= n || !news.Behind {
		t.Fatalf("%d are named, behind: %v", len(news.Fresh), news.Behind)
	}
	seen := map[outqueue.ID]bool{}
	note := func(ready []outqueue.Ready) {
		for len(ready) > 0 {
			some := ready[:min(len(ready), 300)]
			ready = ready[len(some):]
			leases, err := r.Lease(t.Context(), start, some...)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range leases {
				if seen[l.Item.ID] || l.Item.Envelope.To[0].Address != addr("bob@b.example") {
					t.Fatalf("%+v", l.Item)
				}
				seen[l.Item.ID] = true
			}
		}
	}
	note(news.Fresh)
	var rest []outqueue.Ready
	if err := r.Ready(t.Context(), start, &outqueue.Cursor{}, func(r outqueue.Ready) bool { rest = append(rest, r); return true }); err != nil {
		t.Fatal(err)
	}
	if len(rest) != n-len(seen) {
		t.Errorf("%d are due and %d leased", len(rest), len(seen))
	}
	note(rest)
	if len(seen) != n {
		t.Errorf("%d of %d", len(seen), n)
	}
}

// A late store tells of commits when they have been durable for a while.
type late struct {
	kv.Store
	meanwhile func()
}

func (s late) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	c, err := s.Store.Update(ctx, p, fn)
	return lateCommit{c, s.meanwhile}, err
}

type lateCommit struct {
	kv.Commit
	meanwhile func()
}

func (c lateCommit) Wait(ctx context.Context) error {
	err := c.Commit.Wait(ctx)
	c.meanwhile()
	return err
}

// Who finds an item in the index before Enqueue has come back must not get it:
// it would be sent, and then handed over as new and sent again. The same with
// what an administrator does to it then.
func TestFoundBeforeHandedOver(t *testing.T) {
	db, blobs := memkv.New(), memblob.New(0)
	var meanwhile func()
	q := outqueue.New(late{db, func() {
		if fn := meanwhile; fn != nil {
			meanwhile = nil
			fn()
		}
	}}, blobs, outqueue.Options{Shards: 1})
	r := room{q, db, blobs}
	t.Cleanup(func() { db.Close(); blobs.Close() })
	r.due(t, start, 1) // the queue is laid down
	meanwhile = func() {
		if n := len(r.due(t, start, 10)); n != 0 {
			t.Errorf("%d items are leased before Enqueue is done", n)
		}
	}
	r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
	leases, err := r.Lease(t.Context(), start, r.News().Fresh...)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	r.result(t, start, leases[0], delivered)
	r.empty(t)

	meanwhile = func() {
		for it, err := range r.List(t.Context(), outqueue.Filter{}) {
			if err := errors.Join(err, r.Hold(t.Context(), it.ID)); err != nil {
				t.Error(err)
			}
		}
	}
	r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
	if n := r.News(); len(n.Fresh) != 0 || !n.Behind {
		t.Errorf("what is held is handed over: %+v", n)
	}
	if n := len(r.due(t, start, 10)); n != 0 {
		t.Errorf("%d items that are held are leased", n)
	}
}
