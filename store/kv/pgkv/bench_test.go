//go:build postgres

package pgkv_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"

	"waxwing/store/kv"
)

// Something like a delivery: two records read and written back,
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
			rows, _ := c.Query(b.Context(), "select key, value from kv where partition = $1 and key = any($2::bytea[])", 1,
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
