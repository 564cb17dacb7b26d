package outqueue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/outqueue"
	"waxwing/test/engine"
)

// start is when all tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A room is a queue with what it stands on.
type room struct {
	*outqueue.Queue
	db    kv.Store
	blobs blob.Store
}

func open(t testing.TB, o outqueue.Options) room {
	t.Helper()
	db, blobs := engine.New(t), memblob.New(0)
	t.Cleanup(func() { db.Close(); blobs.Close() })
	// Every transaction runs twice: none may have side effects.
	return room{outqueue.New(kvtest.Far(db, 0), blobs, o), db, blobs}
}

func addr(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

// submission gives one with a body of so many octets.
func (r room) submission(t testing.TB, size int, to ...string) outqueue.Submission {
	t.Helper()
	body, err := blob.StageBytes(t.Context(), r.blobs, bytes.Repeat([]byte("m"), size))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { body.Close() })
	s := outqueue.Submission{
		Message:  "msg1",
		Envelope: mail.Envelope{From: addr("ann@a.example")},
		Body:     body,
		Prefix:   []byte("Received: by us\r\n"),
	}
	for _, a := range to {
		s.Envelope.To = append(s.Envelope.To, mail.Recipient{Address: addr(a)})
	}
	return s
}

func (r room) enqueue(t testing.TB, now time.Time, subs ...outqueue.Submission) []outqueue.ID {
	t.Helper()
	ids, err := r.Enqueue(t.Context(), now, subs...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// lease leases what is due, the ones that have waited longest first in each
// shard.
func lease(ctx context.Context, q *outqueue.Queue, now time.Time, limit int) ([]*outqueue.Lease, error) {
	var ready []outqueue.Ready
	err := q.Ready(ctx, now, &outqueue.Cursor{}, func(r outqueue.Ready) bool {
		if len(ready) == limit {
			return false
		}
		ready = append(ready, r)
		return true
	})
	if err != nil || len(ready) == 0 {
		return nil, err
	}
	return q.Lease(ctx, now, ready...)
}

func (r room) due(t testing.TB, now time.Time, limit int) []*outqueue.Lease {
	t.Helper()
	leases, err := lease(t.Context(), r.Queue, now, limit)
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

// next is when something more becomes due.
func (r room) next(t testing.TB, now time.Time) time.Time {
	t.Helper()
	var c outqueue.Cursor
	if err := r.Ready(t.Context(), now, &c, func(outqueue.Ready) bool { return true }); err != nil {
		t.Fatal(err)
	}
	return c.Next()
}

// one leases the one item that is due.
func (r room) one(t testing.TB, now time.Time) *outqueue.Lease {
	t.Helper()
	leases := r.due(t, now, 10)
	if len(leases) != 1 {
		t.Fatalf("%d items are due, want one", len(leases))
	}
	return leases[0]
}

func (r room) result(t testing.TB, now time.Time, l *outqueue.Lease, a outqueue.Attempt) {
	t.Helper()
	if err := r.Result(t.Context(), now, l, a); err != nil {
		t.Fatal(err)
	}
}

// empty checks that nothing but the heads is left.
func (r room) empty(t testing.TB) {
	t.Helper()
	for p, err := range r.db.Partitions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		r.db.View(t.Context(), p, func(rd kv.Reader) error {
			for item := range rd.Scan(nil, nil, kv.ScanOptions{}) {
				if item.Key[0] != keys.QueueHead {
					t.Errorf("left behind: %q", item.Key)
				}
			}
			return nil
		})
		for stat := range r.blobs.List(t.Context(), mail.AccountID(p)) {
			t.Errorf("body left behind: %v", stat)
		}
	}
	if c, err := r.Counts(t.Context()); err != nil || c != (outqueue.Counts{}) {
		t.Errorf("counts of an empty queue: %+v, %v", c, err)
	}
}

var delivered = outqueue.Attempt{Results: []outqueue.Result{{State: outqueue.Delivered}}}

// An item's way from the first to the last recipient.
func TestWay(t *testing.T) {
	r := open(t, outqueue.Options{})
	s := r.submission(t, 1000, "bob@b.example", "cid@c.example")
	s.Envelope.To[1].Original, s.Envelope.To[1].Notify = "rfc822;cid@old.example", mail.NotifySuccess|mail.NotifyDelay
	s.Envelope.UTF8, s.Envelope.EightBit, s.Envelope.ID, s.Envelope.ReturnHeaders = true, true, "env", true
	s.Origin = outqueue.Origin{Account: 7, Service: "submission", Remote: "192.0.2.1", Hello: "laptop"}
	ids := r.enqueue(t, start, s)
	if id, err := outqueue.ParseID(ids[0].String()); id != ids[0] || err != nil {
		t.Errorf("id %v: %v, %v", ids[0], id, err)
	}

	l := r.one(t, start)
	it := l.Item
	if it.ID != ids[0] || it.Message != "msg1" || it.Origin != s.Origin || !it.Created.Equal(start) || it.Size != 1017 ||
		fmt.Sprint(it.Envelope) != fmt.Sprint(s.Envelope) || !it.Leased || it.Held || it.Tries != 0 {
		t.Errorf("the item has changed: %+v", it)
	}
	if len(r.due(t, start, 10)) != 0 {
		t.Error("a leased item is leased again")
	}
	reply := outqueue.Reply{Code: 250, Enhanced: "2.1.5", Text: "ok"}
	r.result(t, start, l, outqueue.Attempt{
		Results: []outqueue.Result{{Index: 0, State: outqueue.Delivered, Reply: reply, Remote: "mx.b.example"}},
		Keep:    true,
	})
	later := outqueue.Reply{Code: 451, Enhanced: "4.7.1", Text: "greylisted"}
	r.result(t, start, l, outqueue.Attempt{
		Results: []outqueue.Result{{Index: 1, State: outqueue.Pending, Reply: later, Remote: "mx.c.example"}},
		Next:    start.Add(5 * time.Minute),
		Try:     outqueue.Try{Began: start, Took: time.Second, Remote: "mx.c.example", Text: "greylisted"},
	})
	if c, err := r.Counts(t.Context()); err != nil || c != (outqueue.Counts{Items: 1, Deferred: 1, Octets: 1017}) {
		t.Errorf("counts: %+v, %v", c, err)
	}
	if next := r.next(t, start); !next.Equal(start.Add(5 * time.Minute)) {
		t.Errorf("next: %v", next)
	}
	if len(r.due(t, start.Add(5*time.Minute-1), 10)) != 0 {
		t.Error("an item is due too early")
	}

	now := start.Add(5 * time.Minute)
	l = r.one(t, now)
	want := []outqueue.Status{
		{State: outqueue.Delivered, Attempts: 1, Last: start, Reply: reply, Remote: "mx.b.example"},
		{State: outqueue.Pending, Attempts: 1, Last: start, Reply: later, Remote: "mx.c.example"},
	}
	for i, w := range want {
		got := l.Item.Status[i]
		if !got.Last.Equal(w.Last) {
			t.Errorf("recipient %d: tried at %v", i, got.Last)
		}
		if got.Last = w.Last; got != w {
			t.Errorf("recipient %d: %+v, want %+v", i, got, w)
		}
	}
	if p := l.Item.Pending(); !slices.Equal(p, []int{1}) || l.Item.Tries != 1 || len(l.Item.History) != 1 ||
		l.Item.History[0].Text != "greylisted" || l.Item.History[0].Took != time.Second {
		t.Errorf("second try: %+v", l.Item)
	}
	// What is settled stays so.
	r.result(t, now, l, outqueue.Attempt{
		Results: []outqueue.Result{{Index: 0, State: outqueue.Failed}, {Index: 1, State: outqueue.Failed}},
	})
	if _, err := r.Get(t.Context(), ids[0]); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("the item is there: %v", err)
	}
	if next := r.next(t, now); !next.IsZero() {
		t.Errorf("next of an empty queue: %v", next)
	}
	r.empty(t)
}

// Bodies of every size come back behind their prefix, and go with their item.
func TestBodies(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 2})
	for _, size := range []int{0, 1, 60<<10 - 17, 60 << 10, blob.Inline, blob.Inline + 1, 1 << 20} {
		s := r.submission(t, size, "bob@b.example")
		r.enqueue(t, start, s)
		l := r.one(t, start)
		stored, err := r.Get(t.Context(), l.Item.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := append([]byte("Received: by us\r\n"), bytes.Repeat([]byte("m"), size)...)
		for _, it := range []*outqueue.Item{l.Item, stored} { // the one as it came, the other as it lies there
			b, err := r.OpenBody(t.Context(), it)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(b.Reader()); err != nil || !bytes.Equal(got, want) || b.Size() != mail.ByteCount(len(want)) {
				t.Errorf("%d octets: %d of %d come back, %v", size, len(got), b.Size(), err)
			}
			if got, err := io.ReadAll(io.NewSectionReader(b, 0, int64(b.Size()))); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d octets: ReadAt gives %d, %v", size, len(got), err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		r.result(t, start, l, delivered)
		if _, err := r.OpenBody(t.Context(), stored); size > 0 && !errors.Is(err, outqueue.ErrNotFound) {
			t.Errorf("the body of an item that is gone: %v", err)
		}
	}
	r.empty(t)
}

// Several items share a large body; the last one takes it along.
func TestSharedBody(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	s := r.submission(t, 200_000, "bob@b.example")
	r.enqueue(t, start, s, s)
	r.enqueue(t, start, s)
	leases := r.due(t, start, 10)
	if len(leases) != 3 {
		t.Fatalf("%d items", len(leases))
	}
	for i, l := range leases {
		b, err := r.OpenBody(t.Context(), l.Item)
		if err != nil {
			t.Fatalf("body %d: %v", i, err)
		}
		b.Close()
		if i == 1 {
			err = r.Delete(t.Context(), l.Item.ID)
		} else {
			err = r.Result(t.Context(), start, l, delivered)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r.empty(t)
}

// The same large body comes and goes at the same time, and is there whenever
// an item has it.
func TestSharedBodyAtOnce(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	s := r.submission(t, 200_000, "bob@b.example")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 30 {
				ids, err := r.Enqueue(t.Context(), start, s)
				if err != nil {
					t.Error(err)
					return
				}
				it, err := r.Get(t.Context(), ids[0])
				if err == nil {
					var b *outqueue.Body
					if b, err = r.OpenBody(t.Context(), it); err == nil {
						b.Close()
					}
				}
				if err = errors.Join(err, r.Delete(t.Context(), ids...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.empty(t)
}

// A lease that has run out goes to somebody else, and its first owner can
// change nothing any more.
func TestLeases(t *testing.T) {
	r := open(t, outqueue.Options{Lease: time.Minute})
	r.enqueue(t, start, r.submission(t, 10, "bob@b.example", "cid@c.example"))
	first := r.one(t, start)
	now := start.Add(50 * time.Second)
	if err := r.Extend(t.Context(), now, first); err != nil || !first.Expires.Equal(now.Add(time.Minute)) {
		t.Errorf("extend: %v, %v", first.Expires, err)
	}
	if n := len(r.due(t, start.Add(time.Minute), 10)); n != 0 {
		t.Error("an extended lease has run out")
	}
	now = first.Expires
	second := r.one(t, now)
	for name, err := range map[string]error{
		"result":         r.Result(t.Context(), now, first, delivered),
		"partial result": r.Result(t.Context(), now, first, outqueue.Attempt{Keep: true}),
		"extend":         r.Extend(t.Context(), now, first),
	} {
		if !errors.Is(err, outqueue.ErrLeaseLost) {
			t.Errorf("%s of a lease that was lost: %v", name, err)
		}
	}
	r.result(t, now, second, outqueue.Attempt{Next: now.Add(time.Hour)})
	if err := r.Result(t.Context(), now, second, delivered); !errors.Is(err, outqueue.ErrLeaseLost) {
		t.Errorf("result of a lease that was given back: %v", err)
	}
	third := r.one(t, now.Add(time.Hour))
	if third.Item.Status[0].State != outqueue.Pending {
		t.Error("a late result has been noted")
	}
	if err := r.Delete(t.Context(), third.Item.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Result(t.Context(), now, third, delivered); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("result of an item that was deleted: %v", err)
	}
	r.empty(t)
}

// A notification is enqueued with the result that it follows from, or not at
// all.
// After a crash what was leased is due at once, and nothing else is; whoever
// had it before has lost it.
func TestReclaim(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 3, Lease: 10 * time.Minute})
	const n = 1700 // more than one page of a shard
	for i := range n {
		r.enqueue(t, start, r.submission(t, 10, fmt.Sprintf("u%d@b.example", i)))
	}
	var old []*outqueue.Lease
	for len(old) < n {
		old = append(old, r.due(t, start, 1000)...)
	}
	for _, l := range old[:100] { // these are waiting, and not leased
		r.result(t, start, l, outqueue.Attempt{Next: start.Add(5 * time.Minute), Try: outqueue.Try{Began: start}})
	}
	if err := r.Hold(t.Context(), old[200].Item.ID); err != nil {
		t.Fatal(err)
	}
	now := start.Add(time.Second)
	if got := r.due(t, now, n); len(got) != 0 {
		t.Fatalf("%d items are due before", len(got))
	}
	if err := r.Reclaim(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	var again []*outqueue.Lease
	for range 4 {
		again = append(again, r.due(t, now, n)...)
	}
	if len(again) != n-100-1 {
		t.Errorf("%d items are due after, want %d", len(again), n-100-1)
	}
	if err := r.Result(t.Context(), now, old[300], delivered); !errors.Is(err, outqueue.ErrLeaseLost) {
		t.Errorf("result of a lease that was taken back: %v", err)
	}
	if c, err := r.Counts(t.Context()); err != nil || c.Items != n || c.Deferred != 100 || c.Held != 1 {
		t.Errorf("counts: %+v, %v", c, err)
	}
}

func TestThen(t *testing.T) {
	r := open(t, outqueue.Options{})
	r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
	l := r.one(t, start)
	dsn := r.submission(t, 150_000, "ann@a.example")
	dsn.Envelope.From = mail.Address{}
	dsn.Message = "dsn"
	failed := outqueue.Attempt{
		Results: []outqueue.Result{{State: outqueue.Failed, Reply: outqueue.Reply{Code: 550}}},
		Then:    []outqueue.Submission{dsn},
	}
	r.result(t, start, l, failed)
	select {
	case <-r.Wake():
	default:
		t.Error("nobody is woken")
	}
	if err := r.Result(t.Context(), start, l, failed); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	l = r.one(t, start)
	if l.Item.Message != "dsn" || !l.Item.Envelope.From.IsNull() {
		t.Errorf("what follows is %+v", l.Item)
	}
	b, err := r.OpenBody(t.Context(), l.Item)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	r.result(t, start, l, delivered)
	r.empty(t)
}

func TestMistakes(t *testing.T) {
	r := open(t, outqueue.Options{MaxRecipients: 2, MaxItems: 4, Shards: 1})
	good := r.submission(t, 10, "bob@b.example")
	for name, bad := range map[string]func(*outqueue.Submission){
		"no recipients": func(s *outqueue.Submission) { s.Envelope.To = nil },
		"no body":       func(s *outqueue.Submission) { s.Body = nil },
		"too many":      func(s *outqueue.Submission) { s.Envelope.To = make([]mail.Recipient, 3) },
		"long prefix":   func(s *outqueue.Submission) { s.Prefix = make([]byte, 1<<20) },
		"long envelope": func(s *outqueue.Submission) { s.Envelope.ID = strings.Repeat("x", 2<<20) },
	} {
		s := good
		bad(&s)
		if _, err := r.Enqueue(t.Context(), start, good, s); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	r.empty(t) // all or none
	r.enqueue(t, start, good)
	l := r.one(t, start)
	for name, bad := range map[string]outqueue.Attempt{
		"recipient": {Results: []outqueue.Result{{Index: 1, State: outqueue.Delivered}}},
		"negative":  {Results: []outqueue.Result{{Index: -1, State: outqueue.Delivered}}},
		"state":     {Results: []outqueue.Result{{State: 9}}},
		"no next":   {},
	} {
		if err := r.Result(t.Context(), start, l, bad); err == nil {
			t.Errorf("bad %s is taken", name)
		}
	}
	large := r.submission(t, 300_000, "bob@b.example")
	r.enqueue(t, start, good, good, good)
	if _, err := r.Enqueue(t.Context(), start, large); !errors.Is(err, outqueue.ErrFull) {
		t.Errorf("a full queue: %v", err)
	}
	for stat := range r.blobs.List(t.Context(), mail.AccountID(keys.Outqueue(0))) {
		t.Errorf("the body of what was refused is kept: %v", stat)
	}
	if _, err := r.Get(t.Context(), 1<<60); !errors.Is(err, outqueue.ErrNotFound) {
		t.Errorf("an item of no shard: %v", err)
	}
	for _, s := range []string{"", "q", "x1", "q0x1", "q01", "qg", "Q1"} {
		if id, err := outqueue.ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v", s, id)
		}
	}
}

// Replies of strangers are bounded and text.
func TestLongReplies(t *testing.T) {
	r := open(t, outqueue.Options{})
	ids := r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
	now := start
	for i := range 50 {
		l := r.one(t, now)
		now = now.Add(time.Minute)
		long := strings.Repeat("\xff€", 5000)
		r.result(t, now, l, outqueue.Attempt{
			Results: []outqueue.Result{{Reply: outqueue.Reply{Code: 451, Text: long}, Remote: long}},
			Next:    now, Try: outqueue.Try{Began: now, Text: fmt.Sprint(i, long), Calls: slices.Repeat([]outqueue.Call{{Remote: long, TLS: "TLS 1.3", Text: long, Took: 7}}, 20)},
		})
	}
	it, err := r.Get(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if s := it.Status[0]; len(s.Reply.Text) > 1024 || len(s.Remote) > 1024 || s.Attempts != 50 {
		t.Errorf("%d octets of reply, %d attempts", len(s.Reply.Text), s.Attempts)
	}
	n := len(it.History)
	if n != 40 || !strings.HasPrefix(it.History[n-1].Text, "49") || it.Tries != 50 {
		t.Errorf("%d tries are remembered", n)
	}
	if c := it.History[n-1].Calls; len(c) != 8 || len(c[7].Text) > 256 || c[7].TLS != "TLS 1.3" || c[7].Took != 7 {
		t.Errorf("calls: %+v", c)
	}
	if old := it.History[n-9]; len(old.Text) > 256 || old.Calls != nil {
		t.Errorf("an old try takes much: %+v", old)
	}
}

// An envelope with very many recipients lies in several rows.
func TestManyRecipients(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	var to []string
	for i := range 2000 {
		to = append(to, fmt.Sprintf("recipient-%d@%s.example", i, strings.Repeat("long", 10)))
	}
	r.enqueue(t, start, r.submission(t, 10, to...))
	l := r.one(t, start)
	var results []outqueue.Result
	for i := range to {
		results = append(results, outqueue.Result{Index: i, Reply: outqueue.Reply{Code: 451, Text: strings.Repeat("wait ", 20)}})
	}
	r.result(t, start, l, outqueue.Attempt{Results: results, Next: start})
	l = r.one(t, start)
	if got := l.Item.Envelope.To[1999].Address.String(); got != to[1999] || l.Item.Status[1999].Reply.Code != 451 {
		t.Errorf("the last recipient is %q", got)
	}
	for i := range results {
		results[i].State = outqueue.Delivered
	}
	r.result(t, start, l, outqueue.Attempt{Results: results})
	r.empty(t)
}

// A token makes Enqueue happen once, for a day.
func TestTokens(t *testing.T) {
	r := open(t, outqueue.Options{})
	s := r.submission(t, 10, "bob@b.example")
	s.Token = "first"
	a := r.enqueue(t, start, s, s)
	b := r.enqueue(t, start.Add(time.Hour), s)
	if a[0] != a[1] || a[0] != b[0] {
		t.Errorf("one token makes %v and %v", a, b)
	}
	r.result(t, start, r.one(t, start), delivered)
	if c := r.enqueue(t, start.Add(2*time.Hour), s); c[0] != a[0] || len(r.due(t, start.Add(3*time.Hour), 10)) != 0 {
		t.Errorf("after it has gone: %v", c)
	}
	if c := r.enqueue(t, start.Add(25*time.Hour), s); c[0] == a[0] {
		t.Error("a day later the token is remembered")
	}
	s.Token = "second"
	if c := r.enqueue(t, start.Add(25*time.Hour), s); c[0] == a[0] {
		t.Error("another token gives the same item")
	}
}

func TestFirstTime(t *testing.T) {
	r := open(t, outqueue.Options{})
	s := r.submission(t, 10, "bob@b.example")
	s.Due = start.Add(time.Hour)
	r.enqueue(t, start, s)
	if len(r.due(t, start, 10)) != 0 {
		t.Error("it is due before its time")
	}
	s.Due = start.Add(-time.Hour) // earlier than what was looked at
	r.enqueue(t, start, s)
	r.result(t, start, r.one(t, start), delivered)
	r.one(t, start.Add(time.Hour))
}

// Leases are dealt out to many at once, each item to one.
func TestManyRelays(t *testing.T) {
	r := open(t, outqueue.Options{})
	const items = 300
	for range items / 10 {
		var subs []outqueue.Submission
		for range 10 {
			subs = append(subs, r.submission(t, 10, "bob@b.example"))
		}
		r.enqueue(t, start, subs...)
	}
	var (
		mu   sync.Mutex
		sent = map[outqueue.ID]int{}
		wg   sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for {
				leases, err := lease(t.Context(), r.Queue, start, 7)
				if err != nil || len(leases) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				for _, l := range leases {
					if err := r.Result(t.Context(), start, l, delivered); err != nil {
						t.Error(err)
					}
					mu.Lock()
					sent[l.Item.ID]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for id, n := range sent {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(sent) != items {
		t.Errorf("%d of %d were sent", len(sent), items)
	}
	r.empty(t)
}

// The number of shards is that of the queue's beginning; another Queue on the
// same store sees the same items and is woken by them.
func TestSecondNode(t *testing.T) {
	engine.NeedsBubble(t)
	synctest.Test(t, func(t *testing.T) {
		r := open(t, outqueue.Options{Shards: 7, Shared: true})
		r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
		other := room{outqueue.New(r.db, r.blobs, outqueue.Options{Shards: 1, Shared: true}), r.db, r.blobs}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := other.Run(ctx); err != context.Canceled {
				t.Errorf("Run: %v", err)
			}
		})
		synctest.Wait()
		for range 7 {
			r.enqueue(t, start, r.submission(t, 10, "bob@b.example"))
		}
		<-other.Wake()
		if n := len(other.due(t, start, 100)); n != 8 {
			t.Errorf("the other node sees %d items", n)
		}
		cancel()
		wg.Wait()
	})
}

// Run sweeps up bodies that nobody has.
func TestSweep(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	s := r.submission(t, 200_000, "bob@b.example")
	r.enqueue(t, start, s)
	garbage, err := blob.StageBytes(t.Context(), r.blobs, make([]byte, 100_000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := garbage.Keep(t.Context(), mail.AccountID(keys.Outqueue(0))); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for range r.blobs.List(t.Context(), mail.AccountID(keys.Outqueue(0))) {
			n++
		}
		return n
	}
	if err := r.Sweep(t.Context(), time.Now().Add(-time.Hour)); err != nil || count() != 2 {
		t.Errorf("a sweep takes what is young: %v", err)
	}
	if err := r.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil || count() != 1 {
		t.Errorf("sweep: %v, %d are left", err, count())
	}
	r.result(t, start, r.one(t, start), delivered)
	r.empty(t)
}
