package bench

import (
	"testing"
	"time"

	"waxwing/serve/adminapi"
)

// BenchmarkFirst runs commands on a mailbox of 20,000 messages of 8 KiB right
// after a start, and again: the first of each finds nothing in memory but what
// the system has of files.
func BenchmarkFirst(b *testing.B) {
	commands := []string{
		"SELECT INBOX", "UID FETCH 1:* (FLAGS)", "FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE)", "FETCH 1:* (BODY.PEEK[])",
	}
	c := settings(b)
	stop := run(b, c)
	user := furnished(b, c, 1).user(0)
	open := func() *imapClient {
		status, err := adminapi.NewClient(c.Data).Status(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		client, err := dialIMAP(loopback(b, status.Listeners["imap"]), user, housePassword, 256<<10)
		if err != nil {
			b.Fatal(err)
		}
		return client
	}
	client := open()
	text := payload(8 << 10)
	for n := 0; n < 20_000; n += 100 {
		if err := client.multiAppend(n, 100, text); err != nil {
			b.Fatal(err)
		}
	}
	cpu, took := map[string]time.Duration{}, map[string]time.Duration{}
	look := func(when string) {
		for _, command := range commands {
			before, start := processorTime(), time.Now()
			if _, err := client.do(command); err != nil {
				b.Fatal(err)
			}
			took[when+command] += time.Since(start)
			cpu[when+command] += processorTime() - before
		}
	}
	look("before") // somebody has seen the mailbox
	b.ResetTimer()
	for range b.N {
		client.close()
		stop()
		stop = run(b, c)
		client = open()
		look("first ")
		look("warm ")
	}
	client.close()
	stop()
	for _, command := range commands {
		n := float64(b.N) * float64(time.Millisecond)
		b.Logf("%-30s first %7.2f ms, %7.2f ms of the processor; warm %7.2f, %7.2f", command,
			float64(took["first "+command])/n, float64(cpu["first "+command])/n, float64(took["warm "+command])/n, float64(cpu["warm "+command])/n)
	}
}
