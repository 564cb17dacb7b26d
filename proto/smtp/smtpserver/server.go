package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// A Server serves any number of listeners with the same options and the same
// limits. Its methods are safe for concurrent use.
type Server struct {
	newSession Newer
	options    Options
	tls        *tls.Config // options.TLS, witnessed
	conns      atomic.Uint64

	mu    sync.Mutex // guards what follows
	total int
	from  map[netip.Addr]int // connections by address or IPv6 /64
}

// New makes a server; it starts nothing.
func New(newSession Newer, o Options) *Server {
	o = o.withDefaults()
	return &Server{newSession: newSession, options: o, tls: witnessed(o.TLS), from: map[netip.Addr]int{}}
}

// Serve accepts connections until ctx ends. It closes l then, tells idle
// clients that the server stops, lets transactions end within
// Options.DrainTimeout, and returns nil when every connection has ended. It
// returns early only if l fails for another reason.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // Accept says it
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			conns.Go(func() { s.ServeConn(ctx, nc) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, or the client went away already.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.options.Log.Error("smtp accept failed", obs.Err, err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// lastWord is how long a connection may still live after its time to drain is
// over, so that it can say so.
const lastWord = time.Second

// ServeConn serves one connection and closes it. When ctx ends it drains, as
// Serve says.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	c := &conn{
		server:  s,
		options: &s.options,
		raw:     nc,
		nc:      nc,
		info:    Info{Conn: s.conns.Add(1), Remote: nc.RemoteAddr(), Local: nc.LocalAddr()},
		state:   state{offered: s.options.offered()},
	}
	c.log = s.options.Log.With(
		slog.String(obs.Service, s.options.Service),
		slog.Uint64(obs.Conn, c.info.Conn),
		slog.String(obs.Remote, c.info.Remote.String()))
	c.info.Log = c.log
	addr := c.info.Addr()
	if !s.enter(addr) {
		c.turnAway()
		return
	}
	defer s.leave(addr)
	c.in = newInput(c.fill)

	// The Session's context outlives ctx by the time that draining takes.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	draining := make(chan *time.Timer, 1)
	undrain := context.AfterFunc(ctx, func() {
		c.drain(time.Now().Add(s.options.DrainTimeout))
		draining <- time.AfterFunc(s.options.DrainTimeout+lastWord, func() {
			stop()
			_ = nc.Close() // whatever still reads or writes fails
		})
	})
	defer func() {
		if !undrain() {
			(<-draining).Stop()
		}
	}()
	c.serve(working)
}

// turnAway refuses a connection for which there is no room.
func (c *conn) turnAway() {
	c.log.Info("too many smtp connections")
	if !c.options.ImplicitTLS {
		_ = c.raw.SetWriteDeadline(time.Now().Add(time.Second))
		busy := smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many connections, try later"}
		_, _ = c.raw.Write(busy.Append(nil)) // it may be gone
	}
	_ = c.raw.Close()
}

// enter counts a connection in, if there is room.
func (s *Server) enter(addr netip.Addr) bool {
	key, limited := limitKey(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.options.MaxConnections || limited && s.from[key] >= s.options.MaxPerAddress {
		return false
	}
	s.total++
	if limited {
		s.from[key]++
	}
	return true
}

// leave counts it out.
func (s *Server) leave(addr netip.Addr) {
	key, limited := limitKey(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if !limited {
		return
	}
	if s.from[key]--; s.from[key] == 0 {
		delete(s.from, key)
	}
}

// limitKey gives what is counted as one address: an IPv6 host can choose
// among a whole /64.
func limitKey(addr netip.Addr) (key netip.Addr, limited bool) {
	switch {
	case !addr.IsValid() || addr.IsLoopback():
		return netip.Addr{}, false
	case addr.Is6():
		prefix, err := addr.WithZone("").Prefix(64)
		return prefix.Addr(), err == nil
	}
	return addr, true
}
