package bench

import (
	"fmt"
	"testing"
)

// BenchmarkStore sets flags one by one, from 16 sessions of as many users.
func BenchmarkStore(b *testing.B) {
	const sessions, messages = 16, 500
	h := open(b)
	clients := make([]*imapClient, sessions)
	for i := range clients {
		c, err := dialIMAP(h.imap, h.user(i), housePassword, 16<<10)
		if err != nil {
			b.Fatal(err)
		}
		defer c.close()
		if err := c.multiAppend(0, messages, payload(512)); err != nil {
			b.Fatal(err)
		}
		if _, err := c.do("SELECT INBOX"); err != nil {
			b.Fatal(err)
		}
		clients[i] = c
	}
	b.ResetTimer()
	before := processorTime()
	errs := make(chan error, sessions)
	for i, c := range clients {
		go func() {
			errs <- storeFlags(c, (b.N+i)/sessions, messages)
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// storeFlags sets and clears a keyword, message by message, n times.
func storeFlags(c *imapClient, n, messages int) error {
	for k := range n {
		if _, err := c.do(fmt.Sprintf("STORE %d %cFLAGS.SILENT ($Bench)", k%messages+1, "+-"[k/messages%2])); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkStoreAll sets and clears a flag of 20,000 messages at once.
func BenchmarkStoreAll(b *testing.B) {
	h := open(b)
	c, err := dialIMAP(h.imap, h.user(0), housePassword, 16<<10)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	for n := 0; n < 20_000; n += 100 {
		if err := c.multiAppend(n, 100, payload(512)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := c.do("SELECT INBOX"); err != nil {
		b.Fatal(err)
	}
	before := processorTime()
	n := 0
	for b.Loop() {
		if _, err := c.do(fmt.Sprintf(`STORE 1:* %cFLAGS.SILENT (\Seen)`, "+-"[n%2])); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
