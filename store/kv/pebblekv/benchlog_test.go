package pebblekv_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
)

// A bareLog is what the engine is measured against: a program that appends
// octets to a file that grows, and shares the fdatasyncs.
type bareLog struct {
	f       *os.File
	mu      sync.Mutex // guards written and appends
	syncing sync.Mutex
	written int64
	synced  atomic.Int64
}

func newBareLog(b *testing.B) *bareLog {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return &bareLog{f: f}
}

func (l *bareLog) append(octets []byte) error {
	l.mu.Lock()
	_, err := l.f.Write(octets)
	l.written++
	mine := l.written
	l.mu.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if err != nil || l.synced.Load() >= mine {
		return err
	}
	l.mu.Lock()
	upTo := l.written
	l.mu.Unlock()
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		return err
	}
	l.synced.Store(upTo)
	return nil
}

// share has writers do n things and tells how long that took.
func share(b *testing.B, writers, n int, do func(worker, i int) error) time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for w := range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := do(w, int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// writtenOctets is what this process has given to disks.
func writtenOctets(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("no /proc/self/io")
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	n, err := strconv.ParseInt(rest[:strings.IndexByte(rest, '\n')], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// settled returns once the engine's background work has come to rest.
func settled(b *testing.B) {
	for last := int64(-1); ; time.Sleep(300 * time.Millisecond) {
		now := writtenOctets(b)
		if now == last {
			return
		}
		last = now
	}
}

// message writes a body and seven rows, as a delivery does.
func message(tx kv.Txn, n uint64, body []byte) error {
	if _, err := tx.GetMany([][]byte{[]byte("header"), []byte("mailbox")}); err != nil {
		return err
	}
	row := make([]byte, 60)
	binary.BigEndian.PutUint64(row, n)
	id := binary.BigEndian.AppendUint64(nil, n*0x9E3779B97F4A7C15)
	tx.Put(append([]byte{'b'}, id...), body)
	tx.Put(append([]byte{'e'}, id...), bytes.Repeat(row, 5))
	for _, k := range []byte("cu") {
		tx.Put(binary.BigEndian.AppendUint64([]byte{k}, n), row)
	}
	tx.Put(append([]byte{'i'}, id...), row[:8])
	tx.Put([]byte("header"), row)
	tx.Put([]byte("mailbox"), row)
	return nil
}

// BenchmarkMessages measures durable messages of 64 writers against bare
// appends of the same octets by turns ("of-bare-%"), and what is written to
// the disk for each octet of a body when all has come to rest.
func BenchmarkMessages(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10} {
		for _, partitions := range []int{64, 1} {
			b.Run(fmt.Sprintf("size=%dKiB/partitions=%d", size>>10, partitions), func(b *testing.B) {
				const writers = 64
				s := open(b, b.TempDir(), pebblekv.Options{MinFree: -1})
				bare := newBareLog(b)
				bodies := make([][]byte, writers)
				for i := range bodies {
					bodies[i] = make([]byte, size)
					rng := rand.New(rand.NewPCG(uint64(i), 1))
					for j := 0; j < size; j += 8 {
						binary.LittleEndian.PutUint64(bodies[i][j:], rng.Uint64())
					}
				}
				var ours, theirs time.Duration
				var disk int64
				turn := max(500, 40<<20/size)
				for done := 0; done < b.N; done += turn {
					n := min(turn, b.N-done)
					before := writtenOctets(b)
					ours += share(b, writers, n, func(w, i int) error {
						return kv.Apply(b.Context(), s, kv.Partition(w%partitions), func(tx kv.Txn) error {
							return message(tx, uint64(done+i), bodies[w])
						})
					})
					disk += writtenOctets(b) - before
					theirs += share(b, writers, n, func(w, i int) error { return bare.append(bodies[w]) })
				}
				before := writtenOctets(b)
				settled(b)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				disk += writtenOctets(b) - before
				b.ReportMetric(float64(b.N)/ours.Seconds(), "msg/s")
				b.ReportMetric(100*theirs.Seconds()/ours.Seconds(), "of-bare-%")
				b.ReportMetric(float64(disk)/float64(b.N)/float64(size), "written/accepted")
			})
		}
	}
}

// BenchmarkBody reads bodies of 16 KiB: one by its key, and all in the order
// in which they came.
func BenchmarkBody(b *testing.B) {
	const n, size = 4000, 16 << 10
	s := open(b, b.TempDir(), pebblekv.Options{MinFree: -1})
	key := func(i int) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, uint64(i)*0x9E3779B97F4A7C15) }
	for i := 0; i < n; i += 50 {
		err := kv.Apply(b.Context(), s, 1, func(tx kv.Txn) error {
			for j := range 50 {
				tx.Put(key(i+j), make([]byte, size))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			err := s.View(b.Context(), 1, func(r kv.Reader) error {
				_, err := r.Get(key(i * 7 % n))
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		b.SetBytes(n * size)
		for b.Loop() {
			for i := 0; i < n; i += 32 {
				keys := make([][]byte, 0, 32)
				for j := i; j < min(i+32, n); j++ {
					keys = append(keys, key(j))
				}
				err := s.View(b.Context(), 1, func(r kv.Reader) error {
					_, err := r.GetMany(keys)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkStart opens a store of a million messages, as a process that was
// killed under load has left it.
func BenchmarkStart(b *testing.B) {
	const n, together = 1_000_000, 100
	dir := b.TempDir()
	s := open(b, filepath.Join(dir, "store"), pebblekv.Options{MinFree: -1})
	share(b, 8, n/together, func(_, i int) error {
		c, err := s.Update(b.Context(), kv.Partition(i%1000), func(tx kv.Txn) error {
			for j := range uint64(together) {
				id := uint64(i)*together + j
				if err := message(tx, id, bytes.Repeat(binary.BigEndian.AppendUint64(nil, id), 128)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || i%10 != 0 {
			return err
		}
		return c.Wait(b.Context())
	})
	killed := filepath.Join(dir, "killed")
	if err := os.Mkdir(killed, 0o700); err != nil {
		b.Fatal(err)
	}
	// Tables first, then the log: as a checkpoint, and as a moment of a crash.
	if err := s.Checkpoint(b.Context(), filepath.Join(killed, "0")); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	unix.Sync() // our own writing is no part of it
	for b.Loop() {
		again := open(b, filepath.Join(killed, "0"), pebblekv.Options{MinFree: -1})
		b.StopTimer()
		z := again.Sizes()
		b.ReportMetric(float64(z.Segments), "segments")
		b.ReportMetric(float64(z.Keys)/1e6, "keys-MB")
		if err := again.Close(); err != nil { // flushes: the next start has less to read
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
