//go:build hostile

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waxwing/serve/adminapi"
	"waxwing/test/system"
)

// A fort is "waxwing serve" with low limits. It believes loopback who a client
// is, so that clients can come from anywhere.
type fort struct {
	mx, imaps string
}

const (
	fortConnections = 12
	fortPerAddress  = 3
	fortPassword    = "waxwing-fort"
)

func newFort(t *testing.T) fort {
	t.Helper()
	dir := t.TempDir()
	f := fort{fmt.Sprintf("127.0.0.1:%d", system.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", system.FreePort(t))}
	file := filepath.Join(dir, "waxwing.toml")
	text := fmt.Sprintf(`hostname = "mx.example.test"
data = %q
[listen]
mx = [%q]
imaps = [%q]
submission = []
submissions = []
imap = []
pop3 = []
pop3s = []
http = []
https = []
[tls]
source = "own-ca"
[limits]
connections = %d
connections_per_address = %d
[proxy]
trusted = ["127.0.0.1"]
[door]
greeting_delay = "0s" # strangers would wait for two seconds each
[dns]
mode = "stub"
resolver = "127.0.0.1:%d" # nobody answers there
`, filepath.Join(dir, "data"), f.mx, f.imaps, fortConnections, fortPerAddress, system.FreePort(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(system.Binary(t), "serve", "--config", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("waxwing said:\n%s", log.String())
		}
	})
	admin := adminapi.NewClient(filepath.Join(dir, "data"))
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) { // until it is up
		if _, err := admin.AddDomain(t.Context(), adminapi.Domain{Name: system.Domain}); err == nil {
			break
		} else if time.Since(begun) > patience {
			t.Fatal(err)
		}
	}
	if _, err := admin.AddAccount(t.Context(), adminapi.NewAccount{Address: system.Bob, Password: fortPassword}); err != nil {
		t.Fatal(err)
	}
	return f
}

// from connects on behalf of a client.
func (f fort) from(t *testing.T, client, at string) *wire {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	w := &wire{c, bufio.NewReader(c)}
	if err := w.say("PROXY TCP4 " + client + " 192.0.2.1 4321 25\r\n"); err != nil {
		t.Fatal(err)
	}
	return w
}

// greeting gives the first line that a client hears at port 25.
func (f fort) greeting(t *testing.T, client string) (*wire, string) {
	t.Helper()
	w := f.from(t, client, f.mx)
	line, err := w.in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return w, line
}

// Who opens too many connections is turned away with a reply that says so; the
// others are not, and a place that is left can be taken again.
func TestTooManyConnections(t *testing.T) {
	f := newFort(t)
	var mine []*wire
	for range fortPerAddress {
		w, line := f.greeting(t, "198.51.100.1")
		if !strings.HasPrefix(line, "220 ") {
			t.Fatal(line)
		}
		mine = append(mine, w)
	}
	if _, line := f.greeting(t, "198.51.100.1"); !strings.HasPrefix(line, "421 4.7.0 ") {
		t.Errorf("one too many from an address hears %q", line)
	}
	for i := range fortConnections - fortPerAddress {
		if _, line := f.greeting(t, fmt.Sprintf("203.0.113.%d", i+1)); !strings.HasPrefix(line, "220 ") {
			t.Errorf("number %d hears %q", i, line)
		}
	}
	if _, line := f.greeting(t, "203.0.113.200"); !strings.HasPrefix(line, "421 4.7.0 ") {
		t.Errorf("one too many of all hears %q", line)
	}
	if err := mine[0].say("QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := mine[0].hear("221"); err != nil {
		t.Fatal(err)
	}
	for line := ""; !strings.HasPrefix(line, "220 "); { // a moment later, the place is free
		if _, line = f.greeting(t, "203.0.113.201"); line == "" {
			t.Fatal("no greeting")
		}
	}
}

// Guessing an account's password, from wherever, does not keep its owner out
// where he has logged in before; elsewhere nobody gets in for a while.
func TestGuessedPasswords(t *testing.T) {
	f := newFort(t)
	login := func(client, password string) error {
		w := f.from(t, client, f.imaps)
		c := tls.Client(w.Conn, &tls.Config{InsecureSkipVerify: true})
		defer c.Close()
		if err := c.HandshakeContext(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		return (&wire{c, bufio.NewReader(c)}).talk("* OK", "a LOGIN "+system.Bob+" "+password, "a OK")
	}
	if err := login("192.0.2.7", fortPassword); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := login(fmt.Sprintf("198.51.100.%d", i+1), "guess"); err == nil {
			t.Fatal("a guess was right")
		}
	}
	if err := login("192.0.2.7", fortPassword); err != nil {
		t.Errorf("at home: %v", err)
	}
	err := login("198.51.100.200", fortPassword)
	if err == nil || !strings.Contains(err.Error(), "Too many failed logins") {
		t.Errorf("elsewhere: %v", errors.Unwrap(err))
	}
}
