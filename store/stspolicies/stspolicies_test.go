package stspolicies

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/test/engine"
	"waxwing/trust/mtasts"
)

func TestStore(t *testing.T) {
	db := engine.New(t)
	defer func() { _ = db.Close() }()
	s := New(db)
	if _, ok, err := s.Load(t.Context(), "a.example"); ok || err != nil {
		t.Fatal(ok, err)
	}
	at := time.Unix(1_800_000_000, 0)
	want := mtasts.Kept{
		Domain: "a.example", ID: "20260101",
		Policy:  mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mx.a.example", "*.b.example"}, MaxAge: 7 * 24 * time.Hour},
		Fetched: at, Tried: at.Add(time.Hour), Used: at.Add(2 * time.Hour),
	}
	if err := s.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Load(t.Context(), "A.example")
	got.Domain = "a.example"
	if !ok || err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, %v, want %+v", got, ok, err, want)
	}
	if err := s.Forget(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Load(t.Context(), "a.example"); ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestAll(t *testing.T) {
	db := engine.New(t)
	defer func() { _ = db.Close() }()
	s := New(db)
	const n = page + 20
	// What lies beside them is not looked at.
	for _, k := range [][]byte{{keys.PeerSTS - 1, 'x'}, {keys.PeerSTS + 1}} {
		if err := kv.Apply(t.Context(), db, keys.Peers, func(tx kv.Txn) error { tx.Put(k, nil); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := s.Save(t.Context(), mtasts.Kept{Domain: fmt.Sprintf("d%d.example", i), Policy: mtasts.Policy{Mode: mtasts.None}}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for k, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen[k.Domain] = true
	}
	if len(seen) != n {
		t.Errorf("%d, want %d", len(seen), n)
	}
	for range s.All(t.Context()) {
		break
	}
}

func TestDamaged(t *testing.T) {
	db := engine.New(t)
	defer func() { _ = db.Close() }()
	for _, b := range [][]byte{nil, {2}, {1, 0xff}} {
		if err := kv.Apply(t.Context(), db, keys.Peers, func(tx kv.Txn) error { tx.Put(key("a.example"), b); return nil }); err != nil {
			t.Fatal(err)
		}
		if _, _, err := New(db).Load(t.Context(), "a.example"); err == nil {
			t.Errorf("%x is read", b)
		}
		for _, err := range New(db).All(t.Context()) {
			if err == nil {
				t.Errorf("%x is listed", b)
			}
		}
	}
}
