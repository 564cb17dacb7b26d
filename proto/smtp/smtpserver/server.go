package smtpserver

import (
	"context"
	"net"
)

// A Server serves any number of listeners with the same options and the same
// limits. Its methods are safe for concurrent use.
type Server struct {
	newSession Newer
	options    Options
}

// New makes a server; it starts nothing.
func New(newSession Newer, o Options) *Server {
	return &Server{newSession: newSession, options: o.withDefaults()}
}

// Serve accepts connections until ctx ends, then drains.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	<-ctx.Done()
	return l.Close()
}
