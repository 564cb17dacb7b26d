//go:build postgres

package pgkv_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/store/kv"
	"waxwing/store/kv/pgkv"
	"waxwing/test/system"
)

// A delivery as store/mailbox makes it: two records read and written back,
// two new ones, the larger with a body.
const (
	headSize = 60
	rowSize  = 100
	bodySize = 4 << 10
)

func newKey(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kind}, n) }

func deliver(ctx context.Context, s kv.Store, p kv.Partition, n uint64, body []byte) error {
	return kv.Apply(ctx, s, p, func(tx kv.Txn) error {
		if _, err := tx.GetMany([][]byte{{'h'}, {'m'}}); err != nil {
			return err
		}
		tx.Put([]byte{'h'}, body[:headSize])
		tx.Put([]byte{'m'}, body[:headSize])
		tx.Put(newKey('e', n), body[:rowSize])
		tx.Put(newKey('b', n), body)
		return nil
	})
}

// insert puts the same rows into a table, without reading or locking.
func insert(ctx context.Context, pool *pgxpool.Pool, p kv.Partition, n uint64, body []byte) error {
	const sql = `insert into plain (partition, key, value) select $1, k, v from unnest($2::bytea[], $3::bytea[]) as t(k, v)`
	_, err := pool.Exec(ctx, sql, int64(p), [][]byte{newKey('h', n), newKey('m', n), newKey('e', n), newKey('b', n)},
		[][]byte{body[:headSize], body[:headSize], body[:rowSize], body})
	return err
}

// Durable deliveries, beside plain inserts of the same rows.
func BenchmarkCommit(b *testing.B) {
	server, err := system.StartPostgres(true)
	if err != nil {
		b.Fatal(err)
	}
	defer server.Remove()
	name := server.NewDatabase(b)
	s, err := pgkv.Open(b.Context(), server.SocketURL(name), pgkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	server.Exec(b, name, "create table plain (partition bigint, key bytea, value bytea not null, primary key (partition, key))")
	server.Exec(b, name, "alter table plain alter column value set storage external")
	pool, err := pgxpool.New(b.Context(), server.SocketURL(name)+"&pool_max_conns=24")
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	body := make([]byte, bodySize)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	var n atomic.Uint64
	for _, writers := range []int{1, 16, 64} {
		for _, tt := range []struct {
			name string
			one  func(n uint64) error
		}{
			{"plain", func(n uint64) error { return insert(b.Context(), pool, kv.Partition(n%1000), n, body) }},
			{"accounts", func(n uint64) error { return deliver(b.Context(), s, kv.Partition(n%1000), n, body) }},
			{"one_account", func(n uint64) error { return deliver(b.Context(), s, 5000, n, body) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", tt.name, writers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var work sync.WaitGroup
				for range writers {
					work.Go(func() {
						for left.Add(-1) >= 0 {
							if err := tt.one(n.Add(1)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				work.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			})
		}
	}
}

// What a read costs: one round trip.
func BenchmarkView(b *testing.B) {
	name := cluster.NewDatabase(b)
	s := open(b, cluster.SocketURL(name))
	for n := range uint64(1000) {
		if err := deliver(b.Context(), s, 1, n, make([]byte, bodySize)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("getmany", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			err := s.View(b.Context(), 1, func(r kv.Reader) error {
				_, err := r.GetMany([][]byte{{'h'}, {'m'}, newKey('e', rand.Uint64N(1000))})
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("query", func(b *testing.B) { // the same without us
		c, err := pgx.Connect(b.Context(), cluster.SocketURL(name))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close(b.Context())
		b.ReportAllocs()
		for b.Loop() {
			rows, _ := c.Query(b.Context(), "select key, value from kv where partition = $1 and key = any($2)", 1,
				[][]byte{{'h'}, {'m'}, newKey('e', rand.Uint64N(1000))})
			if _, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x [2][]byte, err error) {
				return x, r.Scan(&x[0], &x[1])
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			err := s.View(b.Context(), 1, func(r kv.Reader) error {
				for _, err := range r.Scan([]byte{'e'}, []byte{'f'}, kv.ScanOptions{}) {
					if err != nil {
						return err
					}
					n++
				}
				return nil
			})
			if err != nil || n != 1000 {
				b.Fatal(n, err)
			}
		}
	})
}
