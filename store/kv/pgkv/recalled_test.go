//go:build postgres

package pgkv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"waxwing/store/kv"
	"waxwing/store/kv/pgkv"
)

// What a process remembers of a partition must not be seen where another one
// has written since: neither by who commits, nor by who only reads, nor by
// who fails because of what it has read.
func TestRememberedBesideAnother(t *testing.T) {
	name := cluster.NewDatabase(t)
	url := cluster.URL(name)
	stores := []*pgkv.Store{open(t, url), open(t, url)}
	chance := rand.New(rand.NewPCG(7, 8))
	failure := errors.New("as it is")
	want := uint64(0)
	set := func(s *pgkv.Store, n uint64) error {
		return kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
			tx.Put([]byte("n"), fmt.Append(nil, n))
			return nil
		})
	}
	if err := set(stores[0], 0); err != nil {
		t.Fatal(err)
	}
	store := stores[0]
	for range 400 {
		if chance.IntN(5) == 0 {
			store = stores[chance.IntN(2)]
		}
		var got string
		read := func(tx kv.Txn) error {
			v, err := tx.Get([]byte("n"))
			got = string(v)
			return err
		}
		kind := chance.IntN(5)
		_, err := store.Update(t.Context(), 1, func(tx kv.Txn) error {
			if err := read(tx); err != nil {
				return err
			}
			switch kind {
			case 0: // fails
				return failure
			case 1: // only reads
				return nil
			case 2: // reads more, on the careful way
				for _, err := range tx.Scan(nil, nil, kv.ScanOptions{}) {
					if err != nil {
						return err
					}
				}
			case 3:
				tx.DeleteRange([]byte("m"), []byte("o"))
			}
			tx.Put([]byte("n"), fmt.Append(nil, want+1))
			return nil
		})
		if kind == 0 && !errors.Is(err, failure) || kind != 0 && err != nil {
			t.Fatalf("kind %d: %v", kind, err)
		}
		if got != fmt.Sprint(want) {
			t.Fatalf("kind %d: read %s, want %d", kind, got, want)
		}
		if kind > 1 {
			want++
		}
	}
	// Somebody takes the partition back to an older state.
	cluster.Exec(t, name, "delete from kv where partition = 1")
	cluster.Exec(t, name, "update part set version = version - 1, writers = '' where partition = 1")
	for _, s := range stores {
		err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
			_, err := tx.Get([]byte("n"))
			return err
		})
		if !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("in an emptied partition: %v", err)
		}
	}
}

// Many writers of one partition, in two processes, lose nothing.
func TestRememberedByMany(t *testing.T) {
	url := cluster.URL(cluster.NewDatabase(t))
	one, two := open(t, url), open(t, url)
	const rounds = 30
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			s := one
			if i >= 6 {
				s = two
			}
			for range rounds {
				if err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error { return increment(tx, "n") }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if n := number(t, two, 1, "n"); n != 8*rounds {
		t.Errorf("counted %d, want %d", n, 8*rounds)
	}
}
