package kvtest

import (
	"testing"

	"waxwing/store/kv"
)

// take receives from a watch, and fails if nothing comes until the test's end.
func take(t *testing.T, ch <-chan kv.Version) kv.Version {
	t.Helper()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatal("the watch has ended")
		}
		return v
	case <-t.Context().Done():
		t.Fatal("the watch is silent")
	}
	return 0
}

func watch(t *testing.T, h *house) {
	p := h.partition()
	ctx, cancel := contextWithCancel(t)
	ch, err := h.Watch(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Watch(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Update(t.Context(), p, func(tx kv.Txn) error { tx.Put([]byte("a"), nil); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range []<-chan kv.Version{ch, second} {
		if v := take(t, ch); v != c.Version() {
			t.Errorf("the watch gives version %d, want %d", v, c.Version())
		}
	}
	// What changes nothing here wakes nobody here.
	h.put(t, p+1, "a=1")
	h.apply(t, p, func(tx kv.Txn) { get(t, tx, "a") })
	h.Update(t.Context(), p, func(tx kv.Txn) error { tx.Put([]byte("b"), nil); return cancelled().Err() })
	c, err = h.Update(t.Context(), p, func(tx kv.Txn) error { tx.Put([]byte("c"), nil); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if v := take(t, ch); v != c.Version() {
		t.Errorf("the watch gives version %d, want %d", v, c.Version())
	}
	cancel()
	for range ch { // ends, once what has come has been taken
	}
	for range second {
	}
	h.put(t, p, "d=1") // and nobody falls over the watchers that have gone
}

// A watcher that looks after every wake-up sees everything in the end: no
// commit is told of before it can be seen, and none is forgotten.
func watchSeesAll(t *testing.T, h *house) {
	p := h.partition()
	ch, err := h.Watch(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 100
	go func() {
		for i := range rounds {
			c, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
				tx.Put([]byte{byte(i)}, nil)
				return nil
			})
			if err != nil {
				t.Errorf("update: %v", err)
			}
			if i%10 == 0 && c.Wait(t.Context()) != nil {
				t.Error("wait fails")
			}
		}
	}()
	var last kv.Version
	for seen := 0; seen < rounds; {
		v := take(t, ch)
		if v <= last {
			t.Fatalf("version %d comes after %d", v, last)
		}
		last = v
		before := seen
		seen = 0
		h.view(t, p, func(r kv.Reader) {
			for range r.Scan(nil, nil, kv.ScanOptions{}) {
				seen++
			}
		})
		if seen < before {
			t.Fatalf("the view has gone back from %d to %d", before, seen)
		}
	}
}

func closes(t *testing.T, s kv.Store) {
	ch, err := s.Watch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error { tx.Put([]byte("a"), nil); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := c.Wait(t.Context()); err != nil {
		t.Errorf("Wait after Close: %v", err)
	}
	for range ch {
	}
	_, err = s.Update(t.Context(), 1, func(kv.Txn) error { return nil })
	wantErr(t, "Update", err, kv.ErrClosed)
	wantErr(t, "View", s.View(t.Context(), 1, func(kv.Reader) error { return nil }), kv.ErrClosed)
	_, err = s.Watch(t.Context(), 1)
	wantErr(t, "Watch", err, kv.ErrClosed)
	wantErr(t, "Checkpoint", s.Checkpoint(t.Context(), "copy"), kv.ErrClosed)
	for _, err := range s.Partitions(t.Context(), 0) {
		wantErr(t, "Partitions", err, kv.ErrClosed)
	}
	wantErr(t, "Close", s.Close(), kv.ErrClosed)
}

// Close waits for those who are inside, and what they begin then is refused.
func closeWaits(t *testing.T, s kv.Store) {
	closed := make(chan error, 1)
	err := s.View(t.Context(), 1, func(r kv.Reader) error {
		go func() { closed <- s.Close() }()
		for { // until the store is closing
			err := s.View(t.Context(), 2, func(kv.Reader) error { return nil })
			if err != nil {
				wantErr(t, "View while closing", err, kv.ErrClosed)
				break
			}
		}
		select {
		case err := <-closed:
			t.Errorf("Close returns %v while a view runs", err)
		default:
		}
		if got := get(t, r, "a"); got != "<none>" {
			t.Errorf("the view reads %q", got)
		}
		return nil
	})
	if err != nil {
		t.Errorf("View: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}
