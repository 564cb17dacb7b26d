package bench

import (
	"fmt"
	"testing"
)

// BenchmarkStore sets flags one by one, from sessions of as many users.
func BenchmarkStore(b *testing.B) {
	for _, sessions := range []int{1, 16} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			h := open(b)
			for i := range sessions {
				c, err := dialIMAP(h.imap, h.user(i), housePassword, 16<<10)
				if err == nil {
					err = c.multiAppend(0, storedMessages, payload(512))
				}
				if err != nil {
					b.Fatal(err)
				}
				c.close()
			}
			benchmarkStores(b, h.imap, h.user, sessions)
		})
	}
}

// storedMessages is how many messages a mailbox has in these benchmarks.
const storedMessages = 500

// benchmarkStores sets flags of users who have as many messages.
func benchmarkStores(b *testing.B, addr string, user func(i int) string, sessions int) {
	l, err := storing(addr, user, housePassword, sessions)
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	_, err = l.run(func(dst []byte, session, n int) []byte {
		if n >= (b.N+session)/sessions {
			return nil
		}
		return appendStore(dst, n, storedMessages)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
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
