package pebblekv

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
)

// Large values leave the tree: they lie in blob files after a flush, and come
// back from there.
func TestValuesAreSeparated(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	value := func(i int) []byte {
		v := make([]byte, 20_000)
		for j := range v {
			v[j] = byte(i * j)
		}
		return v
	}
	for i := range 20 {
		err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
			tx.Put([]byte{'b', byte(i)}, value(i))
			tx.Put([]byte{'k', byte(i)}, []byte("small"))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "pebble", "*.blob"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no blob files after a flush: %v", err)
	}
	err = s.View(t.Context(), 1, func(r kv.Reader) error {
		n := 0
		for item, err := range r.Scan([]byte("b"), []byte("c"), kv.ScanOptions{}) {
			if err != nil || string(item.Value) != string(value(n)) {
				return fmt.Errorf("value %d has changed: %w", n, err)
			}
			n++
		}
		if n != 20 {
			return fmt.Errorf("%d values", n)
		}
		_, err := r.Get([]byte("b\x07"))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// formatVersion is pinned; a newer Pebble does not move it by itself.
func TestFormatVersion(t *testing.T) {
	if formatVersion != 24 {
		t.Errorf("the format of the files has become %d: older programs cannot read it", formatVersion)
	}
	if formatVersion > pebble.FormatNewest {
		t.Errorf("this Pebble knows %d only", pebble.FormatNewest)
	}
}

// Partitions that nobody writes to leave nothing behind in memory.
func TestIdlePartitionsAreFree(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var last kv.Commit
	for i := range 200 {
		c, err := s.Update(t.Context(), kv.Partition(i), func(tx kv.Txn) error {
			tx.Put([]byte("k"), nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		last = c
		s.View(t.Context(), kv.Partition(i+1000), func(kv.Reader) error { return nil })
		s.Update(t.Context(), kv.Partition(i+2000), func(kv.Txn) error { return errors.New("no") })
	}
	if err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.parts.pending() {
		if err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.parts.mu.Lock()
	defer s.parts.mu.Unlock()
	if n := len(s.parts.of); n != 0 {
		t.Errorf("%d partitions are kept in memory", n)
	}
}
