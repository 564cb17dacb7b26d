package pgkv

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"waxwing/store/kv"
)

// What an overlay says, and what it wants done in the database, come to the
// same as doing everything at once.
func TestOverlay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := func(name string) []byte {
			return rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 0, 2).Draw(rt, name)
		}
		database := map[string]string{}
		for range rapid.IntRange(0, 20).Draw(rt, "rows") {
			database[string(key("row"))] = "old"
		}
		want := maps.Clone(database)
		var o overlay
		for n := range rapid.IntRange(0, 20).Draw(rt, "steps") {
			before := o
			state := fmt.Sprint(before.changes())
			o.grow()
			k := key("key")
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				o.put(k, fmt.Append(nil, n))
				want[string(k)] = fmt.Sprint(n)
			case 1:
				o.delete(k)
				delete(want, string(k))
			case 2:
				var hi []byte
				if rapid.Bool().Draw(rt, "bounded") {
					hi = filled(key("hi"))
				}
				o.deleteRange(k, hi)
				maps.DeleteFunc(want, func(s, _ string) bool { return s >= string(k) && (hi == nil || s < string(hi)) })
			}
			if now := fmt.Sprint(before.changes()); now != state {
				rt.Fatalf("an earlier copy has become %s, was %s", now, state)
			}
		}
		for k := range database {
			value, known := o.get([]byte(k))
			if !known {
				value = []byte("old")
			}
			if w, there := want[k]; there != (value != nil) || string(value) != w {
				rt.Fatalf("%q is %q, %v; want %q", k, value, known, w)
			}
		}
		ranges, deleted, keys, values := o.changes()
		for i, r := range ranges {
			if i > 0 && (ranges[i-1].hi == nil || bytes.Compare(ranges[i-1].hi, r.lo) >= 0) {
				rt.Fatalf("ranges %q touch", ranges)
			}
			maps.DeleteFunc(database, func(s, _ string) bool { return s >= string(r.lo) && before([]byte(s), r.hi) })
		}
		for _, k := range deleted {
			delete(database, string(k))
		}
		for i, k := range keys {
			database[string(k)] = string(values[i])
		}
		if !maps.Equal(database, want) {
			rt.Fatalf("the database holds %v, want %v", database, want)
		}
	})
}

func TestWriters(t *testing.T) {
	w := func(n int) (w writer) { w[7] = byte(n); return w }
	var entries []byte
	for n := range mostEntries {
		entries = withEntry(entries, w(n), 7)
	}
	check := func(n int, serial uint64, wantCommitted, wantKnown bool) {
		t.Helper()
		if committed, known := find(entries, w(n), serial); committed != wantCommitted || known != wantKnown {
			t.Errorf("writer %d, %d: %v, %v", n, serial, committed, known)
		}
	}
	check(0, 7, true, true)
	check(0, 8, false, true)
	check(99, 7, false, false) // may have been pushed out
	entries = withEntry(entries, w(0), 8)
	check(0, 8, true, true)
	check(1, 7, true, true)
	entries = withEntry(entries, w(99), 1)
	check(99, 1, true, true)
	check(1, 7, false, false)
	if len(entries) != mostEntries*entrySize {
		t.Errorf("%d octets", len(entries))
	}
	entries = nil
	check(1, 1, false, true)
}

// Notifications hold as much as they may, and are read back by others only.
func TestPayloads(t *testing.T) {
	of := map[kv.Partition]kv.Version{1: 1, 1<<64 - 1: 1<<63 - 1}
	for p := range 2000 {
		of[kv.Partition(p)<<40] = kv.Version(p + 1)
	}
	var from news
	from.start(&Store{writer: writer{1}}, "id")
	payloads := from.payloads(of)
	told := map[kv.Partition]kv.Version{}
	for _, s := range []*Store{{writer: writer{1}}, {writer: writer{2}}} {
		var to news
		to.start(s, "id")
		for p := range of {
			to.watched[p] = &watched{watchers: 1}
		}
		for _, payload := range append(payloads, "", " ", "x 1:2", "x 1", "x :", strings.Repeat("9 ", 50)) {
			if len(payload) >= 8000 {
				t.Fatalf("%d octets", len(payload))
			}
			to.hear(payload)
		}
		for p, w := range to.watched {
			if w.told > 0 {
				told[p] = w.told
			}
		}
		if s.writer == (writer{1}) {
			if len(told) != 1 || told[1] != 2 { // of "x 1:2"
				t.Errorf("told of its own: %v", told)
			}
			clear(told)
		}
	}
	of[1] = 2
	if !maps.Equal(told, of) {
		t.Errorf("%d partitions are told of, want %d", len(told), len(of))
	}
}
