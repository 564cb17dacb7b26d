package deliver

import (
	"context"
	"strconv"
	"time"

	"waxwing/mail"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
)

// received tells that a message is here and begins its way.
func (d *Deliverer) received(ctx context.Context, now time.Time, a *Arrival, env mail.Envelope, to []Recipient) {
	e := trace.Event{
		Time: now, Step: trace.Received, Message: a.ID, MessageID: a.Parsed.Envelope.MessageID, Service: a.Origin.Service,
		Remote: a.Origin.Remote, Hello: a.Origin.Hello, TLS: a.TLS, Account: a.Origin.Account, From: env.From.String(),
		Size: a.Body.Size(), Reason: recipients(len(to)), Facts: a.Facts,
	}
	for _, r := range to {
		e.To = append(e.To, r.Address.String())
	}
	d.trace.Record(ctx, e)
}

// queued tells of what waits in the outqueue now.
func (d *Deliverer) queued(ctx context.Context, now time.Time, ids []outqueue.ID, all []outqueue.Submission) {
	for i, s := range all {
		e := trace.Event{
			Time: now, Step: trace.Queued, Message: s.Message, Queue: ids[i].String(), Service: "queue", From: s.Envelope.From.String(),
			Reason: "goes on to other hosts",
		}
		switch {
		case s.Account != 0:
			e.Reason, e.Account = "could not be filed, and is tried again", s.Account
		case s.Origin.Service == "dsn":
			e.Step, e.Reason = trace.Notified, "a notification is on its way"
		case s.Envelope.HoldUntil.After(now):
			e.Reason = "is held until its time comes"
		}
		for _, to := range s.Envelope.To {
			e.To = append(e.To, to.Address.String())
		}
		d.trace.Record(ctx, e)
	}
}

// done tells that nothing of a message is left to do. Of what comes from the
// queue, which has a token, the relay tells.
func (d *Deliverer) done(ctx context.Context, now time.Time, a *Arrival, env mail.Envelope) {
	if a.Token == "" {
		d.trace.Record(ctx, trace.Event{
			Time: now, Step: trace.Done, Message: a.ID, Service: "deliver", Account: a.Origin.Account, From: env.From.String(),
			Reason: "nothing of it waits to be delivered",
		})
	}
}

func recipients(n int) string {
	if n == 1 {
		return "for one recipient"
	}
	return "for " + strconv.Itoa(n) + " recipients"
}

// filed tells in which mailbox a message is.
func (d *Deliverer) filed(ctx context.Context, now time.Time, a *Arrival, from mail.Address, to directory.Target, in string, uid mail.UID) {
	reason := "in " + in + ", uid " + strconv.FormatUint(uint64(uid), 10)
	if a.Junk {
		reason += ", as junk"
	}
	d.trace.Record(ctx, trace.Event{
		Time: now, Step: trace.Filed, Message: a.ID, Service: "deliver", Account: to.Account, From: from.String(),
		To: []string{to.Address.String()}, Reason: reason,
	})
}
