package bench

import (
	"fmt"
	"testing"
)

// BenchmarkAppend appends messages of 8 KiB, on so many connections, so many
// with a command.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ connections, atOnce int }{{1, 1}, {8, 1}, {1, 50}} {
		b.Run(fmt.Sprintf("connections=%d/atOnce=%d", c.connections, c.atOnce), func(b *testing.B) {
			benchmarkAppend(b, c.connections, c.atOnce)
		})
	}
}

func benchmarkAppend(b *testing.B, connections, atOnce int) {
	h := open(b)
	clients := make([]*imapClient, connections)
	for i := range clients {
		c, err := dialIMAP(h.imap, h.user(i), housePassword, 16<<10)
		if err != nil {
			b.Fatal(err)
		}
		defer c.close()
		clients[i] = c
	}
	text := payload(8 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	errs := make(chan error, connections)
	for i, c := range clients {
		go func() { errs <- appendSome(c, i*b.N, (b.N+i)/connections, atOnce, text) }()
	}
	for range clients {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// appendSome appends n messages, one at a time or some with each command.
func appendSome(c *imapClient, first, n, atOnce int, text string) error {
	if atOnce == 1 {
		return c.fill(first, n, text)
	}
	for ; n > 0; n -= atOnce {
		if err := c.multiAppend(first, min(n, atOnce), text); err != nil {
			return err
		}
		first += atOnce
	}
	return nil
}
