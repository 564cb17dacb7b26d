package app

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"waxwing/auth"
	"waxwing/flow/deliver"
	"waxwing/flow/receive"
	"waxwing/flow/relay"
	"waxwing/flow/report"
	"waxwing/flow/submit"
	"waxwing/obs"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/pop3/pop3server"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/adminapi"
	"waxwing/serve/imap"
	"waxwing/serve/lmtp"
	"waxwing/serve/mx"
	"waxwing/serve/pop3"
	"waxwing/serve/submission"
	"waxwing/serve/web"
	"waxwing/store/opened"
)

// furnish makes the rooms above the store, and the doors that lead to them.
func (a *App) furnish(o Options, now time.Time) error {
	c, s := a.config, a.stores
	resolver, err := a.openResolver()
	if err != nil {
		return err
	}
	if err := a.readProxies(); err != nil {
		return err
	}
	routes, err := routesOf(c.Relay.Routes)
	if err != nil {
		return err
	}
	a.routes.Store(&routes)
	rules, err := a.doorRules()
	if err != nil {
		return err
	}
	lists, err := openLists(c.Door, resolver, a.log)
	if err != nil {
		return err
	}
	logins := auth.New(s.directory, auth.Options{Log: a.log, Peers: s.peers})
	seals, err := a.openSeals(now)
	if err != nil {
		return err
	}
	server, err := a.openServerKeys(context.Background(), now, resolver)
	if err != nil {
		return err
	}
	a.signing = a.openSigning(resolver, server)
	delivery := deliver.New(s.directory, s.mailboxes, s.queue, s.blobs, deliver.Options{
		Hostname: c.Hostname, Elsewhere: func(domain string, ours bool) bool { return a.routes.Load().Lead(domain, ours) }, Trace: s.trace, Log: a.log,
		Seals: seals, SRS: c.Envelope.SRS, VERP: c.Envelope.VERP, Keys: a.signing.Signing,
		Reports: s.reports, ReportsTo: c.Reports.Addresses,
	})
	filtersIn, filtersOut, err := a.openFilters(delivery)
	if err != nil {
		return err
	}
	witness := a.openReports(delivery, resolver)
	incoming := receive.New(delivery, s.blobs, receive.Options{
		Hostname: c.Hostname, Rules: rules, Peers: s.peers, Resolver: resolver, Lists: lists, Filters: filtersIn, Trace: s.trace, Log: a.log,
		Witness: witness, Indicators: c.Trust.Indicators, Unsolicited: strings.Join(c.Limits.Unsolicited, ","),
	})
	outgoing := submit.New(delivery, s.directory, s.blobs, submit.Options{
		Hostname: c.Hostname, Rules: rules, Peers: s.peers, Queue: s.queue, MaxHeld: c.Limits.HeldPerAccount.Octets(), Filters: filtersOut, Trace: s.trace, Log: a.log,
	})
	onward := a.relayOptions(routes)
	if onward.Transport, err = transportOf(c.Relay.Transport); err != nil {
		return err
	}
	onward.Policies = a.openPolicies(resolver)
	if c.Reports.Send {
		onward.Sessions = report.NewSessions(s.reports).Count
	}
	a.onward = relay.New(s.queue, delivery, s.blobs, resolver, onward)
	pages, err := web.New(web.Options{Hostname: c.Hostname, Server: o.Server, Settings: a.settings(), Healthy: a.healthy})
	if err != nil {
		return err
	}
	admin := adminapi.New(adminapi.Options{
		Directory: s.directory, Mailboxes: s.mailboxes, Index: s.index, Blobs: s.blobs, Queue: s.queue, Trace: s.trace, Backup: s.backup,
		Peers: s.peers, Sender: outgoing, Rules: rules, Signing: a.signing, ServerKeys: server, Reports: s.reports, Ours: a.ours(resolver),
		Status: adminapi.Status{Version: Version(), Hostname: c.Hostname, Started: now, Listeners: a.sockets.addresses()},
		Log:    a.log.With(obs.Service, serviceAdmin),
	})

	a.addWorkers(server, resolver)
	a.addMailDoors(o, incoming, outgoing, logins)
	a.addPages(o, pages, admin)
	return nil
}

// addWorkers adds what runs beside the doors.
func (a *App) addWorkers(server *serverKeys, names resolver) {
	s := a.stores
	a.workers = append(a.workers,
		worker{"directory", s.directory.Run},
		worker{"peers", s.peers.Run},
		worker{"outqueue", s.queue.Run},
		worker{"trace", s.trace.Run},
		worker{"relay", func(ctx context.Context) error {
			// Where the store is locked whoever had leases before is dead. Where
			// it is shared they may live, and their leases run out if not.
			if !s.shared {
				if err := s.queue.Reclaim(ctx, time.Now()); err != nil {
					return err
				}
			}
			return a.onward.Run(ctx)
		}},
		worker{"purge", a.purge},
		worker{"signing keys", a.runSigning},
		worker{"keys of certificates", server.run},
		worker{"names", a.openNames(names).run},
		worker{"search", s.index.Run},
		worker{"mailboxes", s.mailboxes.Run},
	)
	for _, run := range a.certs.runs {
		a.workers = append(a.workers, worker{"certificates", run})
	}
}

// addMailDoors adds the doors for mail and its readers.
func (a *App) addMailDoors(o Options, incoming *receive.Receiver, outgoing *submit.Submitter, logins *auth.Authenticator) {
	c, s := a.config, a.stores
	a.addDoor(serviceMX, smtpserver.New(mx.Door(incoming, c.Hostname), a.mxOptions()))
	a.addDoor(serviceLMTP, smtpserver.New(lmtp.Door(incoming, c.Hostname), a.lmtpOptions()))
	for _, service := range []string{serviceSubmission, serviceSubmissions} {
		a.addDoor(service, smtpserver.New(submission.Door(outgoing, c.Hostname), a.submissionOptions(service, logins, o)))
	}
	accounts := imap.New(s.mailboxes, s.blobs, imap.Options{
		Directory: s.directory, Index: s.index, Answers: answersFor(s.memory), Stored: s.db, Log: a.log,
		Opened: opened.New(filepath.Join(c.Data, openedFile)),
	})
	a.accounts = accounts
	a.workers = append(a.workers, worker{"answers", accounts.Run}, worker{"opened mailboxes", accounts.Remember})
	for _, service := range []string{serviceIMAP, serviceIMAPS} {
		a.addDoor(service, imapserver.New(accounts.Open, a.imapOptions(service, logins, o)))
	}
	maildrops := pop3.New(s.mailboxes, pop3.Options{})
	for _, service := range []string{servicePOP3, servicePOP3S} {
		a.addDoor(service, pop3server.New(maildrops.Open, a.pop3Options(service, logins, o)))
	}
}

// addPages adds the doors for browsers and administrators.
func (a *App) addPages(o Options, pages http.Handler, admin *adminapi.API) {
	a.addDoor(serviceHTTPS, a.httpServer(serviceHTTPS, a.wellKnown(cmp.Or(o.Server, a.config.Hostname), pages)))
	a.addDoor(serviceHTTP, a.httpServer(serviceHTTP, a.plainPages()))
	a.addDoor(serviceAdmin, a.httpServer(serviceAdmin, admin.Handler()))
}

// A server accepts connections until its context ends, and returns when those
// that it has are done.
type server interface {
	Serve(context.Context, net.Listener) error
}

// addDoor adds a door.
func (a *App) addDoor(service string, s server) {
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
