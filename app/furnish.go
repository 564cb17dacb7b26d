package app

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"waxwing/app/certs"
	"waxwing/auth"
	"waxwing/obs"
	"waxwing/proto/pop3/pop3server"
	"waxwing/serve/adminapi"
	"waxwing/serve/pop3"
	"waxwing/serve/web"
)

// furnish makes the rooms above the store, and the doors that lead to them.
func (a *App) furnish(o Options, now time.Time) error {
	c, s := a.config, a.stores
	logins := auth.New(s.directory, auth.Options{Log: a.log})
	maildrops := pop3.New(s.mailboxes, pop3.Options{})
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

	a.workers = append(a.workers,
		worker{"directory", s.directory.Run},
		worker{"purge", a.purge},
	)
	for _, run := range a.certs.runs {
		a.workers = append(a.workers, worker{"certificates", run})
	}
	for _, service := range []string{servicePOP3, servicePOP3S} {
		a.open(service, pop3server.New(maildrops.Open, pop3server.Options{
			Hostname: c.Hostname, Log: a.log, Auth: logins,
			TLS: certs.ServerConfig(a.certs.source, "pop3"), ImplicitTLS: service == servicePOP3S, // RFC 8314 §3.2
			PlaintextOnLoopback: o.PlaintextLogins,
			MaxConnections:      c.Limits.Connections, MaxPerAddress: c.Limits.ConnectionsPerAddress,
			DrainTimeout: drainTimeout,
		}))
	}
	a.open(serviceHTTPS, a.httpServer(serviceHTTPS, pages))
	a.open(serviceHTTP, a.httpServer(serviceHTTP, a.plainPages()))
	a.open(serviceAdmin, a.httpServer(serviceAdmin, admin.Handler()))
	return nil
}

// A server accepts connections until its context ends, and returns when those
// that it has are done.
type server interface {
	Serve(context.Context, net.Listener) error
}

// open adds a door.
func (a *App) open(service string, s server) {
	a.doors = append(a.doors, door{service, s.Serve})
}

// purgeEvery is how often what has been gone for long enough is removed.
const purgeEvery = time.Hour

func (a *App) purge(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := a.stores.mailboxes.Purge(ctx, now); err != nil && ctx.Err() == nil {
				a.log.Error("old mail cannot be purged", obs.Err, err)
			}
		}
	}
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
