package adminapi

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"waxwing/flow/policy"
	"waxwing/flow/submit"
	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
	"waxwing/store/peers"
	"waxwing/store/reports"
	"waxwing/store/search"
	"waxwing/store/trace"
)

// Options are the rooms that the API administers.
type Options struct {
	Directory *directory.Directory
	Mailboxes *mailbox.Store
	Index     *search.Index
	Blobs     blob.Store // where large messages on their way in are spooled
	Queue     *outqueue.Queue
	Trace     *trace.Store
	Peers     *peers.Store
	Sender    *submit.Submitter // who pauses accounts
	Rules     policy.Rules      // of the door, to foretell what they say
	Signing   Signing           // the keys that sign our mail; nil if there are none
	// ServerKeys are those of our certificates; nil if there are none.
	ServerKeys ServerKeys
	Reports    *reports.Store // what others report
	// Ours gives what tells the server\'s own addresses from others; nil if it
	// knows none.
	Ours   func(context.Context) func(netip.Addr) bool
	Backup *backup.Local // what backups read; nil if they cannot
	Status Status
	Log    *slog.Logger
}

// API is the server side.
type API struct{ o Options }

// New makes an API.
func New(o Options) *API { return &API{o: o} }

// Handler serves the API; it asks nobody who they are.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, run endpoint) {
		mux.Handle(pattern, a.handle(http.StatusOK, run))
	}
	create := func(pattern string, run endpoint) {
		mux.Handle(pattern, a.handle(http.StatusCreated, run))
	}
	route("GET /v1/status", a.status)

	route("GET /v1/domains", a.listDomains)
	create("POST /v1/domains", a.addDomain)
	route("GET /v1/domains/{name}", a.getDomain)
	route("PATCH /v1/domains/{name}", a.changeDomain)
	route("DELETE /v1/domains/{name}", a.deleteDomain)

	route("GET /v1/accounts", a.listAccounts)
	create("POST /v1/accounts", a.addAccount)
	create("POST /v1/revived", a.reviveAccount)
	route("GET /v1/accounts/{address}", a.getAccount)
	route("PATCH /v1/accounts/{address}", a.changeAccount)
	route("DELETE /v1/accounts/{address}", a.deleteAccount)
	route("PUT /v1/accounts/{address}/password", a.setPassword)
	route("DELETE /v1/accounts/{address}/index", a.dropIndex)
	route("GET /v1/accounts/{address}/lost", a.listLost)
	mux.Handle("POST /v1/accounts/{address}/restore", patient(a.handle(http.StatusOK, a.restore)))

	a.routeMail(mux)
	a.routeBackup(mux)
	a.routePeers(mux)
	a.routeSigning(mux)
	a.routeServerKeys(mux)
	a.routeReports(mux)

	mux.Handle("POST /v1/verify", patient(http.HandlerFunc(a.serveVerify)))

	route("GET /v1/aliases", a.listAliases)
	create("POST /v1/aliases", a.addAlias)
	route("GET /v1/aliases/{address}", a.getAlias)
	route("PATCH /v1/aliases/{address}", a.changeAlias)
	route("DELETE /v1/aliases/{address}", a.deleteAlias)

	a.routeQueue(mux)
	route("GET /v1/trace", a.findSteps)

	mux.Handle("/", a.handle(http.StatusOK, func(r *http.Request) (any, error) {
		return nil, problemf(http.StatusNotFound, "%s %s is not part of the API", r.Method, r.URL.Path)
	}))
	return mux
}

// routeMail adds what moves messages in and out.
func (a *API) routeMail(mux *http.ServeMux) {
	const account = "/v1/accounts/{address}"
	mux.Handle("GET "+account+"/mailboxes", a.handle(http.StatusOK, a.listMailboxes))
	mux.Handle("PUT "+account+"/mailboxes", a.handle(http.StatusOK, a.putMailbox))
	mux.Handle("GET "+account+"/mailboxes/{mailbox}/entries", a.stream("application/x-ndjson", a.streamEntries))
	mux.Handle("POST "+account+"/mailboxes/{mailbox}/fetch", a.stream("application/x-waxwing-messages", a.fetchMessages))
	mux.Handle("POST "+account+"/messages", a.intake(a.addMessages))
	mux.Handle("GET "+account+"/imported/{source}", a.stream("application/x-ndjson", a.streamImported))
	mux.Handle("POST "+account+"/imported/{source}", a.handle(http.StatusOK, a.followSource))
}

func (a *API) status(*http.Request) (any, error) { return a.o.Status, nil }

// paged gathers one page of a sequence; next names an item so that the page
// after it can be asked for.
func paged[From, To any](r *http.Request, all iter.Seq2[From, error], convert func(From) To, next func(From) string) (page[To], error) {
	limit := maxPage
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return page[To]{}, problemf(http.StatusBadRequest, "limit must be between 1 and %d", maxPage)
		}
		limit = n
	}
	p := page[To]{Items: []To{}}
	last := ""
	for item, err := range all {
		if err != nil {
			return page[To]{}, err
		}
		if len(p.Items) == limit {
			p.Next = last
			break
		}
		p.Items = append(p.Items, convert(item))
		last = next(item)
	}
	return p, nil
}

// address reads an address that stands in a path or body.
func address(s string) (mail.Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return mail.Address{}, problemf(http.StatusUnprocessableEntity, "%q is not a mail address: %v", s, err)
	}
	return a, nil
}

// optionalAddress reads an address or "".
func optionalAddress(s string) (mail.Address, error) {
	if s == "" {
		return mail.Address{}, nil
	}
	return address(s)
}

func utc(t time.Time) time.Time { return t.UTC() }
