//go:build crash

package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/test/system"
	"waxwing/test/traffic"
)

// A town is the program with people at all its doors, and a host elsewhere.
type town struct {
	t *testing.T
	*system.Waxwing
	traffic.Server
	books *traffic.Ledger
	far   *traffic.Sink
}

// startTown starts one in dir; args are further flags.
func startTown(t *testing.T, dir string, args ...string) *town {
	t.Helper()
	far := traffic.NewSink(t)
	resolver := dnstest.Serve(t, dnstest.Zone{
		MX: map[string][]dns.MX{"sink.test": {{Host: "mx.sink.test", Preference: 10}}},
		A:  map[string][]string{"mx.sink.test": {"127.0.0.1"}},
	})
	args = append([]string{"--resolver", resolver, "--smtp-out-port", fmt.Sprint(far.Port()), "--retry", "1s"}, args...)
	w := system.StartIn(t, dir, args...)
	s := traffic.Server{
		MX: w.Addr(25), Submission: w.Addr(587), IMAP: w.Addr(143), POP3: w.Addr(110),
		Alice: system.Alice, Bob: system.Bob, Password: system.Password, Elsewhere: "carol@sink.test",
	}
	if err := traffic.Prepare(s); err != nil {
		t.Fatal(err)
	}
	return &town{t: t, Waxwing: w, Server: s, books: traffic.NewLedger(), far: far}
}

// people lets everybody work until stop is called, or the test ends.
func (w *town) people() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		traffic.Run(w.Server, w.books, ended)
	}()
	stop = sync.OnceFunc(func() {
		close(ended)
		<-done
	})
	w.t.Cleanup(stop)
	return stop
}

// progress waits until more of every kind has been acknowledged.
func (w *town) progress(kinds ...string) {
	w.t.Helper()
	before := w.books.Done()
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		lacking := ""
		now := w.books.Done()
		for _, kind := range kinds {
			if now[kind] <= before[kind] {
				lacking = kind
			}
		}
		switch {
		case lacking == "":
			return
		case len(w.books.Wrong()) > 0:
			w.t.Fatal(w.books.Wrong())
		case time.Now().After(until):
			w.t.Fatalf("no %s succeeds; acknowledged %v, put off %v", lacking, now, w.books.Refused())
		}
	}
}

// check compares what is there with what was said, once the queue is empty,
// and lets the program verify its store.
func (w *town) check() {
	w.t.Helper()
	now := w.books.Moment()
	for until := time.Now().Add(time.Minute); w.run("queue", "list", "--json") != "[]" && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
	}
	away := map[string]int{}
	for number, takings := range w.far.Takings() {
		away[number] = len(takings)
	}
	w.books.Check(w.t, w.Server, now, now, away)
	w.run("verify")
	w.t.Logf("acknowledged %v, put off %v", w.books.Done(), w.books.Refused())
}

// try runs a command of the program on this one.
func (w *town) try(args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), system.Binary(w.t), append(args, "--dir", w.Dir)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run runs one that must succeed.
func (w *town) run(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Errorf("waxwing %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Everybody works, a backup and an import are under way, and the program is
// killed again and again.
func TestKillDuringTraffic(t *testing.T) {
	w := startTown(t, filepath.Join(t.TempDir(), "waxwing"))
	old := filepath.Join(t.TempDir(), "old.mbox")
	const imported = 400
	var mbox strings.Builder
	for i := range imported {
		fmt.Fprintf(&mbox, "From ann@far.test Thu Jan  1 00:00:00 2026\nFrom: ann@far.test\nMessage-ID: <%d@far.test>\nX-Number: old%d\n\n%s\n\n",
			i, i, strings.Repeat("A line of an old letter.\n", 1+rand.IntN(300)))
	}
	if err := os.WriteFile(old, []byte(mbox.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	copies := filepath.Join(t.TempDir(), "backup")
	importing := []string{"import", "--account", system.Alice, "--into", "Old", old}
	for range kills() {
		stop := w.people()
		var chores sync.WaitGroup
		chores.Go(func() { _, _ = w.try("backup", "--to", copies) })
		chores.Go(func() { _, _ = w.try(importing...) })
		time.Sleep(time.Duration(200+rand.IntN(1000)) * time.Millisecond)
		w.Kill()
		stop()
		chores.Wait()
		w.Run()
		if t.Failed() {
			return
		}
	}
	w.run(importing...)
	w.check()
	numbers, err := w.Numbers(system.Alice, "Old/old")
	if err != nil {
		t.Fatal(err)
	}
	for i := range imported {
		if n := numbers[fmt.Sprintf("old%d", i)]; n != 1 {
			t.Errorf("imported message %d is there %d times", i, n)
		}
	}
	w.run("backup", "--to", copies)
	w.run("backup", "--check", copies)
	w.Stop()
	w.run("verify") // also by itself
}
