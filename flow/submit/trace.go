package submit

import (
	"context"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
)

// Trace gives who is told what becomes of messages.
func (s *Submitter) Trace() trace.Recorder { return s.o.Trace }

// refused tells that a message was not taken. There may be no arrival yet.
func (s *Submitter) refused(ctx context.Context, now time.Time, who sasl.Identity, a *deliver.Arrival, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop, why error) {
	e := about(who, a, env, to, hop)
	e.Time, e.Step, e.Reason = now, trace.Refused, why.Error()
	s.o.Trace.Record(ctx, e)
}

// discarded tells that a filter has thrown a message away.
func (s *Submitter) discarded(ctx context.Context, now time.Time, who sasl.Identity, a *deliver.Arrival, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop) {
	e := about(who, a, env, to, hop)
	e.Time, e.Step, e.Reason = now, trace.Judged, "thrown away, as a filter wants it"
	s.o.Trace.Record(ctx, e)
}

func about(who sasl.Identity, a *deliver.Arrival, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop) trace.Event {
	e := trace.Event{
		Service: "submission", Remote: hop.Addr.String(), Hello: hop.Hello, TLS: hop.Protection(),
		Account: who.Account, From: env.From.String(),
	}
	if a != nil {
		e.Message, e.MessageID, e.Size, e.Facts = a.ID, a.Parsed.Envelope.MessageID, a.Body.Size(), a.Facts
	}
	for _, t := range to {
		e.To = append(e.To, t.Address.String())
	}
	return e
}

// steered tells what has been done to a message in the queue.
func (s *Submitter) steered(ctx context.Context, item *outqueue.Item, what string) {
	e := trace.Event{
		Step: trace.Steered, Message: item.Message, Queue: item.ID.String(), Service: "queue",
		Account: item.Origin.Account, From: item.Envelope.From.String(), Reason: what,
	}
	s.o.Trace.Record(ctx, e)
}
