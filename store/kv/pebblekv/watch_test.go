package pebblekv_test

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
)

// Who knows of some commits anyway is told of the others only.
func TestWatchBut(t *testing.T) {
	s := open(t, "store", pebblekv.Options{FS: vfs.NewMem()})
	var known atomic.Uint64
	some, err := kv.WatchBut(t.Context(), s, 1, func(v kv.Version) bool { return uint64(v) <= known.Load() })
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Watch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	write := func(know bool) kv.Version {
		t.Helper()
		if know {
			known.Store(1 << 63)
		}
		c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error { tx.Put([]byte("k"), []byte("v")); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := <-all; v != c.Version() {
			t.Fatalf("the watch gives version %d, want %d", v, c.Version())
		}
		if know {
			known.Store(uint64(c.Version()))
		}
		return c.Version()
	}
	for range 3 {
		write(true)
		if len(some) > 0 {
			t.Fatalf("told of version %d, which was known", <-some)
		}
		if want, v := write(false), <-some; v != want {
			t.Fatalf("told of version %d, want %d", v, want)
		}
	}
}
