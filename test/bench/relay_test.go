//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"waxwing/serve/adminapi"
	"waxwing/test/system"
)

// Mail that comes in on port 25, is queued durably, and goes out to a host that
// accepts at once, counted when the queue is empty again; against Postfix, and
// against a program that does nothing besides.
func TestRelay(t *testing.T) {
	port := smtpSink(t)
	w := system.Start(t, "--smtp-out-port", strconv.Itoa(port))
	admin := adminapi.NewClient(w.Dir)
	for i := range users {
		a := adminapi.NewAlias{Address: user(i), Targets: []string{fmt.Sprintf("user%02d@[127.0.0.1]", i)}}
		if _, err := admin.AddAlias(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	ours := peer{name: "Waxwing", smtp: w.Addr(25), pids: func() []int { return []int{w.PID()} }}
	postfix := system.NewPostfix(t, fmt.Sprintf(`myhostname = mx.example.test
relay_domains = example.test
relay_transport = smtp:[127.0.0.1]:%d
default_process_limit = 200
smtpd_client_connection_count_limit = 0
initial_destination_concurrency = 20
`, port))
	postfix.Start()
	theirs := peer{name: "Postfix", smtp: postfix.Addr(), pids: func() []int { return tree(postfix.PID()) }}

	oursEmpty := func() bool {
		counts, err := admin.QueueCounts(t.Context())
		return err == nil && counts.Items == 0
	}
	theirsEmpty := func() bool {
		for _, name := range []string{"incoming", "active", "deferred", "maildrop"} {
			files, _ := filepath.Glob(filepath.Join(postfix.Dir, "queue", name, "*"))
			deep, _ := filepath.Glob(filepath.Join(postfix.Dir, "queue", name, "?", "*"))
			for _, f := range append(files, deep...) {
				if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
					return false
				}
			}
		}
		return true
	}
	bare, bareEmpty := startBareRelay(t, "127.0.0.1:"+strconv.Itoa(port))
	ours.relay(t, oursEmpty, 1, time.Second) // cold caches
	theirs.relay(t, theirsEmpty, 1, time.Second)
	bare.relay(t, bareEmpty, 1, time.Second)
	t.Log("| 4 KiB, connections at once | Waxwing msg/s | processor time | Postfix msg/s | processor time | ratio of rates | of processor time | bare Go msg/s | processor time | Postfix's processor time to it | ours to it |")
	t.Log("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, connections := range []int{1, 16, 64} {
		a, cpu := ours.relay(t, oursEmpty, connections, loadTime)
		b, more := theirs.relay(t, theirsEmpty, connections, loadTime)
		c, least := bare.relay(t, bareEmpty, connections, loadTime)
		t.Logf("| %d | %.0f | %.0f µs | %.0f | %.0f µs | %.1f | %.1f | %.0f | %.0f µs | %.1f | %.1f |", connections,
			a, cpu, b, more, a/b, more/cpu, c, least, more/least, cpu/least)
	}
}

// relay gives the messages per second from the first MAIL until the queue is
// empty, and the processor time of each in microseconds.
func (p peer) relay(t *testing.T, empty func() bool, connections int, during time.Duration) (perSecond, cpu float64) {
	t.Helper()
	p.settle()
	before, start := p.ticks(), time.Now()
	sent, err := smtpLoad{addr: p.smtp, connections: connections, during: during, size: 4 << 10, rcpt: user}.run()
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	for deadline := time.Now().Add(3 * time.Minute); !empty(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: messages stay in the queue", p.name)
		}
	}
	took := time.Since(start)
	return float64(sent.messages) / took.Seconds(), float64(p.ticks()-before) * 10_000 / float64(sent.messages)
}
