package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"waxwing/app/certs"
	"waxwing/auth"
	"waxwing/obs"
	"waxwing/serve/adminapi"
	"waxwing/serve/web"
)

// serviceAdmin is the socket for administration.
const serviceAdmin = "admin"

// drainTimeout is how long what is under way may go on after the end was told.
const drainTimeout = 30 * time.Second

// furnish makes the rooms above the store and the doors that lead to them.
func (a *App) furnish(o Options, now time.Time) error {
	c, s := a.config, a.stores
	logins := auth.New(s.directory, auth.Options{Log: a.log})
	_ = logins

	pages, err := web.New(web.Options{Hostname: c.Hostname, Settings: a.settings(), Healthy: a.healthy})
	if err != nil {
		return err
	}
	admin := adminapi.New(adminapi.Options{
		Directory: s.directory,
		Mailboxes: s.mailboxes,
		Status:    adminapi.Status{Version: Version(), Hostname: c.Hostname, Started: now, Listeners: a.sockets.addresses()},
		Log:       a.log.With(obs.Service, serviceAdmin),
	})

	a.workers = append(a.workers, worker{"directory", s.directory.Run})
	for _, run := range a.certs.runs {
		a.workers = append(a.workers, worker{"certificates", run})
	}
	a.doors = append(a.doors,
		a.httpDoor(serviceHTTPS, pages),
		a.httpDoor(serviceHTTP, a.plainPages()),
		a.httpDoor(serviceAdmin, admin.Handler()),
	)
	return nil
}

// plainPages is what the http service says: answers to the certificate
// authority, and the way to https.
func (a *App) plainPages() http.Handler {
	redirect := web.Redirect(a.config.Hostname, strconv.Itoa(a.sockets.endpoint(serviceHTTPS).Port))
	if a.certs.acme != nil {
		return a.certs.acme(redirect)
	}
	return redirect
}

// settings is what a person types into a mail program.
func (a *App) settings() []web.Setting {
	var settings []web.Setting
	for _, s := range []web.Setting{
		{Service: serviceIMAPS, TLS: "TLS"},
		{Service: serviceIMAP, TLS: "STARTTLS"},
		{Service: servicePOP3S, TLS: "TLS"},
		{Service: servicePOP3, TLS: "STARTTLS"},
		{Service: serviceSubmissions, TLS: "TLS"},
		{Service: serviceSubmission, TLS: "STARTTLS"},
	} {
		at := a.sockets.endpoint(s.Service)
		if at.Port == 0 {
			continue
		}
		s.Port = at.Port
		switch s.Service {
		case serviceIMAPS, serviceIMAP:
			s.Service = "IMAP (reading)"
		case servicePOP3S, servicePOP3:
			s.Service = "POP3 (fetching)"
		default:
			s.Service = "SMTP (sending)"
		}
		settings = append(settings, s)
	}
	return settings
}

// httpDoor serves HTTP, with TLS on the https service.
func (a *App) httpDoor(service string, handler http.Handler) door {
	return door{service, func(ctx context.Context, l net.Listener) error {
		server := &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       time.Minute,
			WriteTimeout:      time.Minute,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          httpErrors(a.log, service),
		}
		done := make(chan error, 1)
		go func() {
			if service == serviceHTTPS {
				server.TLSConfig = certs.ServerConfig(a.certs.source, "h2", "http/1.1", certs.Protocol)
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
	}}
}
