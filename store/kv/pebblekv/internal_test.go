package pebblekv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"waxwing/store/kv"
)

// Large values stay in the log: Pebble's tables hold little more than keys.
func TestValuesStayInTheLog(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n, size = 20, 20_000
	for i := range n {
		err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
			tx.Put([]byte{'b', byte(i)}, noise(uint64(i), size))
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
	if m := s.db.Metrics(); m.DiskSpaceUsage() > n*size/2 {
		t.Errorf("Pebble needs %d octets", m.DiskSpaceUsage())
	}
	err = s.View(t.Context(), 1, func(r kv.Reader) error {
		i := uint64(0)
		for item, err := range r.Scan([]byte("b"), []byte("c"), kv.ScanOptions{}) {
			if err != nil || string(item.Value) != string(noise(i, size)) {
				return fmt.Errorf("value %d has changed: %w", i, err)
			}
			i++
		}
		if i != n {
			return fmt.Errorf("%d values", i)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// noise gives octets that do not compress, always the same for one seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		seed = seed*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(b[i:], seed^seed>>33)
	}
	return b[:n]
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
