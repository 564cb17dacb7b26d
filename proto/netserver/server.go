package netserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/obs"
)

// Options bound what strangers can make grow. The zero value of each field is
// a sensible default.
type Options struct {
	Log *slog.Logger
	// MaxConnections is the most connections at once, 10,000 by default.
	MaxConnections int
	// MaxPerAddress is the most connections at once from one IPv4 address or
	// one IPv6 /64, 50 by default. Loopback is not counted.
	MaxPerAddress int
	// DrainTimeout is how long connections may go on after the server has
	// been told to stop, thirty seconds by default.
	DrainTimeout time.Duration
	// Proxies are the addresses whose connections begin with a PROXY header,
	// which tells whom they are for. Those that lack it are closed.
	Proxies []netip.Prefix
}

// A Conn is one accepted connection.
type Conn struct {
	net.Conn
	// Number counts the connections of a server.
	Number uint64
	// Ending ends when the server is told to stop: what is idle goes away
	// then.
	Ending context.Context
	// Working ends when the time to drain is over as well: what is under way
	// is then cut off.
	Working context.Context
}

// A Handler speaks a protocol.
type Handler interface {
	// Serve serves a connection from its first octet to its last, and closes
	// it. Each runs in a goroutine of its own.
	Serve(c *Conn)
	// TurnAway tells a client that it is one too many. It must not wait; the
	// connection is closed after it.
	TurnAway(c net.Conn)
}

// A Server serves any number of listeners with the same limits. Its methods
// are safe for concurrent use.
type Server struct {
	handler Handler
	options Options

	mu    sync.Mutex // guards what follows
	next  uint64
	total int
	from  map[netip.Prefix]int // connections by what counts as one address
}

// New makes a server; it starts nothing.
func New(h Handler, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 10_000
	}
	if o.MaxPerAddress == 0 {
		o.MaxPerAddress = 50
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 30 * time.Second
	}
	return &Server{handler: h, options: o, from: map[netip.Prefix]int{}}
}

// Serve accepts connections until ctx ends, and closes l then. It returns when
// all connections have ended, which takes at most Options.DrainTimeout; nil
// unless l failed for another reason than ctx.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	closed := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept says what there is to say
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var conns sync.WaitGroup
	err := s.accept(ctx, working, l, &conns)
	if closed() {
		_ = l.Close() // accept has failed already
	}
	patience := time.AfterFunc(s.options.DrainTimeout, cut)
	defer patience.Stop()
	conns.Wait()
	return err
}

// ServeConn serves one connection, as Serve serves those that it accepts.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		patience := time.AfterFunc(s.options.DrainTimeout, cut)
		context.AfterFunc(working, func() { patience.Stop() })
	})()
	s.serve(ctx, working, nc)
}

func (s *Server) accept(ctx, working context.Context, l net.Listener, conns *sync.WaitGroup) error {
	const shortest = 5 * time.Millisecond
	resting := &crew{next: make(chan net.Conn)}
	for pause := shortest; ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = shortest
			select {
			case resting.next <- nc:
			default:
				conns.Go(func() { s.work(ctx, working, nc, resting) })
			}
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of file descriptors, as a rule: it passes
			s.options.Log.Error("cannot accept", obs.Err, err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// maxResting is how many goroutines wait for another connection when theirs
// has ended. A new one would have its stack to grow first, four times.
const maxResting = 64

// A crew is those who wait.
type crew struct {
	next  chan net.Conn
	count atomic.Int32
}

// work serves a connection, and then others as long as there are some.
func (s *Server) work(ctx, working context.Context, nc net.Conn, resting *crew) {
	for {
		s.serve(ctx, working, nc)
		if resting.count.Add(1) > maxResting {
			resting.count.Add(-1)
			return
		}
		select {
		case <-ctx.Done():
			return
		case nc = <-resting.next:
			resting.count.Add(-1)
		}
	}
}

// serve serves one connection. Its frame lies under all that wait: what is only
// done once is in admit.
func (s *Server) serve(ctx, working context.Context, nc net.Conn) {
	nc, number, network := s.admit(nc)
	if nc == nil {
		return
	}
	defer s.leave(network)
	s.handler.Serve(&Conn{Conn: nc, Number: number, Ending: ctx, Working: working})
}

// admit lets a connection in, whose network leave must be told of, or closes it and
// gives nil. Behind a trusted proxy it gives the one that the proxy speaks for.
func (s *Server) admit(nc net.Conn) (admitted net.Conn, number uint64, network netip.Prefix) {
	if trustsProxy(s.options.Proxies, nc.RemoteAddr()) {
		behind, err := readProxy(nc)
		if err != nil {
			s.options.Log.Info("connection without a PROXY header", obs.Remote, nc.RemoteAddr().String(), obs.Err, err)
			_ = nc.Close() // there is nobody to tell
			return nil, 0, network
		}
		nc = behind
	}
	network = networkOf(nc.RemoteAddr())
	number, ok := s.enter(network)
	if !ok {
		s.options.Log.Info("too many connections", obs.Remote, nc.RemoteAddr().String())
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second)) // it is closed next
		s.handler.TurnAway(nc)
		_ = nc.Close() // there is nobody to tell
		return nil, 0, network
	}
	return nc, number, network
}

// enter counts a connection in, if there is room.
func (s *Server) enter(network netip.Prefix) (number uint64, admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.options.MaxConnections || network.IsValid() && s.from[network] >= s.options.MaxPerAddress {
		return 0, false
	}
	s.total++
	s.next++
	if network.IsValid() {
		s.from[network]++
	}
	return s.next, true
}

// leave counts it out.
func (s *Server) leave(network netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if !network.IsValid() {
		return
	}
	if s.from[network]--; s.from[network] == 0 {
		delete(s.from, network)
	}
}

// networkOf gives what connections are counted by: an IPv4 address, an IPv6
// /64 (a host can choose among all of it), or nothing for loopback and for
// what has no address.
func networkOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap()
	if !ip.IsValid() || ip.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip.WithZone(""), bits).Masked()
}
