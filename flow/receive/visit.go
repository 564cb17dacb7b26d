package receive

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/spam"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/store/peers"
	"waxwing/store/trace"
	"waxwing/trust/dnsbl"
	"waxwing/trust/verify"
)

// A Visit is one connection of a host, from its beginning to its end: it
// gathers what is known of the host, asks the policy, and carries out what
// that says. Its methods are called one at a time; Close is called in the end.
//
// For a host that is trusted it is only a way to the Receiver.
type Visit struct {
	r       *Receiver
	log     *slog.Logger
	trusted bool
	local   netip.Addr
	// verifies says that messages are verified, also of a host that is trusted
	// otherwise.
	verifies bool
	checks   *spam.Dialogue // nil without filters

	ctx     context.Context // of lookups, if there are any; ends with the visit
	stop    context.CancelFunc
	lookups sync.WaitGroup

	host         policy.Host
	subject      peers.Subject
	near         peers.Subject
	greeting     time.Duration
	name         *answer[policy.ReverseName]
	lists        *answer[[]dnsbl.Hit]
	helloMissing *answer[bool]

	remote   netip.Addr
	hello    string
	refusals *trace.Refusals
	message  string // the id of the transaction's, for the refusals

	// Of the transaction:
	from        mail.Address
	cameBack    bool // a greylist had put it off
	senderLists *answer[[]dnsbl.Hit]
	recipients  int
	proof       *verify.Message // nil if it is not verified
}

// A Caller is a host that has connected.
type Caller struct {
	Addr  netip.Addr // its own
	Local netip.Addr // the one that it has connected to
	// Name is its name in the DNS, where a proxy has looked that up.
	Name string
	Log  *slog.Logger
}

// Visit begins a visit. A *smtp.Refusal turns the host away at once.
func (r *Receiver) Visit(ctx context.Context, c Caller) (*Visit, error) {
	v := &Visit{
		r: r, log: c.Log, local: c.Local, trusted: r.o.Peers == nil || r.o.Rules.Trusts(c.Addr),
		remote: c.Addr, refusals: trace.Gather(r.o.Trace),
	}
	v.verifies = r.o.Resolver != nil && r.o.Rules.Trust.Verifies(c.Addr)
	if v.trusted {
		if v.verifies {
			v.ctx, v.stop = context.WithCancel(ctx)
		}
		return v, nil
	}
	now := time.Now()
	v.host.Addr = c.Addr.Unmap().WithZone("")
	v.subject, v.near = peers.OfAddress(v.host.Addr), peers.OfNeighbourhood(v.host.Addr)
	r.o.Peers.Add(v.subject, now, peers.Connections, 1)
	if rule, ok := r.o.Peers.RuleForAddress(v.host.Addr, now); ok {
		v.host.Rule = &rule
	}
	v.count(now)
	verdict := r.o.Rules.Connect(v.host)
	if verdict.Refusal != nil {
		v.turnedAway(ctx, now, verdict.Refusal)
		return nil, v.refused(now, verdict)
	}
	v.greeting = verdict.Delay
	// The context of the connection carries on; only its end is ours.
	v.ctx, v.stop = context.WithCancel(ctx)
	v.lookAtHost(c.Name)
	return v, nil
}

// Close ends the visit and waits for what is still being looked up.
func (v *Visit) Close() {
	v.tellRefusals()
	v.abandon()
	if v.stop != nil {
		v.stop()
		v.lookups.Wait()
	}
}

// count looks again at how the host's counters stand.
func (v *Visit) count(now time.Time) {
	v.host.Peer = v.r.o.Peers.Peer(v.subject, now)
	v.host.Near = v.r.o.Peers.Peer(v.near, now)
}

// refused counts a verdict that refuses, and gives the refusal. What is only
// put off is not held against anybody.
func (v *Visit) refused(now time.Time, verdict policy.Verdict) error {
	if !verdict.Refusal.Temporary() {
		v.r.o.Peers.Add(v.subject, now, peers.Refused, 1)
	}
	return verdict.Refusal
}

// GreetingDelay is how long the greeting waits for a host that may talk first.
func (v *Visit) GreetingDelay() time.Duration { return v.greeting }

// EarlyTalker tells that the host has not waited.
func (v *Visit) EarlyTalker() error {
	v.host.Early = true
	if verdict := v.r.o.Rules.Early(v.host); verdict.Refusal != nil {
		now := time.Now()
		v.turnedAway(v.ctx, now, verdict.Refusal)
		return v.refused(now, verdict)
	}
	return nil
}

// Hello takes what the host calls itself. It refuses nothing yet: whoever is
// refused for the name is so for each recipient, so that the log tells who
// wanted to write to whom.
func (v *Visit) Hello(name string) {
	v.hello = name
	if v.trusted {
		return
	}
	v.host.Hello = policy.Hello{Name: name, State: policy.CheckHello(name, v.local, v.r.o.Hostname)}
	v.lookAtHello()
}

// Mail begins a transaction.
func (v *Visit) Mail(from mail.Address) error {
	v.from, v.recipients = from, 0
	if v.trusted {
		v.prove(from)
		return nil
	}
	now := time.Now()
	v.count(now)
	if verdict := v.r.o.Rules.Mail(v.host); verdict.Refusal != nil {
		v.Note(mail.Address{}, verdict.Refusal)
		return v.refused(now, verdict)
	}
	v.lookAtSender(from)
	v.prove(from)
	return nil
}

// Recipient says whether the host may write to an address.
func (v *Visit) Recipient(ctx context.Context, to mail.Recipient) (deliver.Recipient, error) {
	resolved, err := v.recipient(ctx, to)
	if err != nil {
		v.Note(to.Address, err)
	}
	return resolved, err
}

func (v *Visit) recipient(ctx context.Context, to mail.Recipient) (deliver.Recipient, error) {
	resolved, missing := v.r.Recipient(ctx, to)
	if v.trusted {
		if missing == nil {
			missing = v.checkBounce(ctx, to.Address)
		}
		return resolved, missing
	}
	now := time.Now()
	if isGuess(missing) {
		v.r.o.Peers.Add(v.subject, now, peers.Unknown, 1)
	}
	v.gather(ctx)
	v.count(now)
	verdict := v.judge(ctx, now, resolved, to.Address, missing == nil)
	if err := sleep(ctx, verdict.Delay); err != nil {
		return deliver.Recipient{}, err
	}
	switch {
	case verdict.Refusal != nil:
		return deliver.Recipient{}, v.refused(now, verdict)
	case missing != nil:
		return deliver.Recipient{}, missing
	}
	if err := v.checkBounce(ctx, to.Address); err != nil {
		return deliver.Recipient{}, err
	}
	v.recipients++
	return resolved, nil
}

// checkBounce refuses bounces of what we have not sent.
func (v *Visit) checkBounce(ctx context.Context, to mail.Address) error {
	if !v.from.IsNull() {
		return nil
	}
	return v.r.deliverer.CheckBounce(ctx, time.Now(), to)
}

// judge asks the policy about a recipient, and the greylist where that counts.
func (v *Visit) judge(ctx context.Context, now time.Time, resolved deliver.Recipient, to mail.Address, exists bool) policy.Verdict {
	o := &v.r.o
	t := policy.Transaction{From: v.from, To: to, Recipients: v.recipients, Exists: exists, SenderLists: v.senderLists.wait(ctx)}
	if rule, ok := o.Peers.RuleForDomain(v.from.Domain, now); ok {
		t.SenderRule = &rule
	}
	from := fold(v.from)
	for _, target := range resolved.Route.Accounts {
		t.WrittenTo = t.WrittenTo || !v.from.IsNull() && o.Peers.WroteTo(peers.OfAccount(target.Account), from)
	}
	t.Unasked = v.from.IsNull() && v.unasked(now, resolved)
	t.Denied = v.denied(ctx, t)
	verdict := o.Rules.Rcpt(v.host, t, now)
	if verdict.Refusal != nil || !exists || !o.Rules.Greylists(v.host, t) {
		return verdict
	}
	triple := peers.TripleOf(v.near, from, fold(to))
	first, passed, err := o.Peers.Attempt(ctx, triple, now)
	if err != nil {
		// A greylist that cannot be read is no reason to refuse.
		v.log.Warn("greylist cannot be read", obs.Err, err)
		return verdict
	}
	t.GreyAsked, t.GreyFirst, t.GreyPassed = true, first, passed
	verdict = o.Rules.Rcpt(v.host, t, now)
	v.cameBack = v.cameBack || verdict.Came
	if verdict.Came && !passed {
		o.Peers.Pass(triple, now)
		o.Peers.Add(v.near, now, peers.Passed, 1)
	}
	return verdict
}

// unasked tells whether accounts have sent nothing lately: notifications for
// them are probably about what others have sent in their names.
func (v *Visit) unasked(now time.Time, to deliver.Recipient) bool {
	for _, target := range to.Route.Accounts {
		if v.r.o.Peers.Peer(peers.OfAccount(target.Account), now).Counts[peers.SentUsually] > 0.1 {
			return false
		}
	}
	return len(to.Route.Accounts) > 0
}

// Check has messages checked in the dialogue with filters. It may be nil.
func (v *Visit) Check(d *spam.Dialogue) { v.checks = d }

// Message takes in one message for recipients that Recipient has accepted,
// and returns its id when everything is durable. hop tells where it comes
// from; ID, For and At are filled in.
func (v *Visit) Message(ctx context.Context, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop, body io.Reader) (id string, err error) {
	v.named()
	in := &inspection{checks: v.checks, host: v.host, facts: v.facts(), proof: v.proof, scrub: !v.trusted || v.verifies}
	id, junk, err := v.r.message(ctx, in, env, to, hop, body)
	v.message = id
	if v.trusted {
		return id, err
	}
	now, o := time.Now(), v.r.o.Peers
	refusal, isRefusal := errors.AsType[*smtp.Refusal](err)
	if junk {
		o.Add(v.subject, now, peers.Spam, 1)
	}
	switch {
	case err == nil:
		o.Add(v.subject, now, peers.Messages, 1)
		o.Add(v.subject, now, peers.Recipients, float64(len(to)))
		if !junk {
			o.Add(v.subject, now, peers.Delivered, 1)
		}
		if marks := v.host.Marks(v.r.o.Rules); len(marks) > 0 {
			v.log.Info("message from a suspicious host", obs.Msg, id, obs.Verdict, strings.Join(marks, "; "))
		}
	case isRefusal && !refusal.Temporary():
		o.Add(v.subject, now, peers.Refused, 1)
	}
	return id, err
}

// Reset forgets the transaction.
func (v *Visit) Reset() {
	v.tellRefusals()
	v.abandon()
	v.from, v.recipients, v.senderLists, v.cameBack = mail.Address{}, 0, nil, false
}

// tellRefusals tells what has been refused in the transaction that ends.
func (v *Visit) tellRefusals() {
	v.refusals.Tell(context.Background(), v.message)
	v.message = ""
}

// isGuess tells whether a refusal says that there is no such recipient here.
func isGuess(err error) bool {
	refusal, ok := errors.AsType[*smtp.Refusal](err)
	return ok && refusal.Code == 550
}

// fold gives an address as it is compared.
func fold(a mail.Address) string { return strings.ToLower(a.String()) }

// sleep lets a guesser wait.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
