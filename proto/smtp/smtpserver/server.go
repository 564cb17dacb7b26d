package smtpserver

import (
	"context"
	"log/slog"
	"net"
	"time"

	"waxwing/obs"
	"waxwing/proto/netserver"
	"waxwing/proto/smtp"
)

// A Server serves any number of listeners with the same options and the same
// limits. Its methods are safe for concurrent use.
type Server struct {
	newSession Newer
	options    Options
	secure     *netserver.Secure // nil without TLS
	net        *netserver.Server
}

// lastWord is how long a connection may still live after its time to drain is
// over, so that it can say so.
const lastWord = time.Second

// New makes a server; it starts nothing.
func New(newSession Newer, o Options) *Server {
	o = o.withDefaults()
	s := &Server{newSession: newSession, options: o, secure: netserver.NewSecure(o.TLS)}
	s.net = netserver.New(handler{s}, netserver.Options{
		Log: o.Log.With(obs.Service, o.Service), MaxConnections: o.MaxConnections, MaxPerAddress: o.MaxPerAddress,
		DrainTimeout: o.DrainTimeout + lastWord, Proxies: o.Proxies,
	})
	return s
}

// Serve accepts connections until ctx ends. It closes l then, tells idle
// clients that the server stops, lets transactions end within
// Options.DrainTimeout, and returns nil when every connection has ended. It
// returns early only if l fails for another reason.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.net.Serve(ctx, l) }

// ServeConn serves one connection and closes it. When ctx ends it drains, as
// Serve says.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) { s.net.ServeConn(ctx, nc) }

// A handler is what netserver calls.
type handler struct{ *Server }

// Serve speaks with one client until the connection is closed.
func (h handler) Serve(nc *netserver.Conn) {
	c := &conn{
		server:  h.Server,
		options: &h.options,
		raw:     nc.Conn,
		nc:      nc.Conn,
		info:    Info{Conn: nc.Number, Remote: nc.RemoteAddr(), Local: nc.LocalAddr(), LMTP: h.options.LMTP},
		state:   state{offered: h.options.offered()},
	}
	c.log = h.logger(&c.info)
	c.info.Log = c.log
	c.in = newInput(c.fill)
	defer context.AfterFunc(nc.Ending, func() { c.drain(time.Now().Add(h.options.DrainTimeout)) })()
	defer context.AfterFunc(nc.Working, func() { _ = nc.Close() })() // whatever still reads or writes fails
	c.serve(nc.Working)
}

// logger gives the log of a connection, with its keys set.
func (s *Server) logger(info *Info) *slog.Logger {
	return s.options.Log.With(
		slog.String(obs.Service, s.options.Service),
		slog.Uint64(obs.Conn, info.Conn),
		slog.String(obs.Remote, info.Addr().String()))
}

// TurnAway refuses a connection for which there is no room.
func (h handler) TurnAway(nc net.Conn) {
	if !h.options.ImplicitTLS {
		busy := smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many connections, try later"}
		_, _ = nc.Write(busy.Append(nil)) // it may be gone
	}
}
