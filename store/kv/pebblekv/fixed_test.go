package pebblekv

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
)

// fixedKeys are those of filled in a partition.
func fixedKeys(p, n int) (keys [][]byte) {
	for i := p; i < n; i += 3 {
		keys = append(keys, fmt.Appendf(nil, "v%04d", i))
	}
	return keys
}

// checkFixed reads values that never change, and compares those that are there.
func checkFixed(t *testing.T, s *Store, n, size int, there func(i int) bool) {
	t.Helper()
	var room kv.Room
	for p := range 3 {
		keys := fixedKeys(p, n)
		err := s.View(t.Context(), kv.Partition(p), func(r kv.Reader) error { return kv.GetFixed(r, keys, &room) })
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range room.Values {
			if i := p + 3*k; there(i) && !bytes.Equal(v, text(i, size)) {
				t.Fatalf("value %d has %d octets", i, len(v))
			}
		}
	}
}

// Where a value lay is remembered, and found anew when the collector has moved
// it on.
func TestFixed(t *testing.T) {
	const n, size = 600, 4 << 10
	s := filled(t, vfs.Default, t.TempDir(), n, size)
	all := func(int) bool { return true }
	checkFixed(t, s, n, size, all)
	if len(s.log.fixed.now) != n {
		t.Errorf("%d places are remembered, of %d", len(s.log.fixed.now), n)
	}
	checkFixed(t, s, n, size, all)
	before := s.Sizes()
	there := func(i int) bool { return i%10 < 3 }
	for p := range 3 {
		err := kv.Apply(t.Context(), s, kv.Partition(p), func(tx kv.Txn) error {
			for i := p; i < n; i += 3 {
				if !there(i) {
					tx.Delete(fmt.Appendf(nil, "v%04d", i))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	checkFixed(t, s, n, size, there)
	flushAll(t, s)
	eventually(t, "segments are removed", func() bool {
		checkFixed(t, s, n, size, there)
		s.keeper.churn.Store(1 << 30)
		prompt(s.keeper.collect)
		return s.Sizes().Segments < before.Segments/2
	})
	checkFixed(t, s, n, size, there)
	// What is gone is forgotten with what has moved.
	var room kv.Room
	keys := fixedKeys(1, n)
	err := s.View(t.Context(), 1, func(r kv.Reader) error { return kv.GetFixed(r, keys, &room) })
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range room.Values {
		if i := 1 + 3*k; !there(i) && v != nil {
			t.Errorf("value %d, which is deleted, is still read", i)
		}
	}
}

// Places are found without reading what lies there, and values without looking for
// them again.
func TestLocate(t *testing.T) {
	const n, size = 300, 4 << 10
	s := filled(t, vfs.Default, t.TempDir(), n, size)
	keys := append(fixedKeys(0, n), []byte("none"), []byte("v0000"))
	for range 2 {
		if err := s.View(t.Context(), 0, func(r kv.Reader) error { return kv.Locate(r, keys) }); err != nil {
			t.Fatal(err)
		}
		if len(s.log.fixed.now) != n/3 {
			t.Errorf("%d places are remembered", len(s.log.fixed.now))
		}
	}
	var own roomy
	r := reader{log: s.log}
	r.setPartition(0)
	if missing := r.recall(keys, &own); len(missing) != 1 {
		t.Errorf("%v are missing", missing)
	}
	checkFixed(t, s, n, size, func(int) bool { return true })
}

// A place that has become wrong is found out by the checksum, and a value that is
// damaged is told as ever.
func TestFixedIsWrong(t *testing.T) {
	const n, size = 60, 4 << 10
	dir := t.TempDir()
	s := filled(t, vfs.Default, dir, n, size)
	all := func(int) bool { return true }
	checkFixed(t, s, n, size, all)
	spoil := func(change func(*reference)) {
		s.log.fixed.mu.Lock()
		defer s.log.fixed.mu.Unlock()
		for k, ref := range s.log.fixed.now {
			change(&ref)
			s.log.fixed.now[k] = ref
		}
	}
	spoil(func(ref *reference) { ref.place += 7 })
	checkFixed(t, s, n, size, all)
	spoil(func(ref *reference) { ref.place += 1 << 40 })
	checkFixed(t, s, n, size, all)
	spoil(func(ref *reference) { ref.sum++ })
	checkFixed(t, s, n, size, all)

	key := []byte("v0003")
	held, closer, err := s.db.Get(prefixed(0, key))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := parseReference(held)
	if err != nil {
		t.Fatal(err)
	}
	closer.Close()
	change(t, filepath.Join(dir, "log", segmentName(ref.place.segment())), int64(ref.place.offset())+77)
	var room kv.Room
	err = s.View(t.Context(), 0, func(r kv.Reader) error { return kv.GetFixed(r, [][]byte{key}, &room) })
	if _, ok := errors.AsType[*Damage](err); !ok {
		t.Errorf("a damaged value: %v", err)
	}
}

// What is remembered is bounded.
func TestFixedIsBounded(t *testing.T) {
	var f bodyLog
	r := reader{log: &f}
	for i := range maxPlaces*2 + 10 {
		r.remember([][]byte{fmt.Appendf(nil, "%d", i)}, []wanted{{index: 0}})
	}
	if len(f.fixed.now) != 10 || len(f.fixed.old) != maxPlaces {
		t.Errorf("%d and %d", len(f.fixed.now), len(f.fixed.old))
	}
	var own roomy
	if missing := r.recall([][]byte{[]byte("0"), []byte("70000"), bytes.Repeat([]byte("k"), 100)}, &own); len(missing) != 2 || len(own.refs) != 1 {
		t.Errorf("%v are missing, %d there", missing, len(own.refs))
	}
}
