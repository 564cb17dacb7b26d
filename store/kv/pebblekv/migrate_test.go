package pebblekv

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"waxwing/store/kv"
)

// layout1Values is what the store of layout 1 holds in each partition.
func layout1Values(p kv.Partition) map[string][]byte {
	values := map[string][]byte{"": {}, "empty": {}, "zero": {0}, "one": {1, 2, 3}}
	for i, size := range []int{referenceLen - 1, referenceLen, 1000, 1024, 5000, 64 << 10} {
		values[fmt.Sprint("size ", size)] = noise(uint64(p)+uint64(i), size)
	}
	return values
}

// writeLayout1 makes a store as the first layout had it: all in Pebble, values
// without a tag.
func writeLayout1(t *testing.T, fs vfs.FS, dir string) []kv.Partition {
	t.Helper()
	if err := makeDirs(fs, dir); err != nil {
		t.Fatal(err)
	}
	o := &pebble.Options{FS: fs, FormatMajorVersion: formatVersion, Logger: &logger{log: slog.New(slog.DiscardHandler)}}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 4 << 10, MaxBlobReferenceDepth: 64,
			RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.3}
	}
	db, err := pebble.Open(fs.PathJoin(dir, "pebble"), o)
	if err != nil {
		t.Fatal(err)
	}
	partitions := []kv.Partition{0, 1, 2, 1 << 60, 1<<64 - 1}
	for i, p := range partitions {
		for key, value := range layout1Values(p) {
			if err := db.Set(prefixed(p, []byte(key)), value, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
		if i == 2 { // part of it lies in the log of Pebble
			if err := db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(fs.PathJoin(dir, "FORMAT"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte(layout1))
	if err := errors.Join(f.Sync(), f.Close(), syncDir(fs, dir)); err != nil {
		t.Fatal(err)
	}
	return partitions
}

func checkLayout1(t *testing.T, s *Store, partitions []kv.Partition) {
	t.Helper()
	var found []kv.Partition
	for p, err := range s.Partitions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	if fmt.Sprint(found) != fmt.Sprint(partitions) {
		t.Errorf("partitions %v, want %v", found, partitions)
	}
	for _, p := range partitions {
		want := layout1Values(p)
		err := s.View(t.Context(), p, func(r kv.Reader) error {
			n := 0
			for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
				if err != nil {
					return err
				}
				if v, ok := want[string(item.Key)]; !ok || !bytes.Equal(v, item.Value) {
					t.Errorf("partition %d, key %q: %d octets, want %d", p, item.Key, len(item.Value), len(v))
				}
				n++
			}
			if n != len(want) {
				t.Errorf("partition %d has %d keys, want %d", p, n, len(want))
			}
			return nil
		})
		if err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
}

// A store of layout 1 is carried over at its first start, whole, and what it
// was is gone then.
func TestCarryOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	partitions := writeLayout1(t, vfs.Default, dir)
	for range 2 {
		s := testOpen(t, dir, Options{MinFree: -1})
		checkLayout1(t, s, partitions)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := fmt.Sprint(names); got != "[FORMAT LOCK keys log]" {
		t.Errorf("the store holds %v", got)
	}
}

// A power cut while a store is being carried over costs nothing, whenever it comes.
func TestCarryOverIsCut(t *testing.T) {
	mem := vfs.NewCrashableMem()
	partitions := writeLayout1(t, mem, "data/store")
	var mu sync.Mutex // guards clones and ops
	var clones []*vfs.MemFS
	ops := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if ops++; op.Kind.ReadOrWrite() == errorfs.OpIsWrite && ops%4 == 0 && len(clones) < 40 {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
		}
		return nil
	}))
	s := testOpen(t, "data/store", Options{FS: fs, MinFree: -1})
	checkLayout1(t, s, partitions)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, fs := range clones {
		s := testOpen(t, "data/store", Options{FS: fs, MinFree: -1})
		checkLayout1(t, s, partitions)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(len(clones), "cuts")
}
