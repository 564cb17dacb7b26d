//go:build postgres

package pgkv_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/pgkv"
	"waxwing/test/system"
)

// increment adds one to a number.
func increment(tx kv.Txn, key string) error {
	n := uint64(0)
	v, err := tx.Get([]byte(key))
	switch {
	case err == nil:
		n = binary.BigEndian.Uint64(v)
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	tx.Put([]byte(key), binary.BigEndian.AppendUint64(nil, n+1))
	return nil
}

// number reads one.
func number(t *testing.T, s kv.Store, p kv.Partition, key string) (n uint64) {
	t.Helper()
	err := s.View(t.Context(), p, func(r kv.Reader) error {
		v, err := r.Get([]byte(key))
		if err == nil {
			n = binary.BigEndian.Uint64(v)
		}
		return err
	})
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		t.Fatal(err)
	}
	return n
}

// A commit whose answer is lost is looked up.
func TestAnswerLost(t *testing.T) {
	base := cluster.URL(cluster.NewDatabase(t))
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, u.Host)
	s := open(t, p.through(base))
	for _, tt := range []struct {
		name                   string
		request, answer, after string
		careful                bool // deletes a range, and so locks
		runs                   int
	}{
		{"committed", "", "", "the new value", false, 1},
		{"not committed", "the new value", "", "", false, 2},
		{"while reading", "read this", "", "", false, 2},
		// The command tag, as the server sends it.
		{"locked, committed", "", "COMMIT\x00", "", true, 1},
		// The writes, and COMMIT with them, do not get there.
		{"locked, not committed", "the new value", "", "", true, 2},
		{"locked, while reading", "read this", "", "", true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error { return increment(tx, tt.name) }); err != nil {
				t.Fatal(err)
			}
			p.arm(tt.request, tt.answer, tt.after)
			runs := 0
			c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error {
				runs++
				tx.Put([]byte("v"), []byte("the new value"))
				if tt.careful {
					tx.DeleteRange([]byte("w"), []byte("x"))
				}
				if _, err := tx.GetMany([][]byte{[]byte("read this"), []byte("and that")}); err != nil {
					return err
				}
				return increment(tx, tt.name)
			})
			if err != nil {
				t.Fatal(err)
			}
			if p.cutsMade() != 1 {
				t.Errorf("%d cuts", p.cutsMade())
			}
			if runs != tt.runs {
				t.Errorf("fn has run %d times, want %d", runs, tt.runs)
			}
			if n := number(t, s, 1, tt.name); n != 2 {
				t.Errorf("counted %d, want 2", n)
			}
			next, err := s.Update(t.Context(), 1, func(tx kv.Txn) error { return increment(tx, tt.name) })
			if err != nil || next.Version() <= c.Version() {
				t.Errorf("the next version is %d after %d, %v", next.Version(), c.Version(), err)
			}
		})
	}
}

// A View whose connection turns out to be dead takes another.
func TestDeadConnections(t *testing.T) {
	name := cluster.NewDatabase(t)
	s := open(t, cluster.URL(name))
	for n := range uint64(5) {
		if err := kv.Apply(t.Context(), s, 1, func(tx kv.Txn) error { return increment(tx, "n") }); err != nil {
			t.Fatal(err)
		}
		killOthers(t, name)
		if got := number(t, s, 1, "n"); got != n+1 {
			t.Errorf("%d, want %d", got, n+1)
		}
		killOthers(t, name)
	}
}

// killOthers ends all connections to a database.
func killOthers(t *testing.T, database string) {
	cluster.Exec(t, "postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = '"+database+"'")
}

// Connections are killed while many write: what was acknowledged is there,
// what failed is not, and nothing was done twice.
func TestKilledConnections(t *testing.T) {
	name := cluster.NewDatabase(t)
	one, two := open(t, cluster.URL(name)), open(t, cluster.URL(name)+"&pool_max_conns=4")
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	var killer sync.WaitGroup
	killer.Go(func() { kill(ctx, t, name) })
	hammer(ctx, t, one, two)
	killer.Wait()
}

// The network cuts connections at random moments, with requests and answers on
// their way.
func TestCutConnections(t *testing.T) {
	base := cluster.URL(cluster.NewDatabase(t))
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, u.Host)
	one, two := open(t, p.through(base)), open(t, base)
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for ctx.Err() == nil {
			// Writes before they get there, answers to them, the end of the careful way.
			switch rand.IntN(3) {
			case 0:
				p.arm("k3", "", "")
			case 1:
				p.arm("", "", "k3")
			case 2:
				p.arm("", "COMMIT\x00", "")
			}
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		p.arm("", "", "")
	})
	hammer(ctx, t, one, two)
	cutter.Wait()
}

// kill ends connections of a database at random times.
func kill(ctx context.Context, t *testing.T, database string) {
	c, err := pgx.Connect(context.Background(), cluster.URL("postgres"))
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close(context.Background())
	killed := 0
	for ctx.Err() == nil {
		// Those in the middle of a commit rather than others.
		err := c.QueryRow(context.Background(), `select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity
 where datname = $1 and state <> 'idle' order by query like 'commit%' desc, random() limit 1) as victim`, database).Scan(&killed)
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// hammer lets many write until ctx ends, and then looks at what they were
// told.
func hammer(ctx context.Context, t *testing.T, stores ...*pgkv.Store) {
	var all []kv.Store
	for _, s := range stores {
		all = append(all, s)
	}
	var loads []*kvtest.Load
	var work sync.WaitGroup
	for p := range 3 {
		l := &kvtest.Load{Stores: all, Partition: kv.Partition(1 + p), Failing: true,
			Unknown: func(err error) bool { return errors.Is(err, pgkv.ErrUnknownOutcome) }}
		loads = append(loads, l)
		work.Go(func() { l.Run(ctx, t, 1_000_000) })
	}
	work.Wait()
	for _, l := range loads {
		done, failed, unknown := l.Done()
		t.Logf("%d done, %d failed, %d unknown", done, failed, unknown)
		if done == 0 {
			t.Error("nothing was done")
		}
		l.Check(t)
	}
}

// The server goes, in order and in disorder, and comes back.
func TestServerRestarts(t *testing.T) {
	server, err := system.StartPostgres(true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	}()
	database := server.URL(server.NewDatabase(t))
	one, two := open(t, database), open(t, database)
	changes, err := two.Watch(t.Context(), 99)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { hammer(ctx, t, one, two) })
	for _, end := range []func() error{server.Stop, server.Crash, server.Stop} {
		time.Sleep(500 * time.Millisecond)
		if err := end(); err != nil {
			t.Error(err)
		}
		began := time.Now()
		err := one.View(t.Context(), 1, func(r kv.Reader) error { _, err := r.GetMany([][]byte{{1}}); return err })
		if err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("without a server: %v after %v", err, time.Since(began))
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(500 * time.Millisecond)
	stop()
	work.Wait()
	// News comes through again.
	c, err := one.Update(t.Context(), 99, func(tx kv.Txn) error { tx.Put([]byte("a"), nil); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for v := range changes {
		if v == c.Version() {
			break
		}
	}
}

// Nobody answers: Open says so, and does not tell the password.
func TestNobodyThere(t *testing.T) {
	_, err := pgkv.Open(t.Context(), "postgres://me:secret@127.0.0.1:1/none", pgkv.Options{})
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	_, err = pgkv.Open(t.Context(), "postgres://me:secret@127.0.0.1:bad/none", pgkv.Options{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	_, err = pgkv.Open(t.Context(), cluster.URL("none"), pgkv.Options{})
	if err == nil || !strings.Contains(err.Error(), `database "none" does not exist`) {
		t.Error(err)
	}
}
