package systemd

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	for _, tt := range []struct {
		send func() error
		want string
	}{
		{Ready, "READY=1"},
		{Stopping, "STOPPING=1"},
		{Alive, "WATCHDOG=1"},
		{func() error { return Status("two\nlines") }, "STATUS=two lines"},
		{Reloading, "RELOADING=1\nMONOTONIC_USEC="},
	} {
		if err := tt.send(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 200)
		n, err := l.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), tt.want) {
			t.Errorf("got %q, %v; want %q", b[:n], err, tt.want)
		}
	}
}

func TestWithoutSystemd(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "WATCHDOG_USEC"} {
		t.Setenv(name, "")
	}
	if err := Ready(); err != nil {
		t.Error(err)
	}
	if found, err := Listeners(); len(found) > 0 || err != nil {
		t.Error(found, err)
	}
	if d := Watchdog(); d != 0 {
		t.Error(d)
	}
}

func TestWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "1")
	if d := Watchdog(); d != 0 {
		t.Errorf("watchdog for another process: %v", d)
	}
	t.Setenv("WATCHDOG_PID", "")
	if d := Watchdog(); d != 30*time.Second {
		t.Error(d)
	}
}

// Sockets that were meant for another process are left alone.
func TestListenersOfOthers(t *testing.T) {
	t.Setenv("LISTEN_PID", strconv.Itoa(1))
	t.Setenv("LISTEN_FDS", "2")
	if found, err := Listeners(); len(found) > 0 || err != nil {
		t.Error(found, err)
	}
}
