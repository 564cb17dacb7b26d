//go:build bench

package bench

import (
	"sync/atomic"
	"testing"
	"time"
)

const mailboxMessages = 20_000

// IMAP on a mailbox of 20,000 messages of 8 KiB.
func TestFetch(t *testing.T) {
	commands := []string{
		"SELECT INBOX", "UID FETCH 1:* (FLAGS)", "FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE)",
		"FETCH 1:* (BODY.PEEK[])", `STORE 1:* +FLAGS.SILENT (\Seen)`, `STORE 1:* -FLAGS.SILENT (\Seen)`,
		"SEARCH UNSEEN", "SEARCH SUBJECT nothing",
	}
	var names []string
	results := map[string][]time.Duration{}
	measure := func(p peer) {
		p.fill(t)
		names = append(names, p.name)
		for c, took := range p.timeCommands(t, commands) {
			results[c] = append(results[c], took)
		}
	}
	ours, w := waxwing(t)
	measure(ours)
	w.Stop()
	w.Run()
	back := ours.timeFirst(t, commands[:5])
	w.Stop()
	if err := forget(w.Dir); err != nil {
		t.Fatal(err)
	}
	w.Run()
	first := ours.timeFirst(t, commands[:5])
	for _, location := range []string{"mdbox:~/mdbox", "maildir:~/Maildir"} {
		theirs, _ := dovecot(t, location)
		measure(theirs)
	}
	t.Logf("| command, warm | %s | %s | %s | against the better one |", names[0], names[1], names[2])
	t.Log("|---|---|---|---|---|")
	for _, c := range commands {
		r := results[c]
		t.Logf("| `%s` | %.2f ms | %.2f ms | %.2f ms | %.1f |", c, ms(r[0]), ms(r[1]), ms(r[2]),
			float64(min(r[1], r[2]))/float64(r[0]))
	}
	t.Logf("| command, %s | after a restart that brings back what was open | of warm | of a mailbox that was not open | of warm | of the better Dovecot's warm |", names[0])
	t.Log("|---|---|---|---|---|---|")
	for _, c := range commands[:len(first)] {
		warm := float64(results[c][0])
		t.Logf("| `%s` | %.2f ms | %.1f | %.2f ms | %.1f | %.2f |", c, ms(back[c]), float64(back[c])/warm, ms(first[c]), float64(first[c])/warm,
			float64(first[c])/float64(min(results[c][1], results[c][2])))
	}
}

// timeFirst runs each command once: for a server that has just started.
func (p peer) timeFirst(t *testing.T, commands []string) map[string]time.Duration {
	t.Helper()
	took := map[string]time.Duration{}
	p.dial(t, 1).close() // the first login of all
	c := p.dial(t, 0)
	defer c.close()
	for _, command := range commands {
		start := time.Now()
		if _, err := c.do(command); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		took[command] = time.Since(start)
	}
	return took
}

// fill gives the first user a mailbox, by APPEND.
func (p peer) fill(t *testing.T) {
	t.Helper()
	c := p.dial(t, 0)
	defer c.close()
	if err := c.fill(0, mailboxMessages, payload(8<<10)); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// timeCommands gives the best of five of each command.
func (p peer) timeCommands(t *testing.T, commands []string) map[string]time.Duration {
	t.Helper()
	p.settle()
	c := p.dial(t, 0)
	defer c.close()
	best := map[string]time.Duration{}
	for range 5 {
		for _, command := range commands {
			start := time.Now()
			if _, err := c.do(command); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			if took := time.Since(start); best[command] == 0 || took < best[command] {
				best[command] = took
			}
		}
	}
	return best
}

// Durable APPENDs of 8 KiB, and logins, alone and several at once.
func TestAppendAndLogin(t *testing.T) {
	ours, _ := waxwing(t)
	theirs, _ := dovecot(t, "mdbox:~/mdbox")
	t.Log("| connections | Waxwing | Dovecot mdbox | ratio |")
	t.Log("|---|---|---|---|")
	text := payload(8 << 10)
	for _, n := range []int{1, 8} {
		a, b := ours.appends(t, n, 1, text), theirs.appends(t, n, 1, text)
		t.Logf("| APPEND, %d | %.0f msg/s | %.0f msg/s | %.1f |", n, a, b, a/b)
	}
	for _, n := range []int{1, 8} {
		a, b := ours.logins(t, n), theirs.logins(t, n)
		t.Logf("| connect, LOGIN, LOGOUT, %d | %.0f a second | %.0f a second | %.1f |", n, a, b, a/b)
	}
}

const imapLoadTime = 3 * time.Second

// appends gives messages per second of n users, the last ones, each on a
// connection, with so many in one command.
func (p peer) appends(t *testing.T, n, atOnce int, text string) float64 {
	t.Helper()
	p.settle()
	clients := make([]*imapClient, n)
	for i := range clients {
		clients[i] = p.dial(t, users-1-i)
	}
	l, err := newIMAPLoop(clients)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	first, start := 0, time.Now()
	commands, err := l.run(func(dst []byte, _, _ int) []byte {
		if time.Since(start) >= imapLoadTime {
			return nil
		}
		first += atOnce
		return appendAppend(dst, first, atOnce, text)
	})
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return commands * float64(atOnce)
}

// logins gives sessions per second of n clients.
func (p peer) logins(t *testing.T, n int) float64 {
	t.Helper()
	p.settle()
	var done atomic.Int64
	start := time.Now()
	err := together(n, func(int) error {
		for time.Since(start) < imapLoadTime {
			c, err := dialIMAP(p.imap, user(int(done.Add(1))), password, 4<<10)
			if err != nil {
				return err
			}
			_, err = c.do("LOGOUT")
			c.close()
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return float64(done.Load()) / time.Since(start).Seconds()
}
