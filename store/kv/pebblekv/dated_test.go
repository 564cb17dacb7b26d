package pebblekv_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
)

// A transaction is told of the newest commit of its partition, and of nothing
// that was given up.
func TestNewest(t *testing.T) {
	o := pebblekv.Options{FS: vfs.NewMem()}
	s := open(t, "store", o)
	newest := func(p kv.Partition) (v kv.Version) {
		t.Helper()
		if _, err := s.Update(t.Context(), p, func(tx kv.Txn) error { v = tx.(kv.Dated).Newest(); return nil }); err != nil {
			t.Fatal(err)
		}
		return v
	}
	write := func(p kv.Partition, fail error) kv.Version {
		t.Helper()
		c, err := s.Update(t.Context(), p, func(tx kv.Txn) error { tx.Put([]byte("k"), []byte("v")); return fail })
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
		if err != nil {
			return 0
		}
		return c.Version()
	}
	if v := newest(1); v != 0 {
		t.Errorf("of an empty partition: %d", v)
	}
	first := write(1, nil)
	write(2, nil)
	write(1, errors.ErrUnsupported)
	if v := newest(1); v != first || v == 0 {
		t.Errorf("%d, want %d", v, first)
	}
	if second := write(1, nil); second == first || newest(1) != second {
		t.Errorf("%d, want %d, not %d", newest(1), second, first)
	}
	for p := range kv.Partition(5000) { // more than are known
		write(10+p, nil)
	}
	if v := newest(1); v != 0 {
		t.Errorf("of a partition that is not known any more: %d", v)
	}
	if last := write(5009, nil); newest(5009) != last {
		t.Error("not the newest")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "store", o)
	if v := newest(1); v != 0 {
		t.Errorf("after a start: %d", v)
	}
}
