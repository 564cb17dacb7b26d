package relay

import (
	"context"
	"errors"
	"time"

	"waxwing/store/outqueue"
	"waxwing/store/trace"
)

// tell tells what an answer means for a recipient. That one has to wait for a
// place is no step. Whether it comes again was decided at the time now.
func (a *attempt) tell(ctx context.Context, now time.Time, i int, w answer) {
	if errors.Is(w.err, context.Canceled) {
		return
	}
	_, again := a.scheduleOf(i).next(now, a.since(), a.item.Tries+1)
	if again && (errors.Is(w.err, errCrowded) || errors.Is(w.err, errNotSent)) {
		return
	}
	if w.err == nil || !temporary(w.err) || !again {
		a.left--
	}
	if w.err == nil && w.remote == "" {
		return // deliver tells
	}
	e := trace.Event{
		Time: now, Step: trace.Sent, Message: a.item.Message, Queue: a.name, Service: "relay", Remote: w.remote,
		Account: a.item.Origin.Account, From: a.from, To: []string{a.rcpt(i)},
		Reason: describe(w), TLS: a.tlsWith(w.remote), Took: now.Sub(a.began),
	}
	switch {
	case w.err == nil:
	case temporary(w.err) && again:
		e.Step = trace.Deferred
	default:
		e.Step = trace.Failed
		if temporary(w.err) {
			e.Reason = "tried for too long; at last: " + e.Reason
		}
	}
	a.trace.Record(ctx, e)
}

// tellNotices tells that the sender is told of it; mu is held.
func (a *attempt) tellNotices(ctx context.Context) {
	for _, n := range a.noticed {
		e := trace.Event{
			Step: trace.Notified, Message: a.item.Message, Queue: a.name, Service: "relay", Account: a.item.Origin.Account, From: a.from,
			Reason: "a notification is on its way, as message " + n.Message,
		}
		for _, to := range n.Envelope.To {
			e.To = append(e.To, to.Address.String())
		}
		a.trace.Record(ctx, e)
	}
	a.noticed = nil
}

// tellDone tells that the item has left the queue; mu is held.
func (a *attempt) tellDone(ctx context.Context) {
	a.trace.Record(ctx, trace.Event{
		Step: trace.Done, Message: a.item.Message, Queue: a.name, Service: "relay", Account: a.item.Origin.Account,
		From: a.from, Reason: "nothing of it waits in the queue any more",
	})
}

// tlsWith gives the protection of the last call of a host; mu is held.
func (a *attempt) tlsWith(remote string) string {
	last := outqueue.Call{}
	for _, c := range a.calls {
		if c.Remote == remote {
			last = c
		}
	}
	return last.TLS
}
