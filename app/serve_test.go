package app

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Serve tells systemd how it is doing, and reads its file again on SIGHUP.
func TestServeUnderSystemd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "50000")

	file := filepath.Join(t.TempDir(), configName)
	text := `hostname = "mx.example.test"
[listen]
mx = []
submission = []
submissions = []
imap = []
imaps = []
pop3 = []
pop3s = []
http = []
https = []
[tls]
source = "own-ca"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := new(logBuffer)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, file, Options{Log: log}) }()

	// hears waits for a message; those of the watchdog may come in between.
	hears := func(want string) {
		t.Helper()
		if err := notified.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for b := make([]byte, 200); ; {
			n, err := notified.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v\n%s", want, err, log)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
			if want != "WATCHDOG=1" && string(b[:n]) != "WATCHDOG=1" {
				t.Errorf("heard %q, want %q", b[:n], want)
			}
		}
	}
	hears("READY=1")
	hears("WATCHDOG=1")
	if err := os.WriteFile(file, []byte(text+"level = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hears("RELOADING=1\nMONOTONIC_USEC=")
	hears("READY=1")
	if !strings.Contains(log.String(), "configuration not reloaded") {
		t.Errorf("a bad file was taken: %s", log)
	}
	cancel()
	hears("STOPPING=1")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
