package outqueue_test

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/outqueue"
)

func benchQueue(b *testing.B) (*outqueue.Queue, outqueue.Submission) {
	db, err := pebblekv.Open(b.TempDir(), pebblekv.Options{MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	blobs := memblob.New(0)
	b.Cleanup(func() { db.Close() })
	body, err := blob.StageBytes(b.Context(), blobs, bytes.Repeat([]byte("benchmark "), 400))
	if err != nil {
		b.Fatal(err)
	}
	s := outqueue.Submission{Message: "m", Body: body, Prefix: make([]byte, 200)}
	s.Envelope.From = addr("ann@a.example")
	s.Envelope.To = []mail.Recipient{{Address: addr("bob@b.example")}}
	return outqueue.New(db, blobs, outqueue.Options{}), s
}

// BenchmarkEnqueue is the durable step of a submission of 4 KiB.
func BenchmarkEnqueue(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			q, s := benchQueue(b)
			b.ReportAllocs()
			b.ResetTimer()
			parallel(b, writers, func() error {
				_, err := q.Enqueue(b.Context(), time.Now(), s)
				return err
			})
		})
	}
}

func parallel(b *testing.B, n int, fn func() error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := fn(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

// BenchmarkTick is a round of the relay in a queue with 100,000 items that are
// not due: one comes in, is leased and settled.
func BenchmarkTick(b *testing.B) {
	q, s := benchQueue(b)
	later := s
	later.Due = time.Now().Add(24 * time.Hour)
	subs := make([]outqueue.Submission, 400)
	for i := range subs {
		subs[i] = later
	}
	for range 250 {
		if _, err := q.Enqueue(b.Context(), time.Now(), subs...); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("nothing due", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if leases, err := lease(b.Context(), q, time.Now(), 10); err != nil || len(leases) != 0 {
				b.Fatal(len(leases), err)
			}
		}
	})
	b.Run("one due", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := q.Enqueue(b.Context(), time.Now(), s); err != nil {
				b.Fatal(err)
			}
			leases, err := lease(b.Context(), q, time.Now(), 10)
			if err != nil || len(leases) != 1 {
				b.Fatal(len(leases), err)
			}
			if err := q.Result(b.Context(), time.Now(), leases[0], delivered); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if c, err := q.Counts(b.Context()); err != nil || c.Items != 100_000 {
				b.Fatal(c, err)
			}
		}
	})
	b.Run("first page of the list", func(b *testing.B) {
		for b.Loop() {
			for _, err := range q.List(b.Context(), outqueue.Filter{Limit: 50}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkRelay empties a full queue in batches, eight relays at once.
func BenchmarkRelay(b *testing.B) {
	q, s := benchQueue(b)
	now := time.Now()
	subs := make([]outqueue.Submission, 400)
	for i := range subs {
		subs[i] = s
	}
	for n := 0; n < b.N; n += len(subs) {
		if _, err := q.Enqueue(b.Context(), now, subs...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	leases := make(chan *outqueue.Lease)
	go func() {
		defer close(leases)
		for n := 0; n < b.N; {
			batch, err := lease(b.Context(), q, now, 200)
			if err != nil || len(batch) == 0 {
				b.Error(len(batch), err)
				return
			}
			for _, l := range batch {
				if n++; n > b.N {
					return
				}
				leases <- l
			}
		}
	}()
	parallel(b, 64, func() error {
		l, ok := <-leases
		if !ok {
			return nil
		}
		return q.Result(b.Context(), now, l, delivered)
	})
}
