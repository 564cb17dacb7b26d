package adminapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"waxwing/flow/relay"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
)

// routeQueue adds what steers mail that is on its way out.
func (a *API) routeQueue(mux *http.ServeMux) {
	route := func(pattern string, run endpoint) { mux.Handle(pattern, a.handle(http.StatusOK, run)) }
	route("GET /v1/queue", a.listQueue)
	route("GET /v1/queue/counts", a.countQueue)
	route("GET /v1/queue/destinations", a.destinations)
	route("GET /v1/queue/{id}", a.getItem)
	route("DELETE /v1/queue/{id}", a.deleteItem)
	route("POST /v1/queue/{id}/hold", a.holdItem)
	route("POST /v1/queue/{id}/release", a.releaseItem)
	route("POST /v1/queue/{id}/retry", a.retryItem)
	route("POST /v1/queue/{id}/reroute", a.rerouteItem)
	route("POST /v1/queue/{id}/recipient", a.editRecipient)
	route("GET /v1/freezes", a.listFreezes)
	route("POST /v1/freezes", a.freeze)
	route("DELETE /v1/freezes/{name}", a.thaw)
}

// maxDestinations is how many domains are told.
const maxDestinations = 1000

func (a *API) destinations(r *http.Request) (any, error) {
	totals, err := a.o.Queue.Destinations(r.Context())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(totals, func(x, y *outqueue.Total) int {
		return cmp.Or(cmp.Compare(y.Items, x.Items), cmp.Compare(x.Domain, y.Domain))
	})
	p := page[QueueDestination]{Items: []QueueDestination{}}
	for _, t := range totals[:min(len(totals), maxDestinations)] {
		p.Items = append(p.Items, QueueDestination{
			Domain: t.Domain, Items: t.Items, Octets: int64(t.Octets), Deferred: t.Deferred, Held: t.Held,
			Oldest: utc(t.Oldest), Next: utc(t.Next), Said: t.Said,
		})
	}
	return p, nil
}

func (a *API) rerouteItem(r *http.Request) (any, error) {
	wanted, err := decode[queueReroute](r)
	if err != nil {
		return nil, err
	}
	if wanted.To != "" {
		if _, err := relay.ParseRoute("", wanted.To); err != nil {
			return nil, problemf(http.StatusUnprocessableEntity, "%v", err)
		}
	}
	what := "sent by an administrator to " + wanted.To
	if wanted.To == "" {
		what = "sent by an administrator on its usual way again"
	}
	return a.steer(r, what, func(id outqueue.ID) error { return a.o.Queue.Reroute(r.Context(), time.Now(), wanted.To, id) })
}

func (a *API) editRecipient(r *http.Request) (any, error) {
	wanted, err := decode[queueRecipient](r)
	if err != nil {
		return nil, err
	}
	old, err := address(wanted.Old)
	if err != nil {
		return nil, err
	}
	to, err := address(wanted.To)
	if err != nil {
		return nil, err
	}
	answer, err := a.steer(r, "an administrator has written "+to.String()+" for "+old.String(), func(id outqueue.ID) error {
		return a.o.Queue.EditRecipient(r.Context(), time.Now(), id, old, to)
	})
	switch {
	case errors.Is(err, outqueue.ErrUnderway):
		return nil, problemf(http.StatusConflict, "the message is being tried right now; hold it, and change it when that is over")
	case errors.Is(err, outqueue.ErrNotFound):
		return nil, problemf(http.StatusNotFound, "there is no such message, or %s is no recipient who still waits", old)
	}
	return answer, err
}

func (a *API) listFreezes(r *http.Request) (any, error) {
	rules, err := a.o.Queue.Freezes(r.Context())
	if err != nil {
		return nil, err
	}
	p := page[QueueFreeze]{Items: []QueueFreeze{}}
	owner := a.owners(r.Context())
	for _, f := range rules {
		rule := QueueFreeze{Name: f.Name, From: f.From, To: f.To, Reason: f.Reason, Created: utc(f.Created)}
		if f.Account != 0 {
			rule.Account, rule.Owner = f.Account.String(), owner(f.Account)
		}
		p.Items = append(p.Items, rule)
	}
	return p, nil
}

func (a *API) freeze(r *http.Request) (any, error) {
	wanted, err := decode[QueueFreeze](r)
	if err != nil {
		return nil, err
	}
	rule := outqueue.Freeze{Name: wanted.Name, From: wanted.From, To: wanted.To, Reason: wanted.Reason, Created: time.Now()}
	if wanted.Account != "" {
		if rule.Account, err = a.accountNamed(r.Context(), wanted.Account); err != nil {
			return nil, err
		}
	}
	n, err := a.o.Queue.Freeze(r.Context(), rule)
	switch {
	case errors.Is(err, outqueue.ErrExists):
		return nil, problemf(http.StatusConflict, "there is a rule %q; see: waxwing queue freezes", rule.Name)
	case errors.Is(err, outqueue.ErrTooMany):
		return nil, problemf(http.StatusConflict, "there are %d rules, and there may be no more: remove one with waxwing queue thaw", outqueue.MaxFreezes)
	case errors.Is(err, outqueue.ErrRule):
		return nil, problemf(http.StatusUnprocessableEntity, "%v", err)
	case err != nil:
		return nil, err
	}
	a.tellFrozen(r.Context(), rule, n)
	return QueueChanged{n}, nil
}

// maxFrozenTold is of how many messages that a rule holds the trace is told one
// by one.
const maxFrozenTold = 1000

// tellFrozen tells that a rule holds messages.
func (a *API) tellFrozen(ctx context.Context, rule outqueue.Freeze, n int) {
	what := "held by the rule " + rule.Name
	if rule.Reason != "" {
		what += ": " + rule.Reason
	}
	a.record(ctx, trace.Event{
		Step: trace.Steered, Service: "admin", From: rule.From, Reason: fmt.Sprintf("%d messages are %s", n, what),
	})
	told := 0
	for item, err := range a.o.Queue.List(ctx, outqueue.Filter{Frozen: rule.Name}) {
		if told++; err != nil || told > maxFrozenTold {
			return
		}
		a.steered(ctx, item, what)
	}
}

func (a *API) thaw(r *http.Request) (any, error) {
	n, err := a.o.Queue.Thaw(r.Context(), r.PathValue("name"))
	if errors.Is(err, outqueue.ErrNotFound) {
		return nil, problemf(http.StatusNotFound, "there is no rule %q; see: waxwing queue freezes", r.PathValue("name"))
	}
	if err == nil {
		a.record(r.Context(), trace.Event{
			Step: trace.Steered, Service: "admin", Reason: fmt.Sprintf("the rule %s is gone, and %d messages that it held may go", r.PathValue("name"), n),
		})
	}
	return QueueChanged{n}, err
}
