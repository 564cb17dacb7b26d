package adminapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"waxwing/mail"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
)

func itemOf(it *outqueue.Item, owner owners) QueueItem {
	item := QueueItem{
		ID:       it.ID.String(),
		Message:  it.Message,
		From:     it.Envelope.From.String(),
		Size:     int64(it.Size),
		Created:  utc(it.Created),
		Due:      utc(it.Due),
		Held:     it.Held,
		Underway: it.Leased,
		Tries:    it.Tries,
		Service:  it.Origin.Service,
		Remote:   it.Origin.Remote,
	}
	item.Priority, item.Reroute, item.Frozen = int(it.Envelope.Priority), it.Reroute, it.Frozen
	if until := it.Envelope.HoldUntil; !until.IsZero() {
		item.HoldUntil = utc(until)
	}
	if by := it.Envelope.By; !by.IsZero() {
		item.DeliverBy = utc(by.At)
	}
	switch {
	case it.Envelope.RequireTLS:
		item.TLS = "required"
	case it.Envelope.OptionalTLS:
		item.TLS = "optional"
	}
	if it.Account != 0 {
		item.Account, item.Owner = it.Account.String(), owner(it.Account)
	}
	if it.Origin.Account != 0 {
		item.Submitter, item.Sender = it.Origin.Account.String(), owner(it.Origin.Account)
	}
	for i, to := range it.Envelope.To {
		status := it.Status[i]
		item.Recipients = append(item.Recipients, QueueRecipient{
			Address:  to.Address.String(),
			State:    status.State.String(),
			Attempts: status.Attempts,
			Code:     status.Reply.Code,
			Enhanced: status.Reply.Enhanced,
			Reply:    status.Reply.Text,
			Remote:   status.Remote,
		})
	}
	for _, try := range it.History {
		told := QueueTry{Began: utc(try.Began), Seconds: try.Took.Seconds(), Remote: try.Remote, Text: try.Text}
		for _, c := range try.Calls {
			told.Calls = append(told.Calls, QueueCall{Remote: c.Remote, TLS: c.TLS, Text: c.Text, Seconds: c.Took.Seconds()})
		}
		item.History = append(item.History, told)
	}
	return item
}

func (a *API) listQueue(r *http.Request) (any, error) {
	query := r.URL.Query()
	filter := outqueue.Filter{
		Held: query.Get("held") == "true", Deferred: query.Get("deferred") == "true",
		Underway: query.Get("underway") == "true", Untried: query.Get("untried") == "true",
		From: query.Get("from"), To: query.Get("to"), Domain: query.Get("domain"), Said: query.Get("said"), Frozen: query.Get("frozen"),
	}
	var err error
	if s := query.Get("older"); s != "" {
		older, err := time.ParseDuration(s)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "older: %v", err)
		}
		filter.Before = time.Now().Add(-older)
	}
	if s := query.Get("larger"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "larger: %v", err)
		}
		filter.Larger = mail.ByteCount(n)
	}
	if s := query.Get("after"); s != "" {
		if filter.After, err = outqueue.ParseID(s); err != nil {
			return nil, problemf(http.StatusBadRequest, "after: %v", err)
		}
	}
	if s := query.Get("account"); s != "" {
		if filter.Account, err = a.accountNamed(r.Context(), s); err != nil {
			return nil, err
		}
	}
	owner := a.owners(r.Context())
	return paged(r, a.o.Queue.List(r.Context(), filter), func(it *outqueue.Item) QueueItem { return itemOf(it, owner) },
		func(it *outqueue.Item) string { return it.ID.String() })
}

func (a *API) countQueue(r *http.Request) (any, error) {
	counts, err := a.o.Queue.Counts(r.Context())
	if err != nil {
		return nil, err
	}
	return QueueCounts{Items: counts.Items, Held: counts.Held, Deferred: counts.Deferred, Octets: int64(counts.Octets)}, nil
}

func itemID(r *http.Request) (outqueue.ID, error) {
	id, err := outqueue.ParseID(r.PathValue("id"))
	if err != nil {
		return 0, problemf(http.StatusUnprocessableEntity, "%q is not the id of a queue item; see: waxwing queue list", r.PathValue("id"))
	}
	return id, nil
}

func (a *API) getItem(r *http.Request) (any, error) {
	id, err := itemID(r)
	if err != nil {
		return nil, err
	}
	it, err := a.o.Queue.Get(r.Context(), id)
	if err != nil {
		return nil, err
	}
	return itemOf(it, a.owners(r.Context())), nil
}

// steer does something to the item that a path names, and has the trace tell
// what.
func (a *API) steer(r *http.Request, what string, do func(outqueue.ID) error) (any, error) {
	id, err := itemID(r)
	if err != nil {
		return nil, err
	}
	item, err := a.o.Queue.Get(r.Context(), id)
	if errors.Is(err, outqueue.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		item = &outqueue.Item{ID: id} // it cannot be read, but it can be deleted
	}
	if err := do(id); err != nil {
		return nil, err
	}
	a.steered(r.Context(), item, what)
	return nil, nil
}

// steered tells what an administrator has done to an item.
func (a *API) steered(ctx context.Context, item *outqueue.Item, what string) {
	a.record(ctx, trace.Event{
		Step: trace.Steered, Message: item.Message, Queue: item.ID.String(), Service: "admin", Account: item.Origin.Account,
		From: item.Envelope.From.String(), Reason: what,
	})
}

func (a *API) record(ctx context.Context, e trace.Event) {
	if a.o.Trace != nil {
		a.o.Trace.Record(ctx, e)
	}
}

func (a *API) deleteItem(r *http.Request) (any, error) {
	return a.steer(r, "deleted by an administrator: nobody is told", func(id outqueue.ID) error { return a.o.Queue.Delete(r.Context(), id) })
}

func (a *API) holdItem(r *http.Request) (any, error) {
	return a.steer(r, "held by an administrator", func(id outqueue.ID) error { return a.o.Queue.Hold(r.Context(), id) })
}

func (a *API) releaseItem(r *http.Request) (any, error) {
	return a.steer(r, "released by an administrator", func(id outqueue.ID) error { return a.o.Queue.Release(r.Context(), id) })
}

func (a *API) retryItem(r *http.Request) (any, error) {
	answer, err := a.steer(r, "an administrator wants it tried now", func(id outqueue.ID) error {
		return a.o.Queue.Retry(r.Context(), time.Now(), id)
	})
	if errors.Is(err, outqueue.ErrHeld) {
		return nil, problemf(http.StatusConflict, "the message is held, and not tried until then: waxwing queue release %s", r.PathValue("id"))
	}
	return answer, err
}
