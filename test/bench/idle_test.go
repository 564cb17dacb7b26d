//go:build bench

package bench

import (
	"os"
	"testing"
	"time"
)

const idleConnections = 1000

// restTime is how long a server is left alone before it is weighed. Go's
// collector looks every two minutes, even when nothing happens: before that,
// what logins have left weighs more than the sessions.
const restTime = 130 * time.Second

// Memory of a thousand sessions in IDLE.
func TestIdle(t *testing.T) {
	ours, _ := waxwing(t)
	theirs, _ := dovecot(t, "mdbox:~/mdbox")
	t.Logf("| server | before | with %d sessions in IDLE | each |", idleConnections)
	t.Log("|---|---|---|---|")
	for _, p := range []peer{ours, theirs} {
		time.Sleep(restTime)
		before := p.pss()
		for i := range idleConnections {
			c, err := dialIMAP(p.imap, user(i), password, 4<<10)
			if err != nil {
				t.Fatalf("%s: connection %d: %v", p.name, i, err)
			}
			defer c.close()
			if _, err := c.do("SELECT INBOX"); err != nil {
				t.Fatal(err)
			}
			if err := c.idle(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(restTime)
		after := p.pss()
		t.Logf("| %s | %.1f MiB | %.1f MiB | %.1f KiB |", p.name, float64(before)/1024, float64(after)/1024,
			float64(after-before)/idleConnections)
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
