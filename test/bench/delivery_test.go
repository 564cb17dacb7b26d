//go:build bench

package bench

import (
	"testing"
	"time"
)

// loadTime is for how long mail is sent in each measurement.
const loadTime = 5 * time.Second

// Durable local deliveries over SMTP, counted when they are in the mailbox.
func TestDelivery(t *testing.T) {
	ours, _ := waxwing(t)
	theirs := postfixDovecot(t, "mdbox:~/mdbox")
	for _, p := range []peer{ours, theirs} { // the first ones meet cold caches and untouched memory
		p.deliver(t, smtpLoad{addr: p.smtp, connections: 16, during: time.Second, size: 16 << 10, rcpt: user})
	}
	t.Log("| size | connections | fdatasync of one, median | Waxwing msg/s | MAIL to 250, median / p99 | processor time | Postfix + Dovecot mdbox msg/s | MAIL to 250, median / p99 | processor time | ratio of rates | of processor time |")
	t.Log("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, connections := range []int{1, 16, 64} {
			disk, err := bareSyncs(t.TempDir(), size)
			if err != nil {
				t.Fatal(err)
			}
			before, beforeThat := ours.ticks(), theirs.ticks()
			a, fast := ours.deliver(t, smtpLoad{addr: ours.smtp, connections: connections, during: loadTime, size: size, rcpt: user})
			b, slow := theirs.deliver(t, smtpLoad{addr: theirs.smtp, connections: connections, during: loadTime, size: size, rcpt: user})
			cpu := float64(ours.ticks()-before) * 10_000 / float64(fast.messages)
			more := float64(theirs.ticks()-beforeThat) * 10_000 / float64(slow.messages)
			t.Logf("| %d KiB | %d | %.2f ms | %.0f | %.2f / %.2f ms | %.0f µs | %.0f | %.2f / %.2f ms | %.0f µs | %.1f | %.1f |", size>>10,
				connections, ms(disk), a, ms(fast.median), ms(fast.p99), cpu, b, ms(slow.median), ms(slow.p99), more, a/b, more/cpu)
		}
	}
}

// deliver measures messages per second from the first MAIL until the last one
// is in its mailbox.
func (p peer) deliver(t *testing.T, load smtpLoad) (perSecond float64, answered rate) {
	t.Helper()
	p.settle()
	all := p.inboxes(t)
	defer all.close()
	before := 0
	for _, c := range all {
		n, err := c.messages("INBOX")
		if err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		before += n
	}
	start := time.Now()
	answered, err := load.run()
	if err == nil {
		err = all.wait(before + answered.messages)
	}
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return float64(answered.messages) / time.Since(start).Seconds(), answered
}
