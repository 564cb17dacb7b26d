//go:build bench

package bench

import (
	"os"
	"testing"
	"time"
)

// restTime is how long a server is left alone before it is weighed. Go's
// collector looks every two minutes, even when nothing happens: before that,
// what logins have left weighs more than the sessions.
const restTime = 130 * time.Second

// Memory and processor time of sessions in IDLE.
func TestIdle(t *testing.T) {
	t.Log("| sessions in IDLE | before | with them | each | processor time meanwhile |")
	t.Log("|---|---|---|---|---|")
	plain, _ := waxwing(t)
	plain.idle(t, "", []int{1000, 10_000}, func(i int) (*imapClient, error) {
		return dialIMAP(plain.imap, user(i), password, 512)
	})
	secret, w := waxwing(t)
	secret.idle(t, ", TLS", []int{1000, 10_000}, func(i int) (*imapClient, error) {
		return dialIMAPS(w.Addr(993), w.TLS(), user(i), password, 512)
	})
	theirs, _ := dovecot(t, "mdbox:~/mdbox")
	theirs.idle(t, "", []int{1000}, func(i int) (*imapClient, error) {
		return dialIMAP(theirs.imap, user(i), password, 512)
	})
}

// idle weighs the peer with so many sessions, and with so many.
func (p peer) idle(t *testing.T, how string, sessions []int, dial func(i int) (*imapClient, error)) {
	t.Helper()
	time.Sleep(restTime)
	before := p.pss()
	open := 0
	for _, n := range sessions {
		for ; open < n; open++ {
			c, err := dial(open)
			if err != nil {
				t.Fatalf("%s: connection %d: %v", p.name, open, err)
			}
			defer c.close()
			if _, err := c.do("SELECT INBOX"); err != nil {
				t.Fatal(err)
			}
			if err := c.idle(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(restTime) // after which nobody has spoken for a while
		used, weight := p.ticks(), p.pss()
		time.Sleep(10 * time.Second)
		t.Logf("| %s, %d%s | %.1f MiB | %.1f MiB | %.1f KiB | %.1f %% |", p.name, n, how, float64(before)/1024, float64(weight)/1024,
			float64(weight-before)/float64(n), float64(p.ticks()-used)/10)
	}
}

// How long a start takes: of an empty store, of one with mail in it, and of
// one that was killed while mail was coming in; with WAXWING_MILLION set, of one
// with a million messages, too.
func TestStart(t *testing.T) {
	ours, w := waxwing(t)
	restart := func(end func()) time.Duration {
		end()
		start := time.Now()
		w.Run()
		return time.Since(start)
	}
	t.Log("| start after | until ready |")
	t.Log("|---|---|")
	t.Logf("| a clean end, no mail | %.0f ms |", ms(restart(w.Stop)))
	load := smtpLoad{addr: ours.smtp, connections: 64, messages: 20_000, size: 16 << 10, rcpt: user}
	if _, err := load.run(); err != nil {
		t.Fatal(err)
	}
	t.Logf("| kill -9, 20,000 messages of 16 KiB | %.0f ms |", ms(restart(w.Kill)))
	t.Logf("| a clean end, the same | %.0f ms |", ms(restart(w.Stop)))
	if os.Getenv("WAXWING_MILLION") == "" {
		return
	}
	load.messages, load.size = 980_000, 1<<10
	if _, err := load.run(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		t.Logf("| kill -9, 1,000,000 messages | %.0f ms |", ms(restart(w.Kill)))
		load.messages = 20_000
		if _, err := load.run(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("| kill -9, the same with 20,000 messages of 1 KiB just delivered | %.0f ms |", ms(restart(w.Kill)))
	t.Logf("| a clean end, 1,000,000 messages | %.0f ms |", ms(restart(w.Stop)))
}
