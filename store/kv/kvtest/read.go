package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"waxwing/store/kv"
)

func readWritten(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "b=1", "a=2", "=empty key", "c=")
	h.view(t, p, func(r kv.Reader) {
		for key, want := range map[string]string{"a": "2", "b": "1", "c": "", "": "empty key", "d": "<none>", "aa": "<none>"} {
			if got := get(t, r, key); got != want {
				t.Errorf("get %q = %q, want %q", key, got, want)
			}
		}
		got, err := r.GetMany([][]byte{[]byte("c"), []byte("x"), []byte("a"), []byte("c")})
		if err != nil || len(got) != 4 {
			t.Fatalf("GetMany: %q, %v", got, err)
		}
		if got[0] == nil || len(got[0]) != 0 || got[1] != nil || string(got[2]) != "2" || got[3] == nil {
			t.Errorf("GetMany = %q: a missing key gives nil, an empty value does not", got)
		}
		if got, err := r.GetMany(nil); err != nil || len(got) != 0 {
			t.Errorf("GetMany of nothing: %q, %v", got, err)
		}
	})
	h.put(t, p, "a=3", "c=4")
	h.apply(t, p, func(tx kv.Txn) { tx.Delete([]byte("")); tx.Delete([]byte("none")) })
	h.want(t, p, "a=3 b=1 c=4")

	// Keys and values are copied, and any octets will do.
	h.apply(t, p, func(tx kv.Txn) {
		key, value := []byte{0, 0xff}, []byte{0, 1, 2}
		tx.DeleteRange(nil, nil)
		tx.Put(key, value)
		key[0], value[0] = 9, 9
	})
	h.want(t, p, "\x00\xff=\x00\x01\x02")
}

func partitionsApart(t *testing.T, h *house) {
	p := h.partition()
	for _, p := range []kv.Partition{p - 1, p, p + 1, math.MaxUint64, 0} {
		h.put(t, p, fmt.Sprintf("k=%d", p), "\xff\xff\xff\xff\xff\xff\xff\xff\xff=last")
	}
	for _, o := range []kv.ScanOptions{{}, {Reverse: true}} {
		for _, p := range []kv.Partition{p, math.MaxUint64, 0} {
			h.view(t, p, func(r kv.Reader) {
				n := 0
				for item, err := range r.Scan(nil, nil, o) {
					if err != nil {
						t.Fatal(err)
					}
					if n++; item.Key[0] == 'k' && string(item.Value) != fmt.Sprint(uint64(p)) {
						t.Errorf("partition %x gives %q", p, item.Value)
					}
				}
				if n != 2 {
					t.Errorf("partition %x gives %d items, want 2", p, n)
				}
			})
		}
	}
	for _, p := range []kv.Partition{p, math.MaxUint64} {
		h.apply(t, p, func(tx kv.Txn) { tx.DeleteRange(nil, nil) })
		h.want(t, p, "")
		h.want(t, p-1, map[bool]string{true: fmt.Sprintf("k=%d \xff\xff\xff\xff\xff\xff\xff\xff\xff=last", uint64(p-1))}[p != math.MaxUint64])
	}
	h.view(t, p+1, func(r kv.Reader) {
		if get(t, r, "k") == "<none>" {
			t.Error("deleting one partition has deleted the next")
		}
	})
	h.apply(t, 0, func(tx kv.Txn) { tx.DeleteRange(nil, nil) })
}

func partitionsListed(t *testing.T, h *house) {
	p := h.partition()
	list := func(from kv.Partition) (got []kv.Partition) {
		for q, err := range h.Partitions(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			if q > p+0xff {
				break
			}
			got = append(got, q)
		}
		return got
	}
	h.put(t, p+1, "a=1", "b=2")
	h.put(t, p+3, "a=1")
	h.put(t, p+9, "=1")
	h.put(t, p+5, "a=1")
	h.apply(t, p+5, func(tx kv.Txn) { tx.Delete([]byte("a")) })
	h.put(t, math.MaxUint64, "a=1")
	if got, want := fmt.Sprint(list(p)), fmt.Sprint([]kv.Partition{p + 1, p + 3, p + 9}); got != want {
		t.Errorf("partitions: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(list(p+2)), fmt.Sprint([]kv.Partition{p + 3, p + 9}); got != want {
		t.Errorf("partitions from the second: %s, want %s", got, want)
	}
	last := 0
	for q, err := range h.Partitions(t.Context(), math.MaxUint64) {
		if err != nil || q != math.MaxUint64 {
			t.Errorf("the last partition: %x, %v", q, err)
		}
		last++
	}
	if last != 1 {
		t.Errorf("the last partition is listed %d times", last)
	}
	for _, err := range h.Partitions(cancelled(), p) {
		if err == nil {
			t.Error("partitions are listed after the context's end")
		}
	}
	h.apply(t, math.MaxUint64, func(tx kv.Txn) { tx.DeleteRange(nil, nil) })
}

func scanBounds(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=1", "b=2", "b\x00=3", "c=4", "d=")
	tests := []struct {
		lo, hi string // "-" for nil
		o      kv.ScanOptions
		want   string
	}{
		{"-", "-", kv.ScanOptions{}, "a=1 b=2 b\x00=3 c=4 d="},
		{"", "-", kv.ScanOptions{Reverse: true}, "d= c=4 b\x00=3 b=2 a=1"},
		{"b", "c", kv.ScanOptions{}, "b=2 b\x00=3"},
		{"b", "c", kv.ScanOptions{Reverse: true}, "b\x00=3 b=2"},
		{"aa", "cc", kv.ScanOptions{Limit: 2}, "b=2 b\x00=3"},
		{"aa", "cc", kv.ScanOptions{Limit: 2, Reverse: true}, "c=4 b\x00=3"},
		{"b\x00", "-", kv.ScanOptions{Limit: 9}, "b\x00=3 c=4 d="},
		{"-", "b", kv.ScanOptions{KeysOnly: true}, "a"},
		{"c", "-", kv.ScanOptions{KeysOnly: true, Reverse: true, Limit: 1}, "d"},
		{"-", "", kv.ScanOptions{}, ""},
		{"b", "b", kv.ScanOptions{}, ""},
		{"c", "b", kv.ScanOptions{}, ""},
		{"c", "b", kv.ScanOptions{Reverse: true}, ""},
		{"e", "-", kv.ScanOptions{}, ""},
		{"e", "f", kv.ScanOptions{Reverse: true}, ""},
		{"-", "0", kv.ScanOptions{Reverse: true}, ""},
	}
	bound := func(s string) []byte {
		if s == "-" {
			return nil
		}
		return []byte(s)
	}
	check := func(who string, r kv.Reader) {
		for _, tt := range tests {
			if got := scan(t, r, bound(tt.lo), bound(tt.hi), tt.o); got != tt.want {
				t.Errorf("%s scans %q to %q %+v: %q, want %q", who, tt.lo, tt.hi, tt.o, got, tt.want)
			}
		}
		all := r.Scan(nil, nil, kv.ScanOptions{})
		for range 2 { // a sequence can be gone through again, and be left early
			for item, err := range all {
				if err != nil || string(item.Key) != "a" {
					t.Errorf("%s: first of a scan is %q, %v", who, item.Key, err)
				}
				break
			}
		}
	}
	h.view(t, p, func(r kv.Reader) { check("a view", r) })
	h.apply(t, p, func(tx kv.Txn) { check("a transaction", tx) })
	h.apply(t, p, func(tx kv.Txn) { // half of it its own
		tx.Delete([]byte("a"))
		tx.Put([]byte("a"), []byte("1"))
		tx.Put([]byte("c"), []byte("4"))
		tx.DeleteRange([]byte("d"), nil)
		tx.Put([]byte("d"), nil)
		check("a transaction with writes", tx)
	})
}

// Values stay valid until fn returns, whatever is read or written after them.
func slicesStay(t *testing.T, h *house) {
	p := h.partition()
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1+i*101%9000) }
	h.apply(t, p, func(tx kv.Txn) {
		for i := range 100 {
			tx.Put([]byte{byte(i)}, value(i))
		}
	})
	check := func(r kv.Reader) {
		var kept [][]byte
		for i := range 100 {
			v, err := r.Get([]byte{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, v)
		}
		more, err := r.GetMany([][]byte{{1}, {50}, {99}})
		if err != nil {
			t.Fatal(err)
		}
		scan(t, r, nil, nil, kv.ScanOptions{})
		if tx, ok := r.(kv.Txn); ok {
			tx.DeleteRange(nil, nil)
			tx.Put([]byte{1}, []byte("new"))
		}
		for i, v := range kept {
			if !bytes.Equal(v, value(i)) {
				t.Fatalf("value %d has changed", i)
			}
		}
		for j, i := range []int{1, 50, 99} {
			if !bytes.Equal(more[j], value(i)) {
				t.Fatalf("value %d of GetMany has changed", i)
			}
		}
	}
	h.view(t, p, check)
	h.apply(t, p, func(tx kv.Txn) { check(tx) })
}

// What is read into a room is there after the reader has gone, until the room
// is used again; and it is what GetMany gives, in whatever order it is asked for.
func rooms(t *testing.T, h *house) {
	p := h.partition()
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i*331%30_000) }
	h.apply(t, p, func(tx kv.Txn) { tx.Put([]byte{250}, []byte("other")) })
	for first := 0; first < 200; first += 40 {
		h.apply(t, p, func(tx kv.Txn) {
			for i := first; i < first+40; i++ {
				tx.Put([]byte{byte(i)}, value(i))
			}
		})
	}
	var room kv.Room
	for round := range 4 {
		var keys [][]byte
		for i := range 220 {
			switch round {
			case 1:
				i = 219 - i
			case 2:
				i = i * 37 % 220
			case 3:
				i = i % 5
			}
			keys = append(keys, []byte{byte(i)})
		}
		read := func(r kv.Reader) {
			if err := kv.GetInto(r, keys, &room); err != nil {
				t.Fatal(err)
			}
		}
		check := func() {
			t.Helper()
			for k, v := range room.Values {
				if i := int(keys[k][0]); i < 200 && (v == nil || !bytes.Equal(v, value(i))) || i >= 200 && v != nil {
					t.Fatalf("round %d: value %d is %d octets, want %d", round, i, len(v), len(value(i)))
				}
			}
		}
		h.view(t, p, read)
		check()
		h.apply(t, p, func(tx kv.Txn) { tx.Put([]byte{7}, value(7)); read(tx) })
		check()
		for _, v := range room.Values {
			clear(v)
		}
	}
}

// Readers stop when their context ends.
func contexts(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=1", "b=2", "c=3")
	nothing := func(kv.Txn) error { t.Error("fn runs after the context's end"); return nil }
	_, err := h.Update(cancelled(), p, nothing)
	wantErr(t, "Update", err, cancelled().Err())
	err = h.View(cancelled(), p, func(kv.Reader) error { t.Error("fn runs after the context's end"); return nil })
	wantErr(t, "View", err, cancelled().Err())
	_, err = h.Watch(cancelled(), p)
	wantErr(t, "Watch", err, cancelled().Err())

	ctx, cancel := contextWithCancel(t)
	err = h.View(ctx, p, func(r kv.Reader) error {
		n := 0
		for _, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if n++; n > 1 {
				t.Error("a scan goes on after the context's end")
			}
			cancel()
		}
		return errors.New("a scan ends in silence")
	})
	wantErr(t, "scan", err, ctx.Err())

	ctx, cancel = contextWithCancel(t)
	_, err = h.Update(ctx, p, func(tx kv.Txn) error {
		tx.Put([]byte("d"), nil)
		cancel()
		return nil
	})
	wantErr(t, "Update that is cancelled", err, ctx.Err())
	h.want(t, p, "a=1 b=2 c=3")

	// Who waits for another writer stops waiting.
	ctx, cancel = contextWithCancel(t)
	h.apply(t, p, func(kv.Txn) {
		cancelLater(cancel)
		_, err := h.Update(ctx, p, nothing)
		wantErr(t, "Update behind another", err, ctx.Err())
	})
}
