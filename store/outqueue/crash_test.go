package outqueue_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/outqueue"
)

// A ledger is what the world outside has been told.
type ledger struct {
	mu       sync.Mutex
	enqueued map[string]bool // we have said 250
	tried    map[string]bool // the peer has said 250
	sent     map[string]bool // and that is durable
}

func newLedger() *ledger {
	return &ledger{enqueued: map[string]bool{}, tried: map[string]bool{}, sent: map[string]bool{}}
}

func (l *ledger) note(in map[string]bool, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in[message] = true
}

// copied gives one of the sets as it is now.
func (l *ledger) copied(set map[string]bool) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(set)
}

// enqueueUntil enqueues small and large messages until ctx ends.
func enqueueUntil(ctx context.Context, t *testing.T, q *outqueue.Queue, blobs blob.Store, l *ledger, name string) {
	for i := 0; ctx.Err() == nil; i++ {
		size := 1000
		if i%10 == 0 {
			size = 150_000
		}
		body, err := blob.StageBytes(ctx, blobs, bytes.Repeat([]byte{byte(i)}, size))
		if err != nil {
			continue
		}
		s := outqueue.Submission{Message: fmt.Sprint(name, "-", i), Body: body}
		s.Envelope.To = []mail.Recipient{{Address: addr("bob@b.example")}}
		_, err = q.Enqueue(ctx, start, s)
		body.Close()
		if err == nil {
			l.note(l.enqueued, s.Message)
		} else if ctx.Err() == nil {
			t.Errorf("enqueue: %v", err)
		}
	}
}

// sendUntil sends what is due until ctx ends.
func sendUntil(ctx context.Context, t *testing.T, q *outqueue.Queue, l *ledger, now time.Time) {
	for ctx.Err() == nil {
		leases, err := lease(ctx, q, now, 3)
		if err != nil && ctx.Err() == nil {
			t.Errorf("due: %v", err)
		}
		for _, lease := range leases {
			l.note(l.tried, lease.Item.Message)
			err := q.Result(ctx, now, lease, delivered)
			if err == nil {
				l.note(l.sent, lease.Item.Message)
			} else if ctx.Err() == nil {
				t.Errorf("result: %v", err)
			}
		}
	}
}

// After a power cut every message that was acknowledged is in the queue or has
// been sent, and none whose result was noted is there again.
func TestPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	blobs := memblob.New(0)
	before := map[string]bool{} // what the round before has left
	for round := range 4 {
		db, err := pebblekv.Open("data/store", pebblekv.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		q := outqueue.New(db, blobs, outqueue.Options{Lease: time.Minute})
		l := newLedger()
		l.enqueued = before
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() { enqueueUntil(ctx, t, q, blobs, l, fmt.Sprint(round, w)) })
		}
		wg.Go(func() { sendUntil(ctx, t, q, l, start.Add(time.Duration(round)*time.Hour)) })
		for len(l.copied(l.sent)) < 20 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		sent, enqueued := l.copied(l.sent), l.copied(l.enqueued)
		after := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 60}[round%2], RNG: rand.New(rand.NewPCG(uint64(round), 2)),
		})
		tried := l.copied(l.tried)
		cancel()
		wg.Wait()
		db.Close() // whatever it still did is not in the copy
		fs = after
		before = leftBehind(t, fs, blobs)
		for m := range enqueued {
			if !before[m] && !tried[m] {
				t.Errorf("round %d: %s is lost", round, m)
			}
		}
		for m := range sent {
			if before[m] {
				t.Errorf("round %d: %s would be sent again", round, m)
			}
		}
	}
}

// leftBehind opens the store as after a crash and gives the messages in it.
func leftBehind(t *testing.T, fs vfs.FS, blobs blob.Store) map[string]bool {
	t.Helper()
	db, err := pebblekv.Open("data/store", pebblekv.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q := outqueue.New(db, blobs, outqueue.Options{})
	queued := map[string]bool{}
	for it, err := range q.List(t.Context(), outqueue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		queued[it.Message] = true
	}
	if c, err := q.Counts(t.Context()); err != nil || int(c.Items) != len(queued) {
		t.Errorf("counts are %+v with %d items, %v", c, len(queued), err)
	}
	return queued
}
