//go:build postgres

package pgkv_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/pgkv"
)

// Two stores on one database are one store.
func TestTwoStores(t *testing.T) {
	url := cluster.URL(cluster.NewDatabase(t))
	one, two := open(t, url), open(t, url)
	const rounds = 50
	changes, err := two.Watch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, s := range []*pgkv.Store{one, two, one, two} {
		writers.Go(func() {
			for range rounds {
				if err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error { return increment(tx, "n") }); err != nil {
					t.Errorf("increment: %v", err)
				}
			}
		})
	}
	var last kv.Version
	for last < 4*rounds { // one version each, since none failed
		v := <-changes
		if v <= last {
			t.Errorf("version %d comes after %d", v, last)
		}
		last = v
		if n := number(t, two, 1, "n"); n < uint64(v) {
			t.Errorf("told of version %d, seen %d", v, n)
		}
	}
	writers.Wait()
	if n := number(t, one, 1, "n"); n != 4*rounds {
		t.Errorf("counted %d, want %d", n, 4*rounds)
	}
}

// News that was lost is found by asking, once the connection is back.
func TestNewsLost(t *testing.T) {
	name := cluster.NewDatabase(t)
	s := open(t, cluster.URL(name))
	c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error { return increment(tx, "n") })
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.Watch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	// As a process does that ends before it has told anybody.
	cluster.Exec(t, name, "update part set version = version + 1 where partition = 1")
	killOthers(t, name)
	if v := <-changes; v != c.Version()+1 {
		t.Errorf("version %d, want %d", v, c.Version()+1)
	}
}

// Updates that share a transaction do not share their failures.
func TestGroup(t *testing.T) {
	s := open(t, cluster.URL(cluster.NewDatabase(t)))
	failure := errors.New("no")
	var others sync.WaitGroup
	err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error {
		if err := increment(tx, "n"); err != nil {
			return err
		}
		for n := range 40 {
			others.Go(func() {
				defer func() {
					if r := recover(); (r != nil) != (n%4 == 1) {
						t.Errorf("%d panics with %v", n, r)
					}
				}()
				c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error {
					switch n % 4 {
					case 0:
						return increment(tx, "n")
					case 1:
						tx.DeleteRange(nil, nil)
						panic("bug")
					case 2:
						tx.Put([]byte("n"), nil)
						return failure
					}
					_, err := tx.Get([]byte("n"))
					return err
				})
				switch n % 4 {
				case 0:
					if err != nil || c.Version() == 0 {
						t.Errorf("%d: %v", n, err)
					}
				case 2:
					if err != failure {
						t.Errorf("%d: %v", n, err)
					}
				case 3:
					if err != nil || c.Version() != 0 {
						t.Errorf("%d: %v", n, err)
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // they queue up; it holds as well if not
		return nil
	})
	others.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, 1, "n"); n != 11 {
		t.Errorf("counted %d, want 11", n)
	}
}

// Several processes start on an empty database at once, and find one store.
func TestFirstStarts(t *testing.T) {
	url := cluster.URL(cluster.NewDatabase(t))
	var starts sync.WaitGroup
	for range 6 {
		starts.Go(func() {
			s, err := pgkv.Open(t.Context(), url+"&pool_max_conns=2", pgkv.Options{Log: testLog(t)})
			if err != nil {
				t.Error(err)
				return
			}
			if err := kv.Apply(t.Context(), s, 7, func(tx kv.Txn) error { return increment(tx, "n") }); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	if n := number(t, open(t, url), 7, "n"); n != 6 {
		t.Errorf("counted %d, want 6", n)
	}
}

func TestNewerFormat(t *testing.T) {
	name := cluster.NewDatabase(t)
	open(t, cluster.URL(name))
	cluster.Exec(t, name, "update waxwing set format = 99")
	_, err := pgkv.Open(t.Context(), cluster.URL(name), pgkv.Options{})
	if err == nil || !strings.Contains(err.Error(), "the tables have format 99") {
		t.Error(err)
	}
}

// The tables may be partitioned by the administrator.
func TestLawsPartitioned(t *testing.T) {
	partitioned := func(t *testing.T) kv.Store {
		name := cluster.NewDatabase(t)
		cluster.Exec(t, name, `create table part (partition bigint primary key, version bigint not null, writers bytea not null)
 partition by hash (partition)`)
		cluster.Exec(t, name, `create table kv (partition bigint, key bytea, value bytea not null, primary key (partition, key))
 partition by hash (partition)`)
		for n := range 4 {
			for _, table := range []string{"part", "kv"} {
				cluster.Exec(t, name, fmt.Sprintf("create table %s%d partition of %[1]s for values with (modulus 4, remainder %[2]d)", table, n))
			}
		}
		return open(t, cluster.URL(name))
	}
	kvtest.Run(t, partitioned)
}

// Databases behind a pooler of connections may not know prepared statements,
// or only nameless ones.
func TestLawsUnprepared(t *testing.T) {
	for _, mode := range []string{"cache_describe", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			kvtest.Run(t, func(t *testing.T) kv.Store {
				return open(t, cluster.URL(cluster.NewDatabase(t))+"&default_query_exec_mode="+mode)
			})
		})
	}
}
