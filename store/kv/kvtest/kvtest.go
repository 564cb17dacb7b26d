// Package kvtest holds the laws that every storage engine keeps, whatever it
// is made of: Run checks them all. Far makes an engine as awkward as the
// contract allows, for the tests of those who use one.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"waxwing/store/kv"
)

// Run checks the laws on stores that open gives. Each is empty at first, or
// shared with other laws, which use other partitions; open arranges for them
// to be closed at the end of the test t that it is given.
func Run(t *testing.T, open func(t *testing.T) kv.Store) {
	laws := []struct {
		name string
		law  func(*testing.T, *house)
	}{
		{"read what was written", readWritten},
		{"partitions are apart", partitionsApart},
		{"partitions are listed", partitionsListed},
		{"scan bounds", scanBounds},
		{"own writes", ownWrites},
		{"scan while writing", scanWhileWriting},
		{"slices stay", slicesStay},
		{"rooms", rooms},
		{"failure writes nothing", failureWritesNothing},
		{"panic frees the partition", panicFreesPartition},
		{"limits", limits},
		{"many keys", manyKeys},
		{"ranges", ranges},
		{"snapshots", snapshots},
		{"counters", counters},
		{"transfers", transfers},
		{"partitions do not wait", partitionsDoNotWait},
		{"contexts", contexts},
		{"commits", commits},
		{"watch", watch},
		{"watch sees all", watchSeesAll},
		{"histories", histories},
		{"serialisable", serialisable},
	}
	shared := &house{Store: open(t), next: new(atomic.Uint64)}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) { l.law(t, shared) })
	}
	t.Run("close", func(t *testing.T) { closes(t, open(t)) })
	t.Run("close waits", func(t *testing.T) { closeWaits(t, open(t)) })
}

// A house is the store under test, with partitions that nobody else uses.
type house struct {
	kv.Store
	next *atomic.Uint64
}

// partition gives one that is empty, and whose neighbours are too.
func (h *house) partition() kv.Partition { return kv.Partition(h.next.Add(1) << 16) }

// apply runs a transaction that must not fail.
func (h *house) apply(t testing.TB, p kv.Partition, fn func(kv.Txn)) {
	t.Helper()
	err := kv.Apply(t.Context(), h.Store, p, func(tx kv.Txn) error { fn(tx); return nil })
	if err != nil {
		t.Fatalf("transaction: %v", err)
	}
}

// put writes "k=v" pairs.
func (h *house) put(t testing.TB, p kv.Partition, pairs ...string) {
	t.Helper()
	h.apply(t, p, func(tx kv.Txn) {
		for _, pair := range pairs {
			k, v, _ := bytes.Cut([]byte(pair), []byte("="))
			tx.Put(k, v)
		}
	})
}

// view runs a view that must not fail.
func (h *house) view(t testing.TB, p kv.Partition, fn func(kv.Reader)) {
	t.Helper()
	err := h.View(t.Context(), p, func(r kv.Reader) error { fn(r); return nil })
	if err != nil {
		t.Fatalf("view: %v", err)
	}
}

// want checks all that the partition holds, as "k=v k=v".
func (h *house) want(t testing.TB, p kv.Partition, want string) {
	t.Helper()
	h.view(t, p, func(r kv.Reader) {
		if got := scan(t, r, nil, nil, kv.ScanOptions{}); got != want {
			t.Fatalf("partition holds %q, want %q", got, want)
		}
	})
}

// scan gives what a scan gives as "k=v k=v", or "k k" without values.
func scan(t testing.TB, r kv.Reader, lo, hi []byte, o kv.ScanOptions) string {
	t.Helper()
	var out bytes.Buffer
	for item, err := range r.Scan(lo, hi, o) {
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.Write(item.Key)
		if item.Value != nil {
			fmt.Fprintf(&out, "=%s", item.Value)
		}
	}
	return out.String()
}

// get reads a key as text; "<none>" if there is none.
func get(t testing.TB, r kv.Reader, key string) string {
	t.Helper()
	v, err := r.Get([]byte(key))
	if errors.Is(err, kv.ErrNotFound) {
		return "<none>"
	}
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return string(v)
}

// wantErr checks an error.
func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: got error %v, want %v", what, got, want)
	}
}

// cancelled gives a context that has ended.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
