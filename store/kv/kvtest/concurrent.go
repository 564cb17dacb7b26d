package kvtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"waxwing/store/kv"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// cancelLater cancels after the caller has probably begun to wait. The laws
// hold whether it has or not.
func cancelLater(cancel context.CancelFunc) { time.AfterFunc(time.Millisecond, cancel) }

// A view shows one state, whatever is committed meanwhile.
func snapshots(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=1", "b=1")
	h.view(t, p, func(r kv.Reader) {
		first := r.Scan(nil, nil, kv.ScanOptions{})
		h.put(t, p, "a=2", "c=2")
		h.apply(t, p, func(tx kv.Txn) { tx.DeleteRange([]byte("b"), []byte("c")) })
		if got := scan(t, r, nil, nil, kv.ScanOptions{}); got != "a=1 b=1" {
			t.Errorf("the view has become %q", got)
		}
		if got := get(t, r, "a") + get(t, r, "b") + get(t, r, "c"); got != "11<none>" {
			t.Errorf("the view's keys have become %q", got)
		}
		for item := range first {
			if string(item.Key) == "c" {
				t.Error("a scan of the view shows what came later")
			}
			h.put(t, p, "c=3")
		}
		h.want(t, p, "a=2 c=3")
	})
}

// Writers of one partition follow each other.
func counters(t *testing.T, h *house) {
	p := h.partition()
	const writers, rounds = 8, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range rounds {
				c, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
					var n uint64
					v, err := tx.Get([]byte("n"))
					if err == nil {
						n = binary.BigEndian.Uint64(v)
					} else if !errors.Is(err, kv.ErrNotFound) {
						return err
					}
					tx.Put([]byte("n"), binary.BigEndian.AppendUint64(nil, n+1))
					return nil
				})
				if err == nil {
					err = c.Wait(t.Context())
				}
				if err != nil {
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	h.view(t, p, func(r kv.Reader) {
		v, err := r.Get([]byte("n"))
		if err != nil || binary.BigEndian.Uint64(v) != writers*rounds {
			t.Errorf("the counter is at %x, %v; want %d", v, err, writers*rounds)
		}
	})
}

// Money moves between two keys; every view finds the same sum, in an order
// that never goes back.
func transfers(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=100", "b=0")
	number := func(r kv.Reader, key string) (n int) {
		v, err := r.Get([]byte(key))
		if err == nil {
			_, err = fmt.Sscan(string(v), &n)
		}
		if err != nil {
			t.Errorf("read %s: %v", key, err)
		}
		return n
	}
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 40 {
				h.apply(t, p, func(tx kv.Txn) {
					a, b := number(tx, "a"), number(tx, "b")
					tx.Put([]byte("a"), fmt.Append(nil, a-1))
					tx.Put([]byte("b"), fmt.Append(nil, b+1))
				})
			}
		})
		readers.Go(func() {
			last := 0
			for {
				h.view(t, p, func(r kv.Reader) {
					a, b := number(r, "a"), number(r, "b")
					if a+b != 100 || b < last {
						t.Errorf("a view finds %d and %d after %d", a, b, last)
					}
					last = b
				})
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	h.want(t, p, "a=20 b=80")
}

// A writer keeps up neither the writers of other partitions nor any reader.
func partitionsDoNotWait(t *testing.T, h *house) {
	p, q := h.partition(), h.partition()
	h.put(t, p, "a=1")
	h.apply(t, p, func(tx kv.Txn) {
		tx.Put([]byte("a"), []byte("2"))
		h.put(t, q, "b=1")
		h.want(t, q, "b=1")
		h.want(t, p, "a=1")
	})
	h.want(t, p, "a=2")
}

func commits(t *testing.T, h *house) {
	p := h.partition()
	var last kv.Version
	for i := range 5 {
		c, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
			tx.Put([]byte("a"), fmt.Append(nil, i))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.Version() <= last {
			t.Errorf("version %d follows %d", c.Version(), last)
		}
		last = c.Version()
		var wg sync.WaitGroup
		for range 3 { // anybody may wait, also again
			wg.Go(func() {
				if err := errors.Join(c.Wait(t.Context()), c.Wait(t.Context())); err != nil {
					t.Errorf("Wait: %v", err)
				}
			})
		}
		wg.Wait()
	}
	// One that writes nothing waits for what it has read, and makes no version.
	pending, err := h.Update(t.Context(), p, func(tx kv.Txn) error { tx.Put([]byte("b"), nil); return nil })
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Update(t.Context(), p, func(tx kv.Txn) error { get(t, tx, "b"); return nil })
	if err != nil || c.Version() != 0 || c.Wait(t.Context()) != nil {
		t.Errorf("a transaction without writes: %v, %v", c, err)
	}
	wantErr(t, "Wait for what is durable", pending.Wait(cancelled()), nil)
	// Many on their way at once are durable in the end.
	var all []kv.Commit
	for i := range 200 {
		c, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
			tx.Put([]byte("c"), fmt.Append(nil, i))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, i := range rand.Perm(len(all)) {
		if err := all[i].Wait(t.Context()); err != nil {
			t.Fatalf("Wait: %v", err)
		}
	}
	h.want(t, p, "a=4 b= c=199")
}
