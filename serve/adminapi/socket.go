package adminapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

const socketName = "admin.sock"

// SocketPath is where the socket of a data directory lies.
func SocketPath(data string) string { return filepath.Join(data, socketName) }

// Listen opens the socket in a data directory, for its owner alone. The caller
// holds the directory's lock, so that a socket found there is a dead one.
func Listen(data string) (net.Listener, error) {
	if err := os.Remove(SocketPath(data)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	path, done, err := shortPath(data)
	if err != nil {
		return nil, err
	}
	defer done()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = syscall.Fchmod(int(fd), 0o600) // before bind: the name is never open to others
		}), err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the administration socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its name may be the short one, which ends here
	return l, nil
}

func dial(ctx context.Context, data string) (net.Conn, error) {
	path, done, err := shortPath(data)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// shortPath gives a name for the socket that fits into a socket address, which
// holds 107 octets: longer ones go by way of the open directory.
func shortPath(data string) (path string, done func(), err error) {
	path = SocketPath(data)
	if len(path) < len(syscall.RawSockaddrUnix{}.Path) {
		return path, func() {}, nil
	}
	dir, err := os.Open(data)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), func() { dir.Close() }, nil
}
