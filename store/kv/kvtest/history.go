package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"waxwing/store/kv"
)

// histories runs random transactions on two neighbouring partitions and on a
// model of them, and compares all that can be read.
func histories(t *testing.T, h *house) {
	rapid.Check(t, func(rt *rapid.T) {
		p := h.partition()
		parts := []kv.Partition{p, p + 1}
		models := map[kv.Partition]model{p: {}, p + 1: {}}
		for range rapid.IntRange(1, 8).Draw(rt, "transactions") {
			p := rapid.SampledFrom(parts).Draw(rt, "partition")
			aborts := rapid.IntRange(0, 4).Draw(rt, "aborts") == 0
			next := maps.Clone(models[p])
			ops := rapid.SliceOfN(rapid.Custom(drawOp), 0, 12).Draw(rt, "ops")
			failure := errors.New("abort")
			c, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
				next = maps.Clone(models[p]) // fn may run again
				for _, o := range ops {
					o.run(rt, tx, next)
				}
				if aborts {
					return failure
				}
				return nil
			})
			switch {
			case aborts && err != failure:
				rt.Fatalf("abort gives %v", err)
			case !aborts && err != nil:
				rt.Fatalf("update: %v", err)
			case !aborts:
				models[p] = next
				if err := c.Wait(t.Context()); err != nil {
					rt.Fatalf("wait: %v", err)
				}
			}
			for _, p := range parts {
				reads := rapid.SliceOfN(rapid.Custom(drawRead), 1, 3).Draw(rt, "reads")
				err := h.View(t.Context(), p, func(r kv.Reader) error {
					op{kind: "scan"}.read(rt, r, models[p])
					for _, o := range reads {
						o.read(rt, r, models[p])
					}
					return nil
				})
				if err != nil {
					rt.Fatalf("view: %v", err)
				}
			}
		}
	})
}

// A model is what a partition should hold.
type model map[string]string

// An op is one call of a transaction.
type op struct {
	kind    string
	key, hi []byte // hi nil for the end
	value   []byte
	options kv.ScanOptions
}

func (o op) String() string {
	return fmt.Sprintf("%s %q %q %d octets %+v", o.kind, o.key, o.hi, len(o.value), o.options)
}

func drawKey(rt *rapid.T, name string) []byte {
	return rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 0, 3).Draw(rt, name)
}

func drawRead(rt *rapid.T) op {
	o := op{kind: rapid.SampledFrom([]string{"get", "many", "scan"}).Draw(rt, "kind"), key: drawKey(rt, "key")}
	if rapid.Bool().Draw(rt, "bounded") {
		o.hi = append([]byte{}, drawKey(rt, "hi")...)
	}
	o.options = kv.ScanOptions{
		Reverse:  rapid.Bool().Draw(rt, "reverse"),
		KeysOnly: rapid.Bool().Draw(rt, "keys only"),
		Limit:    rapid.IntRange(0, 3).Draw(rt, "limit"),
	}
	return o
}

func drawOp(rt *rapid.T) op {
	o := drawRead(rt)
	o.kind = rapid.SampledFrom([]string{"put", "put", "put", "delete", "range", "get", "many", "scan"}).Draw(rt, "op")
	size := rapid.SampledFrom([]int{0, 1, 10, 5000}).Draw(rt, "size")
	o.value = bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 1).Draw(rt, "value"), size)
	return o
}

func (o op) within(key string) bool {
	return key >= string(o.key) && (o.hi == nil || key < string(o.hi))
}

func (o op) run(rt *rapid.T, tx kv.Txn, m model) {
	switch o.kind {
	case "put":
		tx.Put(o.key, o.value)
		m[string(o.key)] = string(o.value)
	case "delete":
		tx.Delete(o.key)
		delete(m, string(o.key))
	case "range":
		tx.DeleteRange(o.key, o.hi)
		maps.DeleteFunc(m, func(k, _ string) bool { return o.within(k) })
	default:
		o.read(rt, tx, m)
	}
}

func (o op) read(rt *rapid.T, r kv.Reader, m model) {
	switch o.kind {
	case "get":
		got, err := r.Get(o.key)
		want, ok := m[string(o.key)]
		if ok != (err == nil) || string(got) != want || err != nil && !errors.Is(err, kv.ErrNotFound) {
			rt.Fatalf("get %q: %d octets, %v; want %d octets, %v", o.key, len(got), err, len(want), ok)
		}
	case "many":
		keys := [][]byte{o.key, o.hi, o.key, {}}
		got, err := r.GetMany(keys)
		if err != nil {
			rt.Fatalf("get many: %v", err)
		}
		for i, key := range keys {
			if want, ok := m[string(key)]; string(got[i]) != want || ok != (got[i] != nil) {
				rt.Fatalf("get many %q: %q, want %q, %v", key, got[i], want, ok)
			}
		}
		var room kv.Room
		if err := kv.GetInto(r, keys, &room); err != nil || !slices.EqualFunc(got, room.Values, bytes.Equal) {
			rt.Fatalf("get into a room %q: %q, %v, want %q", keys, room.Values, err, got)
		}
	case "scan":
		keys := slices.Sorted(maps.Keys(m))
		keys = slices.DeleteFunc(keys, func(k string) bool { return !o.within(k) })
		if o.options.Reverse {
			slices.Reverse(keys)
		}
		if n := o.options.Limit; n > 0 && n < len(keys) {
			keys = keys[:n]
		}
		i := 0
		for item, err := range r.Scan(o.key, o.hi, o.options) {
			if err != nil {
				rt.Fatalf("%v: %v", o, err)
			}
			if i == len(keys) || string(item.Key) != keys[i] || o.options.KeysOnly != (item.Value == nil) ||
				!o.options.KeysOnly && string(item.Value) != m[keys[i]] {
				rt.Fatalf("%v: item %d is %q, want %q", o, i, item.Key, keys)
			}
			i++
		}
		if i != len(keys) {
			rt.Fatalf("%v: %d items, want %q", o, i, keys)
		}
	}
}
