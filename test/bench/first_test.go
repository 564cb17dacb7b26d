package bench

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waxwing/serve/adminapi"
)

// firstCommands are run right after a start.
var firstCommands = []string{
	"SELECT INBOX", "UID FETCH 1:* (FLAGS)", "FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE)", "FETCH 1:* (BODY.PEEK[])",
}

// forget has the next start of a server that has ended not know what was in memory.
func forget(data string) error {
	err := os.Remove(filepath.Join(data, "opened"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// BenchmarkFirst runs commands on a mailbox of 20,000 messages of 8 KiB right
// after a start that brings back what was in memory, after one that does not, and
// once more: the first of each finds nothing in memory then but what the system
// has of files.
func BenchmarkFirst(b *testing.B) {
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
		for _, command := range firstCommands {
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
		for _, when := range []string{"back ", "first "} {
			client.close()
			stop()
			if when == "first " {
				if err := forget(c.Data); err != nil {
					b.Fatal(err)
				}
			}
			stop = run(b, c)
			client = open()
			look(when)
		}
		look("warm ")
	}
	client.close()
	stop()
	for _, command := range firstCommands {
		of := func(when string) (float64, float64) {
			n := float64(b.N) * float64(time.Millisecond)
			return float64(took[when+command]) / n, float64(cpu[when+command]) / n
		}
		back, backCPU := of("back ")
		first, firstCPU := of("first ")
		warm, warmCPU := of("warm ")
		b.Logf("%-30s brought back %7.2f ms, %7.2f ms of the processor; first %7.2f, %7.2f; warm %7.2f, %7.2f",
			command, back, backCPU, first, firstCPU, warm, warmCPU)
	}
}
