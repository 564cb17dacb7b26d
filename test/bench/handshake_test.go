//go:build bench

package bench

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waxwing/app/certs"
	"waxwing/test/system"
)

// TLS handshakes, against a program that does nothing else, in Go and with a
// certificate of the same kind from the same authority. Both greet and hang up; 16 clients at once.
func TestHandshakes(t *testing.T) {
	w := system.Start(t)
	bare, pid := startBareTLS(t, w.Dir)
	t.Log("| handshakes | Waxwing | processor time | bare Go | processor time | rate, bare to ours | processor time, ours to bare |")
	t.Log("|---|---|---|---|---|---|---|")
	for _, resumed := range []bool{false, true} {
		var ours, theirs handshakes
		for range 3 { // by turns, because others use the machine
			ours.add(t, w.Addr(465), w.PID(), w.TLS(), resumed)
			theirs.add(t, bare, pid, w.TLS(), resumed)
		}
		t.Logf("| %s | %.0f/s | %.0f µs | %.0f/s | %.0f µs | %.2f | %.2f |", map[bool]string{false: "full", true: "resumed"}[resumed],
			ours.rate(), ours.each(), theirs.rate(), theirs.each(), theirs.rate()/ours.rate(), ours.each()/theirs.each())
	}
}

// Handshakes done, and what they took.
type handshakes struct {
	done    int64
	elapsed time.Duration
	cpu     time.Duration // of the server
}

func (h handshakes) rate() float64 { return float64(h.done) / h.elapsed.Seconds() }
func (h handshakes) each() float64 { return float64(h.cpu.Microseconds()) / float64(h.done) }

// add does them for two seconds.
func (h *handshakes) add(t *testing.T, addr string, pid int, config *tls.Config, resumed bool) {
	t.Helper()
	var (
		done atomic.Int64
		wg   sync.WaitGroup
	)
	start, before := time.Now(), system.ProcessorTime(pid)
	for range 16 {
		wg.Go(func() {
			config := config.Clone()
			if resumed {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			for first := true; time.Since(start) < 2*time.Second; first = false {
				c, err := tls.Dial("tcp", addr, config)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Read(make([]byte, 512)); err != nil { // tickets come with the first octets
					t.Error(err)
				}
				if resumed && !first && !c.ConnectionState().DidResume {
					t.Error("the session was not resumed")
				}
				_ = c.Close()
				done.Add(1)
			}
		})
	}
	wg.Wait()
	h.done += done.Load()
	h.elapsed += time.Since(start)
	h.cpu += system.ProcessorTime(pid) - before
}

// bareTLS tells this program to be the bare server, whose certificate is from
// the authority in that directory.
const bareTLS = "WAXWING_BARE_TLS"

// startBareTLS starts this program again as a bare server.
func startBareTLS(t *testing.T, dir string) (addr string, pid int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBareTLS$", "-test.v")
	cmd.Env = append(os.Environ(), bareTLS+"="+dir)
	addr = listening(t, cmd)
	return addr, cmd.Process.Pid
}

// listening starts a program, until the end of the test, and gives the address
// that it says it listens on.
func listening(t *testing.T, cmd *exec.Cmd) (addr string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for b := make([]byte, 4096); ; {
		n, err := out.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b[:n])) {
			if _, err := fmt.Sscanf(line, "listening on %s", &addr); err == nil {
				go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the program
				return addr
			}
		}
	}
}

// TestBareTLS is the bare server, when it is told so.
func TestBareTLS(t *testing.T) {
	dir := os.Getenv(bareTLS)
	if dir == "" {
		t.Skip("only for TestHandshakes")
	}
	ca, err := certs.OpenCA(dir, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue([]string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*pair}})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func(c net.Conn) {
			defer c.Close()
			_, _ = io.WriteString(c, "220 bare\r\n")
			_, _ = io.Copy(io.Discard, c)
		}(c)
	}
}
