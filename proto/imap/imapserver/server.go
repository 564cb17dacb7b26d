package imapserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/imap"
)

// A Server serves any number of listeners with the same options and the same
// limits. Its methods are safe for concurrent use.
type Server struct {
	newAccount   Newer
	options      Options
	certificates certificates
	commands     map[string]command
	capabilities capabilities

	mu         sync.Mutex // guards what follows
	next       uint64
	total      int
	perAddr    map[netip.Prefix]int
	perAccount map[mail.AccountID]int
}

// New makes a server; it starts nothing.
func New(newAccount Newer, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		newAccount: newAccount,
		options:    o,
		commands:   commandTable(),
		perAddr:    map[netip.Prefix]int{},
		perAccount: map[mail.AccountID]int{},
	}
	s.capabilities = newCapabilities(s.commands)
	s.certificates.watch(&s.options.TLS)
	return s
}

// Serve accepts connections until ctx ends. Then clients that are waiting are
// told BYE, commands under way may finish within Options.DrainTimeout, and
// Serve returns when all connections have ended; nil if that was because of
// ctx. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	closed := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept says what there is to say

	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var conns sync.WaitGroup
	err := s.accept(ctx, work, l, &conns)
	if closed() {
		_ = l.Close() // accept has failed already
	}

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conns.Wait()
	}()
	patience := time.NewTimer(s.options.DrainTimeout)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		cancel()
		<-ended
	}
	return err
}

// accept serves what comes until the listener is closed. Commands run under
// work, which ends later than ctx.
func (s *Server) accept(ctx, work context.Context, l net.Listener, conns *sync.WaitGroup) error {
	pause := 5 * time.Millisecond
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			conns.Go(func() { s.serve(ctx, work, nc) })
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

// serve runs one connection from its first octet to its last.
func (s *Server) serve(ctx, work context.Context, nc net.Conn) {
	info := &Info{Remote: nc.RemoteAddr(), Local: nc.LocalAddr()}
	prefix, admitted := s.admit(info)
	if !admitted {
		s.turnAway(nc)
		return
	}
	defer s.leave(prefix)
	info.Log = s.options.Log.With(obs.Conn, info.Conn, obs.Remote, info.Addr(), obs.Service, "imap")
	c := newConn(s, info, nc)
	// Whoever waits for a command is woken to be sent away; whoever is still
	// busy when work ends is cut off.
	defer context.AfterFunc(ctx, c.in.wake)()
	defer context.AfterFunc(work, c.cut)()
	c.serve(ctx, work)
}

// admit counts a connection in, or tells that there are too many.
func (s *Server) admit(info *Info) (netip.Prefix, bool) {
	prefix := network(info.Addr())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.options.MaxConnections || prefix.IsValid() && s.perAddr[prefix] >= s.options.MaxPerAddress {
		return prefix, false
	}
	s.total++
	s.next++
	info.Conn = s.next
	if prefix.IsValid() {
		s.perAddr[prefix]++
	}
	return prefix, true
}

func (s *Server) leave(prefix netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if prefix.IsValid() {
		if s.perAddr[prefix]--; s.perAddr[prefix] == 0 {
			delete(s.perAddr, prefix)
		}
	}
}

// enter counts a login to an account, or tells that there are too many.
func (s *Server) enter(id mail.AccountID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAccount[id] >= s.options.MaxPerAccount {
		return false
	}
	s.perAccount[id]++
	return true
}

func (s *Server) exit(id mail.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAccount[id]--; s.perAccount[id] == 0 {
		delete(s.perAccount, id)
	}
}

// turnAway tells a client that it is one too many. It does not wait for it.
func (s *Server) turnAway(nc net.Conn) {
	if !s.options.ImplicitTLS {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))                                   // nobody
		_, _ = io.WriteString(nc, "* BYE ["+imap.CodeUnavailable+"] Too many connections\r\n") // is there
	}
	_ = nc.Close() // to tell
}

// network gives what connections are counted by: an IPv4 address, an IPv6 /64,
// or nothing for loopback and for what has no address.
func network(a netip.Addr) netip.Prefix {
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a.WithZone(""), bits).Masked()
}
