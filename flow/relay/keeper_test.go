package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
	"waxwing/test/house"
)

// A stingy store has no room, while it is full, for what becomes of queued
// mail.
type stingy struct {
	kv.Store
	full    atomic.Bool
	refused atomic.Int64
}

func (s *stingy) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	return s.Store.Update(ctx, p, func(tx kv.Txn) error {
		if !s.full.Load() || p < keys.Outqueue(0) || p > keys.Outqueue(255) {
			return fn(tx)
		}
		w := &watched{Txn: tx}
		if err := fn(w); err != nil {
			return err
		}
		if w.removed {
			s.refused.Add(1)
			return errors.New("no space left on device")
		}
		return nil
	})
}

// watched notes that an item is removed.
type watched struct {
	kv.Txn
	removed bool
}

func (w *watched) Delete(key []byte) {
	w.removed = w.removed || key[0] == keys.QueueState
	w.Txn.Delete(key)
}

// A tally counts the steps that the relay tells.
type tally struct{ told atomic.Int64 }

func (c *tally) Record(context.Context, trace.Event) { c.told.Add(1) }

// While it cannot be recorded what came of an attempt, for longer than a lease
// lasts, nobody else gets the message: neither here nor in another process.
func TestLeaseLastsAsLongAsRecording(t *testing.T) {
	t.Run("alone", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { recordingTakesLong(t, 1) }) })
	t.Run("shared", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { recordingTakesLong(t, 2) }) })
}

// recordingTakesLong has so many relays share a queue.
func recordingTakesLong(t *testing.T, relays int) {
	db, blobs := &stingy{Store: memkv.New()}, memblob.New(0)
	h := house.Over(t, db, blobs, slog.New(slog.DiscardHandler))
	defer func() { _ = h.Mailboxes.Close(); _ = blobs.Close(); _ = db.Close() }()
	h.Furnish()
	steps := &tally{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range relays {
		h.Queue = outqueue.New(db, blobs, outqueue.Options{Shared: relays > 1})
		r := relay.New(h.Queue, h.Deliverer, blobs, dnstest.Zone{}, relay.Options{Hostname: house.Hostname, Trace: steps})
		running.Go(func() { _ = r.Run(ctx) })
	}
	db.full.Store(true)
	enqueue(t, h, text, h.Bob.Address.String())
	time.Sleep(45 * time.Minute) // a lease lasts ten, or one if it is shared
	if waiting := h.Queued(); len(waiting) != 1 || !waiting[0].Leased || !waiting[0].Due.After(time.Now()) {
		t.Errorf("%d messages wait, or nobody has the one", len(waiting))
	}
	if tried, ended := db.refused.Load(), steps.told.Load(); tried < 100 || ended != 0 {
		t.Errorf("%d results were refused, %d attempts have come to an end", tried, ended)
	}
	db.full.Store(false)
	time.Sleep(time.Minute)
	cancel()
	running.Wait()
	if waiting, got := h.Queued(), h.Inbox(h.Bob); len(waiting) != 0 || len(got) != 1 || steps.told.Load() != 1 {
		t.Errorf("%d messages wait, bob has %d, %d steps were told", len(waiting), len(got), steps.told.Load())
	}
}
