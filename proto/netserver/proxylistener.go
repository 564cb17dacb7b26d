package netserver

import (
	"net"
	"net/netip"
	"sync"
)

// ProxyListener gives a listener for servers that are not of this package, such
// as net/http's: where a connection comes from one of the proxies it begins
// with a PROXY header, which is read when its address is asked for or its first
// octet, so that one that is silent keeps nobody waiting.
func ProxyListener(l net.Listener, proxies []netip.Prefix) net.Listener {
	if len(proxies) == 0 {
		return l
	}
	return proxyListener{l, proxies}
}

type proxyListener struct {
	net.Listener
	proxies []netip.Prefix
}

func (l proxyListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil || !trustsProxy(l.proxies, nc.RemoteAddr()) {
		return nc, err
	}
	return &announced{Conn: nc}, nil
}

// announced is a connection that begins with a header.
type announced struct {
	net.Conn
	once  sync.Once
	spoke net.Conn // for whom the proxy speaks, once
	err   error
}

func (c *announced) open() (net.Conn, error) {
	c.once.Do(func() {
		if c.spoke, c.err = readProxy(c.Conn); c.err != nil {
			c.spoke = c.Conn
			_ = c.Close() // nobody knows who it is
		}
	})
	return c.spoke, c.err
}

func (c *announced) Read(p []byte) (int, error) {
	nc, err := c.open()
	if err != nil {
		return 0, err
	}
	return nc.Read(p)
}

func (c *announced) RemoteAddr() net.Addr {
	nc, _ := c.open() // its own address where there is no other
	return nc.RemoteAddr()
}

func (c *announced) LocalAddr() net.Addr {
	nc, _ := c.open()
	return nc.LocalAddr()
}
