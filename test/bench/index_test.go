//go:build bench

package bench

import (
	"testing"
	"time"
)

// How fast the search index of a mailbox of 20,000 messages of 8 KiB is built,
// once somebody has opened it, and how long a message takes to be delivered at
// rest and meanwhile.
func TestIndex(t *testing.T) {
	p, _ := waxwing(t)
	p.fillLetters(t)
	p.settle()
	load := smtpLoad{addr: p.smtp, connections: 1, during: time.Second, size: 8 << 10, rcpt: func(int) string { return user(1) },
		every: 50 * time.Millisecond}
	atRest, err := load.run()
	if err != nil {
		t.Fatal(err)
	}
	p.settle()
	c := p.dial(t, 0)
	defer c.close()
	before, start := p.ticks(), time.Now()
	if _, err := c.do("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	built := p.untilQuiet()
	used := p.ticks() - before
	t.Log("| messages of 8 KiB | indexed a second | processor time a message |")
	t.Log("|---|---|---|")
	t.Logf("| %d | %.0f | %.0f µs |", mailboxMessages, mailboxMessages/built.Sub(start).Seconds(), float64(used)*10_000/mailboxMessages)

	other, _ := waxwing(t)
	other.fillLetters(t)
	other.settle()
	reader := other.dial(t, 0)
	defer reader.close()
	if _, err := reader.do("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	load.addr = other.smtp
	meanwhile, err := load.run()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("| MAIL to 250, one message at a time | median | 99th of a hundred |")
	t.Log("|---|---|---|")
	t.Logf("| at rest | %.2f ms | %.2f ms |", ms(atRest.median), ms(atRest.p99))
	t.Logf("| while the index of another account is built | %.2f ms | %.2f ms |", ms(meanwhile.median), ms(meanwhile.p99))
}

// untilQuiet gives when the peer did something for the last time, about.
func (p peer) untilQuiet() time.Time {
	last := time.Now()
	for before := p.ticks(); time.Since(last) < 2*time.Second; {
		time.Sleep(100 * time.Millisecond)
		now := p.ticks()
		if now-before > 2 {
			last = time.Now()
		}
		before = now
	}
	return last
}
