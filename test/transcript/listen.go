package transcript

import (
	"net"
	"net/netip"
	"sync"
)

// A Listener is a net.Listener whose connections are pipes in memory that
// claim to have addresses, for servers that accept connections themselves.
type Listener struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
	local net.Addr
}

// ClientAddr is whom Dial pretends to be: not this host, so that rules about
// loopback do not apply (RFC 5737).
var ClientAddr = netip.MustParseAddrPort("192.0.2.1:40000")

// Listen makes a Listener that claims to be at 192.0.2.25 and the port.
func Listen(port uint16) *Listener {
	at := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.25"), port)
	return &Listener{conns: make(chan net.Conn), ended: make(chan struct{}), local: net.TCPAddrFromAddrPort(at)}
}

// Dial connects as ClientAddr. It is a Dial.
func (l *Listener) Dial() net.Conn { return l.DialFrom(ClientAddr) }

// DialFrom connects as a client at another address. On a closed Listener it
// gives a connection that the server's side has closed.
func (l *Listener) DialFrom(remote netip.AddrPort) net.Conn {
	c, s := net.Pipe()
	peer := net.TCPAddrFromAddrPort(remote)
	client := &pipeEnd{Conn: c, local: peer, remote: l.local}
	select {
	case l.conns <- &pipeEnd{Conn: s, local: l.local, remote: peer}:
	case <-l.ended:
		_ = s.Close() // a pipe closes without error
	}
	return client
}

// Accept waits for the next Dial.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

// Addr is where the listener claims to be.
func (l *Listener) Addr() net.Addr { return l.local }

// A pipeEnd is one end of a pipe with addresses.
type pipeEnd struct {
	net.Conn
	local, remote net.Addr
}

func (p *pipeEnd) LocalAddr() net.Addr  { return p.local }
func (p *pipeEnd) RemoteAddr() net.Addr { return p.remote }
