package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"waxwing/app/certs"
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
	l = netutil.LimitListener(l, h.app.config.Limits.Connections)
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
	err := server.Shutdown(drain)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-done
	return err
}
