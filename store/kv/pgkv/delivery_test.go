//go:build postgres

package pgkv_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pgkv"
	"waxwing/store/mailbox"
	"waxwing/test/system"
)

var deliveryTime = time.Unix(1_700_000_000, 0)

// letter is a message of 4 KiB, unlike all others.
func letter(n int) []byte {
	return []byte(fmt.Sprintf("From: Ann <ann@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: letter %d\r\n"+
		"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <%d@example.test>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\n", n, n) + strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 85))
}

// deliverLetter appends a letter as a door does: staged, parsed, with a trace.
func deliverLetter(ctx context.Context, to *mailbox.Account, blobs blob.Store, n int) error {
	text := letter(n)
	body := blob.Stage(ctx, blobs)
	defer body.Close()
	p := message.NewParser()
	if _, err := body.Write(text); err != nil {
		return err
	}
	if _, err := p.Write(text); err != nil {
		return err
	}
	if err := body.Finish(); err != nil {
		return err
	}
	_, err := to.Append(ctx, deliveryTime, mailbox.NewEntry{
		Mailbox: mailbox.Inbox, Body: body, Parsed: p.Finish(),
		Prefix: []byte("Return-Path: <ann@example.test>\r\nReceived: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n"),
	})
	return err
}

// accountsOn makes accounts with their mailboxes.
func accountsOn(tb testing.TB, db kv.Store, blobs blob.Store, n int) []*mailbox.Account {
	store := mailbox.New(db, blobs, mailbox.Options{})
	tb.Cleanup(func() { store.Close() })
	var all []*mailbox.Account
	for i := range n {
		id := mail.AccountID(i + 1)
		if err := store.Create(tb.Context(), id, deliveryTime, mailbox.AccountOptions{}); err != nil {
			tb.Fatal(err)
		}
		all = append(all, store.Account(id))
	}
	return all
}

// A recorder keeps what transactions put.
type recorder struct {
	kv.Store
	rows []written
}

// written is what one transaction put.
type written struct {
	partition    kv.Partition
	keys, values [][]byte
}

type recordedTxn struct {
	kv.Txn
	rows *written
}

func (t recordedTxn) Put(key, value []byte) {
	t.rows.keys = append(t.rows.keys, bytes.Clone(key))
	t.rows.values = append(t.rows.values, append([]byte{}, value...))
	t.Txn.Put(key, value)
}

func (r *recorder) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	rows := written{partition: p}
	c, err := r.Store.Update(ctx, p, func(tx kv.Txn) error {
		rows.keys, rows.values = nil, nil
		return fn(recordedTxn{tx, &rows})
	})
	if err == nil {
		r.rows = append(r.rows, rows)
	}
	return c, err
}

// recordDeliveries gives the rows of deliveries to as many accounts.
func recordDeliveries(b *testing.B, accounts int) []written {
	const letters = 6400
	db, blobs := &recorder{Store: memkv.New()}, memblob.New(0)
	to := accountsOn(b, db, blobs, accounts)
	db.rows = nil
	for n := range letters {
		if err := deliverLetter(b.Context(), to[n%accounts], blobs, n); err != nil {
			b.Fatal(err)
		}
	}
	if len(db.rows) != letters {
		b.Fatalf("%d transactions for %d letters", len(db.rows), letters)
	}
	return db.rows
}

// plainly writes the rows of one delivery in a transaction, as little as that
// can be: one statement, without a lock, without having read anything.
func plainly(ctx context.Context, pool *pgxpool.Pool, p int64, w written) error {
	const sql = `insert into plain (partition, key, value) select $1, k, v from unnest($2::bytea[], $3::bytea[]) as t(k, v)
 on conflict (partition, key) do update set value = excluded.value`
	_, err := pool.Exec(ctx, sql, p, w.keys, w.values)
	return err
}

// BenchmarkDelivery compares deliveries with plain inserts of the very rows
// that they write, in one run, in turns, with as many connections.
func BenchmarkDelivery(b *testing.B) {
	const turns, turn = 5, time.Second
	server, err := system.StartPostgres(true)
	if err != nil {
		b.Fatal(err)
	}
	defer server.Remove()
	for _, c := range []struct{ writers, accounts int }{{1, 1}, {16, 16}, {64, 64}, {64, 1}} {
		b.Run(fmt.Sprintf("writers=%d/accounts=%d", c.writers, c.accounts), func(b *testing.B) {
			name := server.NewDatabase(b)
			db, err := pgkv.Open(b.Context(), server.SocketURL(name), pgkv.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			server.Exec(b, name, "create table plain (partition bigint, key bytea, value bytea not null, primary key (partition, key))")
			server.Exec(b, name, "alter table plain alter column value set storage external")
			server.Exec(b, name, "alter table plain set (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)")
			pool, err := pgxpool.New(b.Context(), server.SocketURL(name)+"&pool_max_conns=24")
			if err != nil {
				b.Fatal(err)
			}
			defer pool.Close()
			rows, blobs := recordDeliveries(b, c.accounts), memblob.New(0)
			accounts := accountsOn(b, db, blobs, c.accounts)
			var plain, ours side
			var ratios []float64
			for range turns {
				before := [2]side{plain, ours}
				plain.run(b, server, c.writers, turn, func(n int) error {
					w := rows[n%len(rows)]
					return plainly(b.Context(), pool, int64(w.partition)+int64(n/len(rows))<<32, w)
				})
				ours.run(b, server, c.writers, turn, func(n int) error {
					return deliverLetter(b.Context(), accounts[n%c.accounts], blobs, n)
				})
				ratios = append(ratios, float64(ours.done-before[1].done)/float64(plain.done-before[0].done))
			}
			slices.Sort(ratios)
			b.ReportMetric(plain.perSecond(), "plain/s")
			b.ReportMetric(ours.perSecond(), "deliveries/s")
			b.ReportMetric(ratios[turns/2], "ratio")
			b.ReportMetric(float64(plain.processor())/float64(ours.processor()), "processor-ratio")
			b.ReportMetric(0, "ns/op")
			b.Logf("processor time of each: plain %v, of which the server %v; ours %v, of which the server %v",
				plain.processor(), plain.of(plain.server), ours.processor(), ours.of(ours.server))
		})
	}
}

// A side is what one of the two has done so far, and what it took.
type side struct {
	done                  int64
	took, server, process time.Duration
}

// run has writers do something again and again for some time.
func (s *side) run(b *testing.B, server *system.Postgres, writers int, d time.Duration, do func(n int) error) {
	began, at, mine := time.Now(), server.ProcessorTime(b), processorTime(b)
	next := atomic.Int64{}
	next.Store(s.done)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for time.Since(began) < d {
				if err := do(int(next.Add(1)) - 1); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	s.done = next.Load()
	s.took += time.Since(began)
	s.server += server.ProcessorTime(b) - at
	s.process += processorTime(b) - mine
}

func (s *side) perSecond() float64               { return float64(s.done) / s.took.Seconds() }
func (s *side) of(d time.Duration) time.Duration { return d / time.Duration(s.done) }
func (s *side) processor() time.Duration         { return s.of(s.server + s.process) }

// processorTime is what this process has had.
func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkOpenMailbox opens a mailbox of 100,000 entries, as a process does
// that has not seen it before.
func BenchmarkOpenMailbox(b *testing.B) {
	const size = 100_000
	db := open(b, cluster.SocketURL(cluster.NewDatabase(b)))
	blobs := memblob.New(0)
	account := accountsOn(b, db, blobs, 1)[0]
	body, err := blob.StageBytes(b.Context(), blobs, letter(1))
	if err != nil {
		b.Fatal(err)
	}
	defer body.Close()
	for have := 0; have < size; have += 1000 {
		list := make([]mailbox.NewEntry, 1000)
		for i := range list {
			list[i] = mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body, Prefix: fmt.Appendf(nil, "X-N: %d\r\n", have)}
		}
		if _, err := account.Append(b.Context(), deliveryTime, list...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		store := mailbox.New(db, blobs, mailbox.Options{})
		view, err := store.Account(1).Open(b.Context(), mailbox.Inbox)
		if err != nil || view.Snapshot().Len() != size {
			b.Fatal(err)
		}
		view.Close()
		store.Close()
	}
}
