package app

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What is told to a listening socket its connections know.
func TestConnectionsAreKeptAlive(t *testing.T) {
	l, err := open("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ level, name, want int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, aliveEvery},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, aliveEvery},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, aliveTries},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		var got int
		err := raw.Control(func(fd uintptr) {
			if got, err = unix.GetsockoptInt(int(fd), tt.level, tt.name); err != nil {
				t.Error(err)
			}
		})
		if err != nil || got != tt.want {
			t.Errorf("option %d of level %d is %d, want %d: %v", tt.name, tt.level, got, tt.want, err)
		}
	}
}
