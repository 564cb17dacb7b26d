//go:build postgres

package pgkv_test

import (
	"testing"

	"waxwing/store/kv"
	"waxwing/store/kv/pgkv"
)

// A partition's version changes with each commit, of whatever node, and with
// nothing else.
func TestVersions(t *testing.T) {
	url := cluster.URL(cluster.NewDatabase(t))
	one, two := open(t, url), open(t, url)
	write := func(s kv.Store, p kv.Partition) {
		t.Helper()
		err := kv.Apply(t.Context(), s, p, func(tx kv.Txn) error { tx.Put([]byte("k"), []byte("v")); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	list := []kv.Partition{7, 1 << 63, 8}
	look := func() []string {
		t.Helper()
		var both [2][]string
		for i, s := range []*pgkv.Store{one, two} {
			texts, err := s.Versions(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			both[i] = texts
		}
		for i := range list {
			if both[0][i] != both[1][i] {
				t.Fatalf("%q here, %q there", both[0], both[1])
			}
		}
		return both[0]
	}
	write(one, 7)
	write(two, 1<<63)
	last := look()
	if last[0] == "" || last[1] == "" || last[2] != "" || last[0] == last[1] {
		t.Fatalf("%q", last)
	}
	for i, s := range []kv.Store{one, two, one, one} {
		write(s, 7)
		now := look()
		if now[0] == last[0] || now[1] != last[1] {
			t.Fatalf("step %d: %q, then %q", i, last, now)
		}
		last = now
		if again := look(); again[0] != last[0] {
			t.Fatalf("%q, then %q", last, again)
		}
	}
}
