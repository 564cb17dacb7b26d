//go:build bench

package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"waxwing/store/backup"
	"waxwing/test/system"
)

// A backup of a running server to a directory, while mail keeps coming: how
// fast it is, and what it does to those who deliver. Both are told by the same
// run, by turns, since the machine changes.
func TestBackup(t *testing.T) {
	ours, w := waxwing(t)
	messages := 8000 // half a gigabyte
	if n, err := strconv.Atoi(os.Getenv("WAXWING_BACKUP_MESSAGES")); err == nil {
		messages = n
	}
	fill := smtpLoad{addr: ours.smtp, connections: 8, messages: messages, texts: mixture(64, 64<<10), rcpt: user}
	if _, err := fill.run(); err != nil {
		t.Fatal(err)
	}
	ours.settle()
	_, public, err := backup.MakeKey()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		alone, sealed := backUp(t, ours, w), backUp(t, ours, w, "--recipient", public)
		t.Logf("nobody delivers: %.0f MB/s, %.2f s of processor time a GB in the command, %.2f in the server", alone.rate(), alone.command, alone.server)
		t.Logf("the same, encrypted: %.0f MB/s, %.2f s, %.2f s", sealed.rate(), sealed.command, sealed.server)
	}
	t.Log("| deliveries of 4 KiB at once | MAIL to 250, median / p99 without | with a backup | p99, times | backup |")
	t.Log("|---|---|---|---|---|")
	for _, connections := range []int{1, 1, 1, 4, 4} {
		load := smtpLoad{addr: ours.smtp, connections: connections, during: 3 * time.Second, size: 4 << 10, rcpt: user, every: 20 * time.Millisecond}
		without, err := load.run()
		if err != nil {
			t.Fatal(err)
		}
		during, done := context.WithCancel(t.Context())
		var b backedUp
		go func() {
			defer done()
			b = backUp(t, ours, w)
		}()
		load.during, load.until = 0, during
		with, err := load.run()
		<-during.Done()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("| %d | %.2f / %.2f ms | %.2f / %.2f ms | %.2f | %.0f MB/s |", connections,
			ms(without.median), ms(without.p99), ms(with.median), ms(with.p99), float64(with.p99)/float64(without.p99), b.rate())
	}
}

// mixture makes messages of which half is text and half an attachment, which
// does not compress.
func mixture(n, size int) [][]byte {
	texts := make([][]byte, n)
	for i := range texts {
		attached := make([]byte, size/2*3/4)
		for j := range attached {
			attached[j] = byte(rand.Uint32())
		}
		text := []byte(payload(size / 2))
		for line := range slices.Chunk(attached, 57) {
			text = append(base64.StdEncoding.AppendEncode(text, line), "\r\n"...)
		}
		texts[i] = text
	}
	return texts
}

// A backedUp is what a backup has come to.
type backedUp struct {
	Read           float64 // octets
	Time, Finished time.Time
	command        float64 // seconds of processor time for a GB
	server         float64
}

func (b backedUp) rate() float64 { return b.Read / 1e6 / b.Finished.Sub(b.Time).Seconds() }

// backUp makes a whole backup by the command.
func backUp(t *testing.T, p peer, w *system.Waxwing, more ...string) (b backedUp) {
	before := p.ticks()
	cmd := exec.Command(w.Program(), append([]string{"backup", "--dir", w.Dir, "--json", "--to", t.TempDir()}, more...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("backup: %v", err)
		return b
	}
	if err := json.Unmarshal(out, &b); err != nil {
		t.Errorf("backup says %q: %v", out, err)
	}
	b.command = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() / (b.Read / 1e9)
	b.server = float64(p.ticks()-before) / 100 / (b.Read / 1e9)
	return b
}
