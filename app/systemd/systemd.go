// Package systemd speaks the two small protocols between systemd and a
// service: sockets that are handed over (sd_listen_fds(3)) and messages about
// readiness (sd_notify(3)). Without systemd both do nothing.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// firstDescriptor is SD_LISTEN_FDS_START, sd_listen_fds(3).
const firstDescriptor = 3

// Listeners takes the sockets that systemd has opened for us, by the name that
// FileDescriptorName= gives them. It is called once, before processes are
// started: it removes the variables from the environment.
func Listeners() (map[string][]net.Listener, error) {
	defer os.Unsetenv("LISTEN_PID")
	defer os.Unsetenv("LISTEN_FDS")
	defer os.Unsetenv("LISTEN_FDNAMES")
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil, nil // for nobody, or for another process
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("LISTEN_FDS is %q", os.Getenv("LISTEN_FDS"))
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	found := map[string][]net.Listener{}
	for i := range n {
		name := "unknown"
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		syscall.CloseOnExec(firstDescriptor + i)
		file := os.NewFile(uintptr(firstDescriptor+i), name)
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("socket %q from systemd: %w", name, err)
		}
		found[name] = append(found[name], l)
	}
	return found, nil
}

// Ready says that the service has started, or has ended a reload.
func Ready() error { return notify("READY=1") }

// Status gives one line for "systemctl status".
func Status(text string) error {
	return notify("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Stopping says that the service ends.
func Stopping() error { return notify("STOPPING=1") }

// Reloading says that the service reads its configuration again; Ready must
// follow.
func Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
}

// Alive is a sign of life for the watchdog.
func Alive() error { return notify("WATCHDOG=1") }

// Watchdog is how often Alive must be called at least; 0 if nobody waits for
// it. sd_watchdog_enabled(3)
func Watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// notify sends one message to the socket that the environment names.
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return errors.Join(err, c.Close())
}
