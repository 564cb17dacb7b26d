// Package system runs the built program for tests that look at it from the
// outside: real clients, crashes, benchmarks.
package system

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"waxwing/test/engine"
)

// What "waxwing dev" always has.
const (
	Domain   = "example.test"
	Alice    = "alice@example.test"
	Bob      = "bob@example.test"
	Password = "waxwing"
)

// ports are the well-known ports that "waxwing dev" adds its base to.
var ports = []int{24, 25, 110, 143, 443, 465, 587, 993, 995}

// A Waxwing is a running "waxwing dev".
type Waxwing struct {
	Dir  string // its data directory
	Base int    // --port-base
	args []string
	bin  string
	tb   testing.TB
	cmd  *exec.Cmd
	out  *logBuffer    // what it has printed
	said string        // the file that it logs to, without us between it and the disk
	done chan struct{} // closed when the process has ended
}

// Start starts "waxwing dev" in a new directory on free ports and waits until
// it is ready; args are further flags. Its store is what package test/engine
// says, unless they name one. It is stopped when the test ends; if
// the test has failed, what it logged is shown.
func Start(tb testing.TB, args ...string) *Waxwing {
	tb.Helper()
	return StartIn(tb, filepath.Join(tb.TempDir(), "waxwing"), args...)
}

// StartIn is Start with a directory that is there already, or its parent.
func StartIn(tb testing.TB, dir string, args ...string) *Waxwing {
	tb.Helper()
	if url := engine.URL(tb); url != "" && !slices.Contains(args, "--store") {
		args = append(slices.Clone(args), "--store", url)
	}
	w := &Waxwing{Dir: dir, Base: freeBase(tb), args: args, bin: Binary(tb), tb: tb, out: new(logBuffer), said: filepath.Join(tb.TempDir(), "log")}
	tb.Cleanup(func() {
		w.Stop()
		if tb.Failed() {
			tb.Logf("waxwing said:\n%s", w.Log())
		}
	})
	w.Run()
	return w
}

// Binary gives the path of the program: $WAXWING_BIN, or one built now.
func Binary(tb testing.TB) string {
	tb.Helper()
	if bin := os.Getenv("WAXWING_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(tb.TempDir(), "bin-waxwing")
	if out, err := exec.Command("go", "build", "-o", bin, "waxwing/cmd/waxwing").CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// Run starts the program, after Stop or Kill again on the same directory and
// ports.
func (w *Waxwing) Run() {
	w.tb.Helper()
	args := append([]string{"dev", "--dir", w.Dir, "--port-base", strconv.Itoa(w.Base)}, w.args...)
	w.cmd = exec.Command(w.bin, args...)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		w.tb.Fatal(err)
	}
	said, err := os.OpenFile(w.said, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.cmd.Stderr = said
	err = errors.Join(w.cmd.Start(), said.Close())
	if err != nil {
		w.tb.Fatal(err)
	}
	ready := make(chan struct{})
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		w.watch(out, ready)
		_ = w.cmd.Wait()
	}()
	select {
	case <-ready:
	case <-w.done:
		w.tb.Fatalf("waxwing dev ended before it was ready:\n%s", w.Log())
	case <-time.After(time.Minute):
		w.tb.Fatalf("waxwing dev is not ready:\n%s", w.Log())
	}
}

// watch reads what the program prints until it ends.
func (w *Waxwing) watch(out io.Reader, ready chan<- struct{}) {
	told := false
	for s := bufio.NewScanner(out); s.Scan(); {
		_, _ = w.out.Write(append(s.Bytes(), '\n'))
		if !told && bytes.Contains(s.Bytes(), []byte("waxwing dev ready")) {
			told = true
			close(ready)
		}
	}
}

// Kill ends the program as a power cut would: kill -9.
func (w *Waxwing) Kill() { w.signal(syscall.SIGKILL) }

// Stop ends the program as an operator would, and waits for it.
func (w *Waxwing) Stop() { w.signal(syscall.SIGTERM) }

// Terminate is Stop without the waiting.
func (w *Waxwing) Terminate() { _ = w.cmd.Process.Signal(syscall.SIGTERM) }

// Wait waits for the end that Terminate has asked for, and gives the exit code.
func (w *Waxwing) Wait() int {
	select {
	case <-w.done:
	case <-time.After(time.Minute):
		_ = w.cmd.Process.Kill()
		<-w.done
		w.tb.Error("waxwing did not end within a minute")
	}
	return w.cmd.ProcessState.ExitCode()
}

func (w *Waxwing) signal(s syscall.Signal) {
	if w.cmd == nil || w.cmd.Process == nil {
		return
	}
	_ = w.cmd.Process.Signal(s)
	w.Wait()
}

// PID is the process's number.
func (w *Waxwing) PID() int { return w.cmd.Process.Pid }

// Program gives the path of the program that runs.
func (w *Waxwing) Program() string { return w.bin }

// Log gives what the program has printed and logged so far.
func (w *Waxwing) Log() string {
	said, _ := os.ReadFile(w.said) // there may be none yet
	return w.out.String() + string(said)
}

// Port gives the port of a service by its well-known one.
func (w *Waxwing) Port(wellKnown int) int { return w.Base + wellKnown }

// Addr gives the address of a service by its well-known port.
func (w *Waxwing) Addr(wellKnown int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(w.Port(wellKnown)))
}

// CA is the file with the certificate that clients have to trust.
func (w *Waxwing) CA() string { return filepath.Join(w.Dir, "ca.pem") }

// TLS is a client's configuration that trusts the program.
func (w *Waxwing) TLS() *tls.Config {
	w.tb.Helper()
	pem, err := os.ReadFile(w.CA())
	if err != nil {
		w.tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// freeBase finds a port base with all ports free. It stays below the range
// that the kernel takes ports of outgoing connections from.
func freeBase(tb testing.TB) int {
	tb.Helper()
	for range 100 {
		base := 11000 + 1000*rand.IntN(20)
		if allFree(base) {
			return base
		}
	}
	tb.Fatal("no free ports")
	return 0
}

func allFree(base int) bool {
	for _, p := range ports {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", base+p))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

// A logBuffer collects output from several goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
