// Package receive takes mail from strangers: port 25. It decides who may be
// written to, takes the message in, and hands it to deliver. No mail is
// relayed for a stranger.
//
// A Visit is what one connection of a host is to it: facts about the host are
// gathered while the dialog goes on, flow/policy decides, and the Visit carries
// that out.
package receive

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/spam"
	"waxwing/format/authres"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/store/peers"
	"waxwing/store/trace"
	"waxwing/trust/dnsbl"
	"waxwing/trust/verify"
)

// A Receiver takes mail in. It is safe for concurrent use.
type Receiver struct {
	deliverer *deliver.Deliverer
	blobs     blob.Store
	verifier  *verify.Verifier
	o         Options
}

// Options say who is let in.
type Options struct {
	// Hostname is what we call ourselves, and nobody else may.
	Hostname string
	// Rules decide, and Peers remembers; without Peers everybody is trusted.
	Rules policy.Rules
	Peers *peers.Store
	// Resolver finds the names of hosts; nil looks nothing up.
	Resolver dns.Resolver
	// Indicators says that what domains want shown beside their mail is looked
	// up (BIMI).
	Indicators bool
	// Lists are block and allow lists; nil for none.
	Lists *dnsbl.Checker
	// Filters are asked about what comes; nil for nobody.
	Filters *spam.Filters
	// Unsolicited are the classes of solicitation that are not taken, with
	// commas between them. RFC 3865 §2.3
	Unsolicited string
	// Witness is told what was proven of each message; nil for nobody.
	Witness Witness
	// Trace is told what is refused, and why; nil for nobody.
	Trace trace.Recorder
	Log   *slog.Logger
}

// A Witness is told what was proven of a message, and what follows, before the
// sender is answered: it must not take long. The arrival is not to be kept.
type Witness interface {
	Proven(now time.Time, a *deliver.Arrival, env mail.Envelope, to []deliver.Recipient, f verify.Findings, v policy.Verdict)
}

// New makes a Receiver.
func New(d *deliver.Deliverer, blobs blob.Store, o Options) *Receiver {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = trace.Discard{}
	}
	verifier := verify.New(o.Resolver, verify.Options{
		Server: o.Hostname, Sealers: o.Rules.Trust.Sealers, Indicators: o.Indicators,
	})
	return &Receiver{deliverer: d, blobs: blobs, verifier: verifier, o: o}
}

// Recipient says whether a stranger may write to an address: it must be one
// of ours. RFC 5321 §3.6.2, RFC 2505 §2.1: no open relay.
func (r *Receiver) Recipient(ctx context.Context, to mail.Recipient) (deliver.Recipient, error) {
	resolved, err := r.deliverer.Resolve(ctx, to)
	if err != nil {
		return deliver.Recipient{}, err
	}
	if !resolved.Local() && !resolved.Elsewhere {
		return deliver.Recipient{}, &smtp.Refusal{
			Code: 550, Enhanced: smtp.Enhanced{5, 7, 1},
			Text: "relaying denied: this server takes mail for its own domains only; to send, log in on port 587 or 465",
		}
	}
	return resolved, nil
}

// Message takes in one message for recipients that Recipient has accepted,
// and returns its id when everything is durable. hop tells where it comes
// from; ID, For and At are filled in.
func (r *Receiver) Message(ctx context.Context, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop, body io.Reader) (id string, err error) {
	id, _, err = r.message(ctx, &inspection{}, env, to, hop, body)
	return id, err
}

// An inspection is how a message is looked at, and who brings it. The zero
// value takes it as it is.
type inspection struct {
	checks *spam.Dialogue // the filters' side of the conversation, nil without any
	host   policy.Host
	facts  []trace.Fact    // what is known of the host, for the trace
	proof  *verify.Message // nil if the message is not verified
	scrub  bool            // fields that claim to be ours are taken out
	gone   int             // how many were
}

// message is Message for one that is inspected. Junk says that it is held to be
// spam, whether it was taken or not. The id is given of a message that is
// refused too, once it has one.
func (r *Receiver) message(ctx context.Context, in *inspection, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop, body io.Reader) (id string, junk bool, err error) {
	now, checks := time.Now(), in.checks
	arrival, received, err := r.stage(ctx, now, "mx", in, &env, to, hop, body)
	if err != nil {
		r.refused(ctx, now, about(nil, "mx", hop, in.facts), env, to, err)
		return "", false, err
	}
	arrival.Facts = in.facts
	defer func() {
		if err != nil {
			r.refused(ctx, now, about(arrival, "mx", hop, arrival.Facts), env, to, err)
		}
		err = errors.Join(err, arrival.Close())
	}()
	verdict := policy.Verdict{}
	if in.proof != nil {
		findings := in.proof.Finish(ctx, time.Now())
		verdict = r.o.Rules.Message(in.host, policy.Proven{Findings: findings, Postmaster: forPostmaster(to)})
		results := authres.Format(r.o.Hostname, findings.Results())
		arrival.Facts = append(arrival.Facts, proven(findings, in.gone)...)
		arrival.Chain, arrival.Results = findings.ARC.Status, results
		if verdict.Reason != "" {
			arrival.Facts = append(arrival.Facts, trace.Fact{Name: "verdict", Value: verdict.Reason})
		}
		r.logProven(arrival.ID, findings, verdict)
		if r.o.Witness != nil && (verdict.Refusal == nil || !verdict.Refusal.Temporary()) {
			r.o.Witness.Proven(now, arrival, env, to, findings, verdict)
		}
		if verdict.Refusal != nil {
			return arrival.ID, false, verdict.Refusal // forged, not spam: the host may be a list
		}
		received = append(findings.Header(r.o.Hostname, results), received...)
	}
	if checks != nil {
		m := spam.Message{Arrival: arrival, Envelope: env, To: to, Trace: received}
		err = checks.Examine(ctx, now, &m)
		if m.Envelope.From != env.From || !slices.EqualFunc(m.To, to, sameAddress) {
			r.rewritten(ctx, now, about(m.Arrival, "mx", hop, nil), env, to, m.Envelope.From)
		}
		arrival, env, to, received = m.Arrival, m.Envelope, m.To, m.Trace
		arrival.Facts = append(arrival.Facts, checks.Findings()...)
		if m.Discarded {
			r.discarded(ctx, now, about(arrival, "mx", hop, arrival.Facts), env, to)
		}
		if refusal, ok := errors.AsType[*smtp.Refusal](err); err != nil || m.Discarded {
			return m.Arrival.ID, m.Discarded || ok && !refusal.Temporary(), err
		}
	}
	if verdict.Junk && !arrival.Junk {
		arrival.Junk = true
		received = append([]byte("X-Spam: Yes\r\n"), received...) // WasJunk looks for it
	}
	return arrival.ID, arrival.Junk, r.deliverer.Deliver(ctx, now, arrival, env, received, to)
}

// MessageEach is Message with an outcome for each recipient by itself, as LMTP
// wants it: nil when the message is durable there. An error is about all.
// RFC 2033 §4.2
func (r *Receiver) MessageEach(ctx context.Context, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop, body io.Reader) (id string, outcomes []error, err error) {
	now := time.Now()
	arrival, received, err := r.stage(ctx, now, "lmtp", &inspection{}, &env, to, hop, body)
	if err != nil {
		r.refused(ctx, now, about(nil, "lmtp", hop, nil), env, to, err)
		return "", nil, err
	}
	defer func() { err = errors.Join(err, arrival.Close()) }()
	outcomes = make([]error, len(to))
	for i, recipient := range to {
		alone := []deliver.Recipient{recipient}
		outcomes[i] = r.deliverer.Deliver(ctx, now, arrival, env, received, alone)
		if outcomes[i] != nil {
			r.refused(ctx, now, about(arrival, "lmtp", hop, nil), env, alone, outcomes[i])
		}
	}
	return arrival.ID, outcomes, nil
}

// Trace gives who is told what becomes of messages.
func (r *Receiver) Trace() trace.Recorder { return r.o.Trace }

// Filters gives those who are asked about what comes; nil for nobody.
func (r *Receiver) Filters() *spam.Filters { return r.o.Filters }

// stage takes a message in, whole, and gives its Received field. The message
// gets an id unless it has one, and the envelope what the header says of
// solicitation. The caller closes the arrival.
func (r *Receiver) stage(ctx context.Context, now time.Time, service string, in *inspection, env *mail.Envelope, to []deliver.Recipient, hop deliver.Hop, body io.Reader) (*deliver.Arrival, []byte, error) {
	arrival, err := r.take(ctx, now, in, to, body)
	if err != nil {
		return nil, nil, err
	}
	if err := arrival.CheckHops(); err != nil {
		return nil, nil, errors.Join(err, arrival.Close())
	}
	if env.Solicit == "" && arrival.Solicits != "" {
		// The host before us does not know the extension. RFC 3865 §2.3, §2.7
		env.Solicit, hop.Solicit = arrival.Solicits, arrival.Solicits
		if unwanted := smtp.Solicited(env.Solicit, r.o.Unsolicited); unwanted != "" {
			refusal := &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "SOLICIT=" + unwanted} // RFC 3865 §2.4
			return nil, nil, errors.Join(refusal, arrival.Close())
		}
	}
	if id := in.checks.ID(); id != "" {
		arrival.ID = id
	}
	arrival.Origin = outqueue.Origin{Service: service, Remote: hop.Addr.String(), Hello: hop.Hello}
	arrival.TLS = hop.Protection()
	hop.ID, hop.At = arrival.ID, now
	if len(to) == 1 {
		hop.For = to[0].Address
	}
	obs.Log(ctx, r.o.Log, slog.LevelInfo, "message received",
		slog.String(obs.Msg, arrival.ID), slog.String(obs.Remote, arrival.Origin.Remote), slog.String(obs.From, env.From.String()),
		slog.Int("recipients", len(to)), slog.Int64(obs.Size, int64(arrival.Body.Size())),
		slog.String("message_id", arrival.Parsed.Envelope.MessageID))
	return arrival, hop.Received(), nil
}
