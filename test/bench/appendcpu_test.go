package bench

import (
	"fmt"
	"testing"

	"waxwing/app/config"
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
	h := openWith(b, connections, func(*config.Config) {})
	clients := make([]*imapClient, connections)
	for i := range clients {
		var err error
		if clients[i], err = dialIMAP(h.imap, h.user(i), housePassword, 16<<10); err != nil {
			b.Fatal(err)
		}
	}
	l, err := newIMAPLoop(clients)
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	text := payload(8 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	before, begun := processorTime(), 0
	_, err = l.run(func(dst []byte, _, _ int) []byte {
		n := min(atOnce, b.N-begun)
		if n == 0 {
			return nil
		}
		begun += n
		return appendAppend(dst, begun, n, text)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
