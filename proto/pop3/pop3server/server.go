package pop3server

import (
	"context"
	"io"
	"net"

	"waxwing/obs"
	"waxwing/proto/netserver"
	"waxwing/proto/pop3"
)

// A Server serves any number of listeners with the same options and the same
// limits. Its methods are safe for concurrent use.
type Server struct {
	newSession Newer
	options    Options
	secure     *netserver.Secure // nil without TLS
	net        *netserver.Server
}

// New makes a server; it starts nothing.
func New(newSession Newer, o Options) *Server {
	o = o.withDefaults()
	s := &Server{newSession: newSession, options: o, secure: netserver.NewSecure(o.TLS)}
	s.net = netserver.New(handler{s}, netserver.Options{
		Log: o.Log.With(obs.Service, o.service()), MaxConnections: o.MaxConnections, MaxPerAddress: o.MaxPerAddress,
		DrainTimeout: o.DrainTimeout, Proxies: o.Proxies,
	})
	return s
}

// Serve accepts connections until ctx ends. Then idle clients are told to come
// again later, commands under way may finish within Options.DrainTimeout, and
// Serve returns when all connections have ended; nil if that was because of
// ctx. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.net.Serve(ctx, l) }

// A handler is what netserver calls.
type handler struct{ *Server }

// Serve runs one connection from its first octet to its last.
func (h handler) Serve(nc *netserver.Conn) {
	info := &Info{Conn: nc.Number, Remote: nc.RemoteAddr(), Local: nc.LocalAddr()}
	info.Log = h.options.Log.With(obs.Conn, info.Conn, obs.Remote, info.Addr(), obs.Service, h.options.service())
	c := newConn(h.Server, info, nc.Conn)
	// Whoever waits for a command is woken to be sent away; whoever is still
	// busy when the time to drain is over is cut off.
	defer context.AfterFunc(nc.Ending, c.wake)()
	defer context.AfterFunc(nc.Working, c.cut)()
	c.serve(nc.Ending, nc.Working)
}

// TurnAway tells a client that it is one too many.
func (h handler) TurnAway(nc net.Conn) {
	if h.options.ImplicitTLS {
		return
	}
	refusal := pop3.Refusal{Code: pop3.SysTemp, Phrase: pop3.TooManyConnections}
	_, _ = io.WriteString(nc, refusal.Line(pop3.English)+"\r\n") // nobody is there to tell
}
