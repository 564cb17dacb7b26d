package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"waxwing/flow/deliver"
	"waxwing/format/message"
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
	body  *outqueue.Body
	began time.Time

	mu      sync.Mutex     // held over calls of the queue: one at a time for a lease
	answers map[int]answer // not recorded yet, by recipient; guarded by mu
	open    int            // recipients not answered yet; guarded by mu
}

// attempt tries one leased item and records what came of it. When ctx ends
// nothing new is begun; what has gone to a host goes on until work ends. An
// item that was not tried to its end is given back and due again.
func (r *Relay) attempt(ctx, work context.Context, lease *outqueue.Lease) {
	a := &attempt{
		Relay: r, lease: lease, item: lease.Item, began: time.Now(),
		answers: map[int]answer{},
	}
	log := r.log.With(obs.Queue, a.item.ID.String(), obs.Msg, a.item.Message)
	body, err := r.queue.OpenBody(work, a.item)
	if err != nil {
		log.Error("cannot read a queued message", obs.Err, err)
		return
	}
	defer func() {
		if err := body.Close(); err != nil {
			log.Error("cannot close a queued message", obs.Err, err)
		}
	}()
	a.body = body
	stop := a.holdLease(work)
	defer stop()

	groups := a.groups()
	slots := make(chan struct{}, parallelDomains)
	var sending sync.WaitGroup
	for _, g := range groups {
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			answers, release := a.run(ctx, work, g)
			a.settle(work, g, answers)
			release()
		})
	}
	sending.Wait()
}

// A group is the recipients that are tried together.
type group struct {
	domain  string
	indexes []int // in Envelope.To
}

// groups sorts the pending recipients by domain.
func (a *attempt) groups() []group {
	var all []group
	at := map[string]int{}
	for _, i := range a.item.Pending() {
		a.open++
		domain := a.item.Envelope.To[i].Address.Domain
		n, ok := at[domain]
		if !ok {
			n = len(all)
			at[domain] = n
			all = append(all, group{domain: domain})
		}
		all[n].indexes = append(all[n].indexes, i)
	}
	return all
}

// run tries one group. release lets others have the connection; it is called
// when the answers are on record, so that a crash makes at most one message be
// sent again for each connection.
func (a *attempt) run(ctx, work context.Context, g group) (answers []answer, release func()) {
	nothing := func() {}
	answers = make([]answer, len(g.indexes))
	if a.item.Account != 0 {
		return a.refile(work, g), nothing
	}
	local, err := a.deliverer.IsLocal(work, g.domain)
	if err != nil {
		return fill(answers, answer{err: err}), nothing
	}
	if by := a.item.Envelope.By; by.Return && !by.IsZero() && !time.Now().Before(by.At) {
		return fill(answers, answer{err: tooLate()}), nothing // RFC 2852 §4.1.3
	}
	if route, ok := a.routes.Find(g.domain, local); ok {
		leave, err := a.places.enter(ctx, g.domain)
		if err != nil {
			return fill(answers, answer{err: err}), nothing
		}
		a.bring(ctx, work, route, a.transfer(g), answers)
		return answers, func() { leave(said(answers[0].err)) }
	}
	if local {
		return a.deliverLocally(work, g), nothing
	}
	if trouble, ok := a.down.trouble(g.domain, time.Now()); ok {
		return fill(answers, trouble), nothing
	}
	leave, err := a.places.enter(ctx, g.domain)
	if err != nil {
		return fill(answers, answer{err: err}), nothing
	}
	if trouble, ok := a.down.trouble(g.domain, time.Now()); ok { // found out while we waited
		return fill(answers, trouble), func() { leave(false) }
	}
	used := a.send(ctx, work, g.domain, a.transfer(g), answers)
	return answers, func() {
		if used != nil {
			a.dialer.pool.put(context.WithoutCancel(work), used, time.Now())
		}
		leave(used != nil)
	}
}

// transfer makes the transaction for a group.
func (a *attempt) transfer(g group) transfer {
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
	return transfer{mail: m, to: to, open: a.reader, body: a.body, size: a.item.Size, by: env.By}
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

// maxHeaderLooked is how much of a header is searched for UTF-8.
const maxHeaderLooked = 256 << 10

// headerIsUTF8 tells whether the header needs SMTPUTF8. RFC 6531 §3.4
func (a *attempt) headerIsUTF8() bool {
	header := make([]byte, min(int64(a.body.Size()), maxHeaderLooked))
	n, err := a.body.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return true
	}
	header, _ = message.SplitHeader(header[:n])
	for _, c := range header {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// deliverLocally takes the message to recipients of our own domains: it is a
// notification, or the domain has become ours.
func (a *attempt) deliverLocally(ctx context.Context, g group) []answer {
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
func (a *attempt) refile(ctx context.Context, g group) []answer {
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
	return arrival, nil
}

// holdLease extends the lease until the returned function is called.
func (a *attempt) holdLease(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() {
		for {
			wait := time.NewTimer(max(time.Until(a.lease.Expires)/3, time.Second))
			select {
			case <-done:
				wait.Stop()
				return
			case <-wait.C:
			}
			a.mu.Lock()
			err := a.queue.Extend(ctx, time.Now(), a.lease)
			a.mu.Unlock()
			if err != nil {
				a.log.Warn("cannot extend the lease of a queued message", obs.Queue, a.item.ID.String(), obs.Err, err)
			}
			// Anything else may pass before somebody else has it.
			if errors.Is(err, outqueue.ErrLeaseLost) || errors.Is(err, outqueue.ErrNotFound) {
				return
			}
		}
	})
	return func() { close(done); holding.Wait() }
}
