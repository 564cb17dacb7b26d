//go:build bench

package bench

import "testing"

// One message on each connection, as most mail comes: connect, EHLO, the
// message, QUIT.
func TestOnePerConnection(t *testing.T) {
	ours, _ := waxwing(t)
	theirs := postfixDovecot(t, "mdbox:~/mdbox")
	t.Log("| 4 KiB, one message a connection; connections at once | Waxwing msg/s | processor time a message | Postfix + Dovecot mdbox msg/s | processor time a message | ratio |")
	t.Log("|---|---|---|---|---|---|")
	for _, connections := range []int{16, 64} {
		var perSecond, cpu [2]float64
		for i, p := range []peer{ours, theirs} {
			load := smtpLoad{addr: p.smtp, connections: connections, during: loadTime, size: 4 << 10, rcpt: user, fresh: true}
			before := p.ticks()
			rate, answered := p.deliver(t, load)
			perSecond[i], cpu[i] = rate, float64(p.ticks()-before)*10_000/float64(answered.messages)
		}
		t.Logf("| %d | %.0f | %.0f µs | %.0f | %.0f µs | %.1f |", connections, perSecond[0], cpu[0], perSecond[1], cpu[1], perSecond[0]/perSecond[1])
	}
}

// The latency of a single connection, against what the disk takes for the sync
// that it waits for. Both are measured by turns, since the disk changes.
func TestLatency(t *testing.T) {
	ours, _ := waxwing(t)
	t.Log("| size | fdatasync of one, median | MAIL to 250, median | 1.5 fdatasyncs and 0.2 ms |")
	t.Log("|---|---|---|---|")
	for _, size := range []int{4 << 10, 64 << 10} {
		for range 3 {
			disk, err := bareSyncs(t.TempDir(), size)
			if err != nil {
				t.Fatal(err)
			}
			load := smtpLoad{addr: ours.smtp, connections: 1, during: loadTime / 5, size: size, rcpt: user}
			if _, err := load.run(); err != nil {
				t.Fatal(err)
			}
			r, err := load.run()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("| %d KiB | %.3f ms | %.3f ms | %.3f ms |", size>>10, ms(disk), ms(r.median), 1.5*ms(disk)+0.2)
		}
	}
}
