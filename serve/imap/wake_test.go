package imap

import (
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
)

// BenchmarkWake has a thousand sessions in IDLE on one mailbox and measures how
// long it takes until the first and the last of them has heard of a message,
// and what each of them weighs. Their clients are in this process too.
func BenchmarkWake(b *testing.B) {
	const sessions = 1000
	h := newHouse(b, mailbox.Options{})
	addr := h.listenWith(imapserver.Options{PlaintextOnLoopback: true, MaxPerAccount: 2 * sessions, MaxPerAddress: 2 * sessions})
	heard := make(chan time.Time, sessions)
	clients := make([]*client, sessions)
	for i := range clients {
		c := h.dial(addr)
		clients[i] = c
		c.ok("SELECT INBOX")
		if _, err := io.WriteString(c.conn, "i IDLE\r\n"); err != nil {
			b.Fatal(err)
		}
		c.line()
		go func() {
			for {
				line, err := c.in.ReadString('\n')
				if err != nil {
					return
				}
				if strings.HasSuffix(line, "EXISTS\r\n") {
					heard <- time.Now()
				}
			}
		}()
	}
	var first, last []time.Duration
	b.ResetTimer()
	n := 0
	for b.Loop() {
		n++
		start := time.Now()
		h.append(short(n))
		first = append(first, (<-heard).Sub(start))
		for range sessions - 1 {
			<-heard
		}
		last = append(last, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	b.StopTimer()
	slices.Sort(first)
	slices.Sort(last)
	b.ReportMetric(float64(first[len(first)/2].Microseconds())/1000, "ms/first")
	b.ReportMetric(float64(last[len(last)/2].Microseconds())/1000, "ms/last")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapInuse+m.StackInuse)/1024/sessions, "KiB/session")
	b.ReportMetric(float64(m.StackInuse)/1024/sessions, "stack-KiB/session")
}
