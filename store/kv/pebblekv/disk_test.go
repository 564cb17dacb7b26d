package pebblekv_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
)

func put(t testing.TB, s kv.Store, p kv.Partition, key string, value []byte) {
	t.Helper()
	err := kv.Apply(t.Context(), s, p, func(tx kv.Txn) error { tx.Put([]byte(key), value); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s kv.Store, p kv.Partition, key string) (value []byte) {
	t.Helper()
	err := s.View(t.Context(), p, func(r kv.Reader) error {
		v, err := r.Get([]byte(key))
		value = bytes.Clone(v)
		return err
	})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return value
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "store") // all of it is made
	s := open(t, dir, pebblekv.Options{})
	put(t, s, 7, "k", []byte("v"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pebblekv.Options{})
	if got := get(t, s, 7, "k"); string(got) != "v" {
		t.Errorf("after reopening: %q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	refused := func(t *testing.T, dir, reason string) {
		t.Helper()
		s, err := pebblekv.Open(dir, pebblekv.Options{})
		if err == nil {
			s.Close()
			t.Fatal("opened")
		}
		if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), reason) {
			t.Errorf("the error %q does not tell of %q", err, reason)
		}
	}
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, pebblekv.Options{})
		refused(t, dir, "in use")
		put(t, s, 1, "k", nil)
	})
	t.Run("newer", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir, pebblekv.Options{}).Close()
		if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte("waxwing pebblekv 3\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, `layout "waxwing pebblekv 3"`)
	})
	// An empty store must not take the place of what is lost.
	for _, lost := range []string{"keys", "log", "log/00000001.log"} {
		t.Run("lost "+lost, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, pebblekv.Options{})
			put(t, s, 1, "k", nil)
			s.Close()
			if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
				t.Fatal(err)
			}
			reason := "does not exist"
			if strings.HasSuffix(lost, ".log") {
				reason = "is not there"
			}
			refused(t, dir, reason)
		})
	}
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"), pebblekv.Options{})
	put(t, s, 1, "k", []byte("old"))
	copied := filepath.Join(dir, "copies", "1")
	if err := s.Checkpoint(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	put(t, s, 1, "k", []byte("new"))
	if err := s.Checkpoint(t.Context(), copied); err == nil {
		t.Error("a checkpoint replaces another")
	}
	c := open(t, copied, pebblekv.Options{})
	if got := get(t, c, 1, "k"); string(got) != "old" {
		t.Errorf("the copy holds %q", got)
	}
	put(t, c, 1, "k", []byte("other"))
	if got := get(t, s, 1, "k"); string(got) != "new" {
		t.Errorf("the store holds %q", got)
	}
}

// A disk that gets full is noticed before it is: first messages are refused,
// then everything.
func TestFreeSpace(t *testing.T) {
	fs := vfs.NewMem()
	free := func(n uint64) pebblekv.Options {
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 1 << 40, UsedBytes: 1<<40 - n})
		return pebblekv.Options{FS: fs, MinFree: 1 << 20}
	}
	tests := []struct {
		free         uint64
		small, large error
	}{
		{2 << 20, nil, nil},
		{1<<20 - 1, nil, kv.ErrReadOnly},
		{1<<19 - 1, kv.ErrReadOnly, kv.ErrReadOnly},
	}
	for i, tt := range tests {
		s := open(t, "store", free(tt.free))
		for _, w := range []struct {
			size int
			want error
		}{{10, tt.small}, {10_000, tt.large}} {
			err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
				tx.Put(fmt.Append(nil, i, w.size), make([]byte, w.size))
				return nil
			})
			if !errors.Is(err, w.want) || (err == nil) != (w.want == nil) {
				t.Errorf("%d octets with %d free: %v, want %v", w.size, tt.free, err, w.want)
			}
		}
		if got := get(t, s, 1, fmt.Sprint(0, 10)); len(got) != 10 {
			t.Error("a full disk cannot be read")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
