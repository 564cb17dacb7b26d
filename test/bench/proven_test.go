//go:build bench

package bench

import (
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/serve/adminapi"
	"waxwing/test/system"
)

// Mail that comes in by SMTP and is verified (one signature with RSA of 2048
// bits, SPF, DMARC, all records in the cache), beside the same mail without a
// signature that is taken as it is: by turns, since other work disturbs both.
func TestProven(t *testing.T) {
	a := newAuthor(t)
	servers := []peer{start(t, "unverified"), start(t, "verified", "--resolver", dnstest.Serve(t, a.zone))}
	t.Log("| size | connections | unverified msg/s | processor time | verified msg/s | processor time | ratio of rates | of processor time |")
	t.Log("|---|---|---|---|---|---|---|---|")
	for _, size := range []int{4 << 10, 64 << 10} {
		texts := [][]byte{a.letter(t, size, false), a.letter(t, size, true)}
		for _, connections := range []int{1, 16, 64} {
			var messages [2]int
			var took [2]time.Duration
			var ticks [2]int
			for turn := range 7 {
				for i, p := range servers {
					before := p.ticks()
					r, err := smtpLoad{addr: p.smtp, connections: connections, during: loadTime / 6, rcpt: user, texts: texts[i : i+1]}.run()
					if err != nil {
						t.Fatalf("%s: %v", p.name, err)
					}
					if turn == 0 {
						continue // cold caches
					}
					messages[i], took[i], ticks[i] = messages[i]+r.messages, took[i]+r.elapsed, ticks[i]+p.ticks()-before
				}
			}
			var rates, cpu [2]float64
			for i := range servers {
				rates[i] = float64(messages[i]) / took[i].Seconds()
				cpu[i] = float64(ticks[i]) * 10_000 / float64(messages[i])
			}
			t.Logf("| %d KiB | %d | %.0f | %.0f µs | %.0f | %.0f µs | %.2f | %.2f |", size>>10, connections,
				rates[0], cpu[0], rates[1], cpu[1], rates[1]/rates[0], cpu[0]/cpu[1])
		}
	}
}

// start starts a program with all users, who do not log in.
func start(t *testing.T, name string, args ...string) peer {
	t.Helper()
	w := system.Start(t, args...)
	admin := adminapi.NewClient(w.Dir)
	for i := range users {
		if _, err := admin.AddAccount(t.Context(), adminapi.NewAccount{Address: user(i), Password: password}); err != nil {
			t.Fatal(err)
		}
	}
	return peer{name, w.Addr(25), w.Addr(143), func() []int { return []int{w.PID()} }}
}
