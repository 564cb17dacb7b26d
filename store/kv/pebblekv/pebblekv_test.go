package pebblekv_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/pebblekv"
)

func open(t testing.TB, dir string, o pebblekv.Options) *pebblekv.Store {
	t.Helper()
	s, err := pebblekv.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestLaws(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store {
		return open(t, "store", pebblekv.Options{FS: vfs.NewMem()})
	})
}

func TestLawsOnDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of syncs")
	}
	kvtest.Run(t, func(t *testing.T) kv.Store {
		return open(t, t.TempDir(), pebblekv.Options{MinFree: -1})
	})
}
