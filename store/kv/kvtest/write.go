package kvtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"waxwing/store/kv"
)

func ownWrites(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=1", "b=2", "c=3")
	h.apply(t, p, func(tx kv.Txn) {
		tx.Put([]byte("b"), []byte("two"))
		tx.Put([]byte("d"), []byte("4"))
		tx.Delete([]byte("a"))
		for key, want := range map[string]string{"a": "<none>", "b": "two", "c": "3", "d": "4"} {
			if got := get(t, tx, key); got != want {
				t.Errorf("own %q = %q, want %q", key, got, want)
			}
		}
		if got := scan(t, tx, nil, nil, kv.ScanOptions{}); got != "b=two c=3 d=4" {
			t.Errorf("own scan = %q", got)
		}
		tx.DeleteRange([]byte("b"), []byte("d"))
		tx.Put([]byte("c"), []byte("again"))
		got, err := tx.GetMany([][]byte{[]byte("b"), []byte("c"), []byte("d")})
		if err != nil || got[0] != nil || string(got[1]) != "again" || string(got[2]) != "4" {
			t.Errorf("own GetMany = %q, %v", got, err)
		}
		if got := scan(t, tx, nil, nil, kv.ScanOptions{Reverse: true}); got != "d=4 c=again" {
			t.Errorf("own scan after a range = %q", got)
		}
		tx.DeleteRange(nil, nil)
		if got := scan(t, tx, nil, nil, kv.ScanOptions{}); got != "" {
			t.Errorf("own scan after everything = %q", got)
		}
		tx.Put([]byte("e"), []byte("5"))
		// Others see nothing of it.
		h.want(t, p, "a=1 b=2 c=3")
	})
	h.want(t, p, "e=5")
}

// A scan shows the state at its beginning; the loop may write.
func scanWhileWriting(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=1", "b=2", "c=3")
	h.apply(t, p, func(tx kv.Txn) {
		tx.Put([]byte("c"), []byte("4"))
		var seen string
		for item, err := range tx.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			seen += string(item.Key) + string(item.Value)
			tx.Put(append([]byte("z"), item.Key...), item.Value)
			tx.Delete(item.Key)
			tx.DeleteRange([]byte("b"), []byte("d"))
		}
		if seen != "a1b2c4" {
			t.Errorf("the scan has seen %q", seen)
		}
	})
	h.want(t, p, "za=1 zb=2 zc=4")
}

func failureWritesNothing(t *testing.T, h *house) {
	p := h.partition()
	h.put(t, p, "a=1")
	failure := errors.New("no")
	c, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
		tx.Put([]byte("b"), nil)
		tx.DeleteRange(nil, nil)
		return failure
	})
	if err != failure || c != nil {
		t.Errorf("Update gives %v, %v; want the error of fn as it is", c, err)
	}
	if err := h.View(t.Context(), p, func(kv.Reader) error { return failure }); err != failure {
		t.Errorf("View gives %v, want the error of fn as it is", err)
	}
	h.want(t, p, "a=1")
}

func panicFreesPartition(t *testing.T, h *house) {
	p := h.partition()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		h.Update(t.Context(), p, func(tx kv.Txn) error {
			tx.Put([]byte("a"), []byte("1"))
			for range tx.Scan(nil, nil, kv.ScanOptions{}) {
				panic("bug")
			}
			return nil
		})
	}()
	h.put(t, p, "b=2")
	h.want(t, p, "b=2")
}

func limits(t *testing.T, h *house) {
	p := h.partition()
	l := h.Limits()
	if d := kv.DefaultLimits; l.Key < d.Key || l.Value < d.Value || l.Txn < d.Txn || l.Keys < d.Keys {
		t.Fatalf("limits are %+v: below those that hold for all", l)
	}
	big := bytes.Repeat([]byte{'v'}, l.Value+1)
	key := bytes.Repeat([]byte{'k'}, l.Key+1)
	h.apply(t, p, func(tx kv.Txn) { tx.Put(key[:l.Key], big[:l.Value]) })
	h.view(t, p, func(r kv.Reader) {
		if got := get(t, r, string(key[:l.Key])); got != string(big[:l.Value]) {
			t.Error("the largest key and value come back changed")
		}
		if got := get(t, r, string(key)); got != "<none>" {
			t.Error("a key beyond the limit is found")
		}
	})
	h.apply(t, p, func(tx kv.Txn) { tx.DeleteRange(key[:l.Key], append(key[:l.Key:l.Key], 0)) })
	h.want(t, p, "")
	over := map[string]func(tx kv.Txn){
		"key":    func(tx kv.Txn) { tx.Put(key, nil) },
		"value":  func(tx kv.Txn) { tx.Put([]byte("k"), big) },
		"delete": func(tx kv.Txn) { tx.Delete(key) },
		"octets": func(tx kv.Txn) {
			for i := range l.Txn/l.Value + 1 {
				tx.Put([]byte{byte(i >> 8), byte(i)}, big[:l.Value])
			}
		},
		"keys": func(tx kv.Txn) {
			for i := range l.Keys + 1 {
				tx.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), nil)
			}
		},
	}
	for name, fn := range over {
		_, err := h.Update(t.Context(), p, func(tx kv.Txn) error {
			tx.Put([]byte("before"), nil)
			fn(tx)
			tx.Put([]byte("after"), nil)
			return nil
		})
		wantErr(t, "over the limit of "+name, err, kv.ErrTooLarge)
		h.want(t, p, "")
	}
}

func manyKeys(t *testing.T, h *house) {
	p := h.partition()
	n := h.Limits().Keys
	key := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i*7919%n)) }
	h.apply(t, p, func(tx kv.Txn) {
		for i := range n {
			tx.Put(key(i), fmt.Append(nil, i*7919%n))
		}
	})
	h.view(t, p, func(r kv.Reader) {
		i := 0
		for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil || !bytes.Equal(item.Key, binary.BigEndian.AppendUint32(nil, uint32(i))) || string(item.Value) != fmt.Sprint(i) {
				t.Fatalf("item %d is %x %q, %v", i, item.Key, item.Value, err)
			}
			i++
		}
		if i != n {
			t.Fatalf("%d items, want %d", i, n)
		}
		keys := make([][]byte, 0, 1000)
		for i := range 1000 {
			keys = append(keys, key(i*3))
		}
		values, err := r.GetMany(keys)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if string(v) != fmt.Sprint(i*3*7919%n) {
				t.Fatalf("GetMany: %d is %q", i, v)
			}
		}
	})
	h.apply(t, p, func(tx kv.Txn) {
		for i := range n {
			if i%100 != 0 {
				tx.Delete(binary.BigEndian.AppendUint32(nil, uint32(i)))
			}
		}
	})
	h.view(t, p, func(r kv.Reader) {
		left := 0
		for _, err := range r.Scan(nil, nil, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				t.Fatal(err)
			}
			left++
		}
		if left != (n+99)/100 {
			t.Errorf("%d items are left", left)
		}
	})
}

// ranges deletes ranges of every size, over what was there and what is new.
func ranges(t *testing.T, h *house) {
	key := func(i int) []byte { return fmt.Appendf(nil, "%04d", i) }
	for _, size := range []int{0, 1, 63, 64, 65, 66, 500} {
		p := h.partition()
		h.apply(t, p, func(tx kv.Txn) {
			for i := range 600 {
				tx.Put(key(i), nil)
			}
		})
		count := func(r kv.Reader) (n int) {
			for range r.Scan(nil, nil, kv.ScanOptions{KeysOnly: true}) {
				n++
			}
			return n
		}
		h.apply(t, p, func(tx kv.Txn) {
			tx.Put([]byte("0010x"), nil)
			tx.DeleteRange(key(10), key(10+size))
			tx.DeleteRange(key(300), key(200)) // nothing
			want := 601 - size
			if size > 0 {
				want--
			}
			if got := count(tx); got != want {
				t.Errorf("size %d: the transaction sees %d keys, want %d", size, got, want)
			}
			tx.Put(key(11), []byte("back"))
		})
		h.view(t, p, func(r kv.Reader) {
			want := 601 - size
			if size > 0 {
				want--
			}
			if size > 1 {
				want++
			}
			if got := count(r); got != want || get(t, r, "0011") != "back" {
				t.Errorf("size %d: %d keys are left, want %d", size, got, want)
			}
		})
	}
}
