package pebblekv_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
)

// BenchmarkCommit measures durable commits of five small keys.
func BenchmarkCommit(b *testing.B) {
	for _, bm := range []struct{ writers, partitions int }{{1, 1}, {16, 16}, {64, 64}, {64, 1}} {
		b.Run(fmt.Sprintf("writers=%d/partitions=%d", bm.writers, bm.partitions), func(b *testing.B) {
			s := open(b, b.TempDir(), pebblekv.Options{MinFree: -1})
			var next atomic.Int64
			value := make([]byte, 60)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range bm.writers {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						err := kv.Apply(b.Context(), s, kv.Partition(w%bm.partitions), func(tx kv.Txn) error {
							return smallTxn(tx, uint64(n), value)
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

func smallTxn(tx kv.Txn, n uint64, value []byte) error {
	_, err := tx.GetMany([][]byte{[]byte("header"), []byte("mailbox")})
	if err != nil {
		return err
	}
	for i := range byte(5) {
		tx.Put(binary.BigEndian.AppendUint64([]byte{'k', i}, n), value)
	}
	tx.Put([]byte("header"), value)
	tx.Put([]byte("mailbox"), value)
	return nil
}

// BenchmarkTxn measures what a transaction costs the processor: a file system
// in memory, and few waits for syncs.
func BenchmarkTxn(b *testing.B) {
	value := make([]byte, 60)
	kinds := map[string]func(tx kv.Txn, n uint64) error{
		"read-write": func(tx kv.Txn, n uint64) error { return smallTxn(tx, n, value) },
		"write-read": func(tx kv.Txn, n uint64) error {
			if err := smallTxn(tx, n, value); err != nil {
				return err
			}
			_, err := tx.Get([]byte("header"))
			return err
		},
	}
	for name, fn := range kinds {
		b.Run(name, func(b *testing.B) {
			s := open(b, "store", pebblekv.Options{FS: vfs.NewMem()})
			b.ReportAllocs()
			var last kv.Commit
			n := uint64(0)
			for b.Loop() {
				n++
				c, err := s.Update(b.Context(), 1, func(tx kv.Txn) error { return fn(tx, n) })
				if err != nil {
					b.Fatal(err)
				}
				last = c
			}
			if err := last.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRead measures reads of 100,000 rows in one partition.
func BenchmarkRead(b *testing.B) {
	const rows = 100_000
	s := open(b, b.TempDir(), pebblekv.Options{MinFree: -1})
	key := func(i int) []byte { return binary.BigEndian.AppendUint32([]byte("u"), uint32(i)) }
	for i := 0; i < rows; i += 5000 {
		err := kv.Apply(b.Context(), s, 1, func(tx kv.Txn) error {
			for j := range 5000 {
				tx.Put(key(i+j), make([]byte, 48))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			s.View(b.Context(), 1, func(r kv.Reader) error {
				n := 0
				for _, err := range r.Scan([]byte("u"), []byte("v"), kv.ScanOptions{}) {
					if err != nil {
						return err
					}
					n++
				}
				if n != rows {
					b.Errorf("%d rows", n)
				}
				return nil
			})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	for _, n := range []int{1, 8, 100} {
		for _, step := range []int{1, 700} {
			b.Run(fmt.Sprintf("many=%d/step=%d", n, step), func(b *testing.B) {
				b.ReportAllocs()
				at := 0
				for b.Loop() {
					s.View(b.Context(), 1, func(r kv.Reader) error {
						keys := make([][]byte, n)
						for i := range keys {
							at = (at + step) % rows
							keys[i] = key(at)
						}
						values, err := r.GetMany(keys)
						if err != nil || values[n-1] == nil {
							b.Errorf("GetMany: %v", err)
						}
						return nil
					})
				}
			})
		}
	}
}
