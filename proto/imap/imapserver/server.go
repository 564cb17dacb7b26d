package imapserver

import (
	"context"
	"io"
	"net"
	"sync"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/imap"
	"waxwing/proto/netserver"
)

// A Server serves any number of listeners with the same options and the same
// limits. Its methods are safe for concurrent use.
type Server struct {
	newAccount   Newer
	options      Options
	secure       *netserver.Secure // nil without TLS
	net          *netserver.Server
	commands     map[string]command
	capabilities capabilities

	mu         sync.Mutex
	perAccount map[mail.AccountID]int // connections logged in; guarded by mu
}

// New makes a server; it starts nothing.
func New(newAccount Newer, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		newAccount: newAccount,
		options:    o,
		secure:     netserver.NewSecure(o.TLS),
		commands:   commandTable(),
		perAccount: map[mail.AccountID]int{},
	}
	s.capabilities = newCapabilities(s.commands, &s.options)
	s.net = netserver.New(handler{s}, netserver.Options{
		Log: o.Log.With(obs.Service, o.service()), MaxConnections: o.MaxConnections, MaxPerAddress: o.MaxPerAddress,
		DrainTimeout: o.DrainTimeout, Proxies: o.Proxies,
	})
	return s
}

// Serve accepts connections until ctx ends. Then clients that are waiting are
// told BYE, commands under way may finish within Options.DrainTimeout, and
// Serve returns when all connections have ended; nil if that was because of
// ctx. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.net.Serve(ctx, l) }

// A handler is what netserver calls.
type handler struct{ *Server }

// Serve runs one connection from its first octet to its last.
func (h handler) Serve(nc *netserver.Conn) {
	c := newConn(h.Server, h.inform(nc), nc.Conn)
	// Whoever waits for a command is woken to be sent away; whoever is still
	// busy when the time to drain is over is cut off.
	defer context.AfterFunc(nc.Ending, c.in.wake)()
	defer context.AfterFunc(nc.Working, c.cut)()
	c.serve(nc.Ending, nc.Working)
}

// inform gives what is known of a connection.
func (h handler) inform(nc *netserver.Conn) *Info {
	info := &Info{Conn: nc.Number, Remote: nc.RemoteAddr(), Local: nc.LocalAddr()}
	info.Log = h.options.Log.With(obs.Conn, info.Conn, obs.Remote, info.Addr(), obs.Service, h.options.service())
	return info
}

// TurnAway tells a client that it is one too many.
func (h handler) TurnAway(nc net.Conn) {
	if !h.options.ImplicitTLS {
		_, _ = io.WriteString(nc, "* BYE ["+imap.CodeUnavailable+"] Too many connections\r\n") // nobody is there to tell
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
