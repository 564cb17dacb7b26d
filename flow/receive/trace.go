package receive

import (
	"context"
	"fmt"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/mail"
	"waxwing/store/peers"
	"waxwing/store/trace"
)

// about begins a step of a message that has come, or was coming where there is
// no arrival.
func about(a *deliver.Arrival, service string, hop deliver.Hop, facts []trace.Fact) trace.Event {
	e := trace.Event{Service: service, Remote: hop.Addr.String(), Hello: hop.Hello, TLS: hop.Protection(), Facts: facts}
	if a != nil {
		e.Message, e.MessageID, e.Size = a.ID, a.Parsed.Envelope.MessageID, a.Body.Size()
	}
	return e
}

// refused tells that a message has come and was not taken.
func (r *Receiver) refused(ctx context.Context, now time.Time, e trace.Event, env mail.Envelope, to []deliver.Recipient, why error) {
	e.Step, e.Reason = trace.Refused, why.Error()
	r.recordFor(ctx, now, e, env, to)
}

// discarded tells that a filter has thrown a message away.
func (r *Receiver) discarded(ctx context.Context, now time.Time, e trace.Event, env mail.Envelope, to []deliver.Recipient) {
	e.Step, e.Reason = trace.Judged, "thrown away, as a filter wants it"
	r.recordFor(ctx, now, e, env, to)
}

// rewritten tells that filters have changed the envelope, so that a message is
// found by the one that it came with.
func (r *Receiver) rewritten(ctx context.Context, now time.Time, e trace.Event, env mail.Envelope, to []deliver.Recipient, from mail.Address) {
	e.Step, e.Reason = trace.Judged, "filters have changed the envelope; its sender is now <"+from.String()+">"
	r.recordFor(ctx, now, e, env, to)
}

func sameAddress(a, b deliver.Recipient) bool { return a.Address == b.Address }

func (r *Receiver) recordFor(ctx context.Context, now time.Time, e trace.Event, env mail.Envelope, to []deliver.Recipient) {
	e.Time, e.From = now, env.From.String()
	for _, t := range to {
		e.To = append(e.To, t.Address.String())
	}
	r.o.Trace.Record(ctx, e)
}

// toldConnections is how many connections in a minute have their refusals
// written: who calls again and again would fill the trace with nothing new.
const toldConnections = 3

// turnedAway tells that a host was refused before it had said what it wants.
func (v *Visit) turnedAway(ctx context.Context, now time.Time, why error) {
	over := v.host.Peer.Counts[peers.Connections] - float64(v.r.o.Rules.Connections)
	if v.host.Peer.Counts[peers.Connections] > toldConnections && (over < 0 || over > toldConnections) {
		return
	}
	e := v.event(why)
	e.Time, e.Step = now, trace.Connected
	v.r.o.Trace.Record(ctx, e)
}

// Note remembers that the host was refused a recipient, or with the zero
// Address a transaction, so that it can be told later. The visit notes what it
// refuses itself.
func (v *Visit) Note(to mail.Address, why error) {
	e := v.event(why)
	e.Time = time.Now()
	v.refusals.Add(e, to.String())
}

// NoteSender remembers that the host was refused a transaction before Mail was
// asked.
func (v *Visit) NoteSender(from mail.Address, why error) {
	e := v.event(why)
	e.Time, e.From = time.Now(), from.String()
	v.refusals.Add(e, "")
}

// event begins a step of the visit.
func (v *Visit) event(why error) trace.Event {
	return trace.Event{
		Service: "mx", Remote: v.remote.String(), Hello: v.hello, From: v.from.String(), Reason: why.Error(), Facts: v.facts(),
	}
}

// facts are what is known of the host, in words; none of one that is trusted.
func (v *Visit) facts() []trace.Fact {
	if v.trusted {
		return nil
	}
	var facts []trace.Fact
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, trace.Fact{Name: name, Value: value})
		}
	}
	if v.host.Name.State == policy.NameConfirmed {
		add("name", v.host.Name.Name)
	}
	if rule := v.host.Rule; rule != nil && rule.Allow {
		add("allowed", rule.Name)
	}
	counts := v.host.Peer.Counts
	if taken := counts[peers.Delivered]; taken >= 0.5 {
		add("taken-before", fmt.Sprintf("%.0f", taken))
	}
	if spam := counts[peers.Spam]; spam >= 0.5 {
		add("spam-before", fmt.Sprintf("%.0f", spam))
	}
	if v.cameBack {
		add("greylist", "came back")
	}
	add("marks", strings.Join(v.host.Marks(v.r.o.Rules), "; "))
	return facts
}
