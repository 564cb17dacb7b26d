package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"waxwing/app/certs"
	"waxwing/proto/netserver"
)

// An httpServer serves HTTP, with TLS on the https service.
type httpServer struct {
	app     *App
	service string
	handler http.Handler
}

func (a *App) httpServer(service string, handler http.Handler) httpServer {
	return httpServer{a, service, handler}
}

// Serve serves until ctx ends, and then until requests that are under way are
// answered.
func (h httpServer) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           h.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          httpErrors(h.app.log, h.service),
	}
	var silent silentConns
	server.ConnState = silent.note
	l = netserver.ProxyListener(netutil.LimitListener(l, h.app.config.Limits.Connections), h.app.webProxies(h.service))
	done := make(chan error, 1)
	go func() {
		if h.service == serviceHTTPS {
			server.TLSConfig = certs.ServerConfig(h.app.certs.source, "h2", "http/1.1", certs.Protocol)
			done <- server.ServeTLS(l, "", "")
			return
		}
		done <- server.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	silent.close()
	err := server.Shutdown(drain)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-done
	return err
}

// webProxies are those whose connections begin with a PROXY header. The
// administration socket has none.
func (a *App) webProxies(service string) []netip.Prefix {
	if service == serviceAdmin {
		return nil
	}
	return a.proxies.trusted
}

// silentConns are connections that have not asked for anything yet, as
// browsers open in advance. Shutdown would wait five seconds for them.
type silentConns struct {
	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

// note is an http.Server's ConnState.
func (s *silentConns) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(s.conns, c)
	case s.closed:
		_ = c.Close()
	default:
		if s.conns == nil {
			s.conns = map[net.Conn]struct{}{}
		}
		s.conns[c] = struct{}{}
	}
}

// close closes them, and those that still come.
func (s *silentConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close() // its reader hears of it
	}
}
