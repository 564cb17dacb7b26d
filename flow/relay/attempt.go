package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
)

// parallelDomains is how many domains of one message are sent to at once.
const parallelDomains = 8

// An attempt is one try of one message.
type attempt struct {
	*Relay
	lease *outqueue.Lease
	item  *outqueue.Item
	name  string         // of the item, for logs and traces
	from  string         // the reverse-path, likewise
	to    string         // the last recipient that was named, likewise; guarded by mu
	named int            // which one that is, counted from one; guarded by mu
	body  *outqueue.Body // nil until it is needed
	began time.Time
	again time.Time // when the lease is to be extended; of the keeper

	mu      sync.Mutex      // held over calls of the queue: one at a time for a lease
	answers map[int]answer  // not recorded yet, by recipient; guarded by mu
	open    int             // recipients not answered yet; guarded by mu
	left    int             // recipients for whom something is left to do; guarded by mu
	seat    *seat           // the place that it came with, until it is used; guarded by mu
	calls   []outqueue.Call // guarded by mu
	brought bool            // somebody was given something, or may have been; guarded by mu

	noticed []outqueue.Submission // notifications on their way, not told of yet; guarded by mu
}

// attempt tries one leased item and records what came of it. When ctx ends
// nothing new is begun; what has gone to a host goes on until work ends. An
// item that was not tried to its end is given back and due again. It comes with
// a place where it probably goes to. It tells whether somebody was talked to.
func (r *Relay) attempt(ctx, work context.Context, lease *outqueue.Lease, s *seat) (talked bool) {
	a := &attempt{
		Relay: r, lease: lease, item: lease.Item, began: time.Now(), seat: s,
		name: lease.Item.ID.String(), from: lease.Item.Envelope.From.String(),
		answers: map[int]answer{},
	}
	defer a.leaveSeat()
	r.keeper.hold(a)
	defer r.keeper.leave(a)
	defer a.closeBody()

	groups := a.groups(ctx, work)
	if slices.ContainsFunc(groups, func(g *group) bool { return g.way != toNobody }) {
		if err := a.openBody(work); err != nil {
			return true // nothing is known of anybody
		}
	}
	if a.body == nil { // nobody is called
		a.leaveSeat()
	}
	a.each(len(groups), func(n int) {
		answers, release := a.run(ctx, work, groups[n])
		a.settle(work, groups[n], answers)
		release()
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.brought
}

// rcpt gives a recipient's address in words; mu is held.
func (a *attempt) rcpt(i int) string {
	if a.named != i+1 {
		a.to, a.named = a.item.Envelope.To[i].Address.String(), i+1
	}
	return a.to
}

// each runs fn for the numbers below n, some of them at once.
func (a *attempt) each(n int, fn func(int)) {
	if n == 1 {
		fn(0)
		return
	}
	slots := make(chan struct{}, parallelDomains)
	var running sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			fn(i)
		})
	}
	running.Wait()
}

// openBody opens the message, which many attempts do not need.
func (a *attempt) openBody(ctx context.Context) (err error) {
	if a.body != nil {
		return nil
	}
	if a.body, err = a.queue.OpenBody(ctx, a.item); err != nil {
		a.log.Error("cannot read a queued message", obs.Queue, a.item.ID.String(), obs.Msg, a.item.Message, obs.Err, err)
	}
	return err
}

func (a *attempt) closeBody() {
	if a.body == nil {
		return
	}
	if err := a.body.Close(); err != nil {
		a.log.Error("cannot close a queued message", obs.Queue, a.item.ID.String(), obs.Msg, a.item.Message, obs.Err, err)
	}
}

// run tries one group. release lets others have the connection and the place;
// it is called when the answers are on record, so that a crash makes at most
// one message be sent again for each connection. Where there was none the place
// is free at once.
func (a *attempt) run(ctx, work context.Context, g *group) (answers []answer, release func()) {
	release = func() {}
	answers = make([]answer, len(g.indexes))
	switch g.way {
	case toNobody:
		return fill(answers, g.answer), release
	case toAccount:
		a.brings()
		return a.refile(work, g), release
	case toHere:
		a.brings()
		return a.deliverLocally(work, g), release
	}
	place, err := a.seatAt(ctx, g.hop.name)
	if err != nil {
		if g.way == toHosts {
			a.known(ctx, g, nothing, answer{})
		}
		return fill(answers, answer{err: err, hop: g.hop.name}), release
	}
	var used *link
	if g.way == toStore {
		a.bring(ctx, work, g.hop.route, a.transfer(g), answers)
	} else {
		t := a.transfer(g)
		if t.mail.From, err = a.sender(work, t.mail.From); err != nil {
			fill(answers, answer{err: err})
		} else {
			g.hop.domains = g.domains
			used = a.send(ctx, work, g.hop, t, answers)
		}
		a.known(ctx, g, outcomeOf(answers), answers[0])
		if used == nil { // nobody has anything that could be sent again
			place.leave(outcomeOf(answers), time.Now())
			return answers, release
		}
	}
	a.brings()
	return answers, func() {
		if used != nil {
			a.dialer.pool.put(work, used, time.Now())
		}
		place.leave(outcomeOf(answers), time.Now())
	}
}

// brings notes that somebody is given the message, or may be.
func (a *attempt) brings() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.brought = true
}

// leaveSeat gives the place back that the attempt came with.
func (a *attempt) leaveSeat() {
	a.mu.Lock()
	s := a.seat
	a.seat = nil
	a.mu.Unlock()
	s.leave(nothing, time.Now())
}

// transfer makes the transaction for a group.
func (a *attempt) transfer(g *group) transfer {
	to := make([]smtp.Rcpt, len(g.indexes))
	ascii := plainDomain(a.item.Envelope.From).IsASCII()
	for n, i := range g.indexes {
		r := a.item.Envelope.To[i]
		r.Address = plainDomain(r.Address)
		to[n] = smtp.Rcpt{To: r.Address, Original: r.Original, Notify: r.Notify}
		ascii = ascii && r.Address.IsASCII()
	}
	env := a.item.Envelope
	env.From = plainDomain(env.From)
	m := smtp.Mail{
		From: env.From, Size: a.item.Size, EightBit: env.EightBit, Binary: env.Binary, EnvelopeID: env.ID,
		RequireTLS: env.RequireTLS, Priority: env.Priority, Solicit: env.Solicit,
		// What needs no SMTPUTF8 can go to hosts that do not have it; but an
		// alias may lead from a plain address to one that needs it.
		UTF8: !ascii || env.UTF8 && a.headerIsUTF8(),
	}
	switch {
	case env.ReturnHeaders:
		m.Return = smtp.ReturnHeaders
	case env.ReturnFull:
		m.Return = smtp.ReturnFull
	}
	return transfer{mail: m, to: to, open: a.reader, body: a.body, size: a.item.Size, by: env.By, anyTLS: env.OptionalTLS, call: a.call, sign: a.deliverer.SignAgain}
}

// plainDomain writes a domain in ASCII where that makes the address ASCII, so
// that it can go to hosts without SMTPUTF8: both forms name the same domain.
// RFC 5890 §2.3.2.1
func plainDomain(a mail.Address) mail.Address {
	if a.IsASCII() || !(mail.Address{Local: a.Local}).IsASCII() {
		return a
	}
	if name, err := idna.Lookup.ToASCII(a.Domain); err == nil {
		a.Domain = name
	}
	return a
}

func (a *attempt) reader() io.Reader {
	return a.body.Reader()
}

// headerIsUTF8 tells whether the header needs SMTPUTF8. RFC 6531 §3.4
func (a *attempt) headerIsUTF8() bool {
	header, err := a.header()
	if err != nil {
		return true
	}
	for _, c := range header {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// deliverLocally takes the message to recipients of our own domains: it is a
// notification, or the domain has become ours.
func (a *attempt) deliverLocally(ctx context.Context, g *group) []answer {
	answers := make([]answer, len(g.indexes))
	arrival, err := a.stage(ctx)
	if err != nil {
		return fill(answers, answer{err: err})
	}
	defer func() { _ = arrival.Close() }()
	for n, i := range g.indexes {
		to, err := a.deliverer.Resolve(ctx, a.item.Envelope.To[i])
		if err == nil {
			err = a.deliverer.Deliver(ctx, time.Now(), arrival, a.item.Envelope, nil, []deliver.Recipient{to})
		}
		answers[n] = answer{err: err, reported: true} // Deliver tells the sender
	}
	return answers
}

// refile takes the message to the one account that could not take it before.
func (a *attempt) refile(ctx context.Context, g *group) []answer {
	answers := make([]answer, len(g.indexes))
	arrival, err := a.stage(ctx)
	if err != nil {
		return fill(answers, answer{err: err})
	}
	defer func() { _ = arrival.Close() }()
	for n, i := range g.indexes {
		target := a.target(ctx, a.item.Envelope.To[i])
		answers[n] = answer{filed: true, err: a.deliverer.File(ctx, time.Now(), arrival, a.item.Envelope.From, nil, target)}
	}
	return answers
}

// target gives the account again as the recipient leads to it, with the detail
// of a subaddress; as it is if the recipient leads elsewhere by now.
func (a *attempt) target(ctx context.Context, to mail.Recipient) directory.Target {
	if resolved, err := a.deliverer.Resolve(ctx, to); err == nil {
		for _, target := range resolved.Route.Accounts {
			if target.Account == a.item.Account {
				return target
			}
		}
	}
	return directory.Target{Account: a.item.Account, Address: to.Address}
}

// stage reads the message from the queue as if it had just arrived. The item's
// id makes each delivery happen once, even if we die before we have recorded
// it.
func (a *attempt) stage(ctx context.Context) (*deliver.Arrival, error) {
	arrival, err := deliver.Stage(ctx, a.blobs, a.began, a.reader())
	if err != nil {
		return nil, fmt.Errorf("read queued message: %w", err)
	}
	arrival.ID, arrival.Token, arrival.Origin = a.item.Message, "queue "+a.item.ID.String(), a.item.Origin
	if arrival.Junk, err = arrival.WasJunk(); err != nil {
		return nil, errors.Join(err, arrival.Close())
	}
	return arrival, nil
}

// maxCalls is how many calls of one attempt are remembered.
const maxCalls = 8

// call notes that a host was called, for the item's history.
func (a *attempt) call(c outqueue.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) < maxCalls {
		a.calls = append(a.calls, c)
	}
}
