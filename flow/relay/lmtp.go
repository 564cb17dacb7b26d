package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
)

// bring takes a group to the store that has its domain, by LMTP, and sets the
// answer for each recipient. RFC 2033
func (a *attempt) bring(ctx, work context.Context, route Route, t transfer, answers []answer) {
	began := time.Now()
	defer func() { t.noteCall(began, route.String(), nil, answers) }()
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(dialing, route.Network, route.Address)
	if err != nil {
		fill(answers, answer{network: true, err: &smtp.Refusal{
			Code: 451, Enhanced: smtp.Enhanced{4, 4, 1},
			Text: fmt.Sprintf("cannot connect to the store at %s: %s", route, reason(err)), Err: err,
		}})
		return
	}
	defer func() { _ = conn.Close() }()
	c, err := smtpclient.New(work, conn, smtpclient.Options{Hostname: a.hostname, LMTP: true, Log: a.log})
	if err != nil {
		fill(answers, answer{err: err, remote: route.String(), network: true})
		return
	}
	l := &link{Client: c, host: route.String(), local: true}
	a.over(work, l, t, answers)
	c.Quit(work)
}

// over sends a transfer over a link, in as many transactions as the peer's
// limits want (RFC 9422), and sets the answers.
func (r *Relay) over(work context.Context, l *link, t transfer, answers []answer) {
	for at := 0; at < len(t.to); {
		n := l.most(t.to[at:])
		l.sent++
		outcome, err := l.transmit(work, t.part(at, n))
		l.note(outcome, err, answers[at:at+n])
		at += n
		var lost *smtpclient.Lost
		if errors.As(err, &lost) || !l.Usable() || l.spent() {
			fill(answers[at:], answer{err: errNotSent, remote: l.remote()})
			return
		}
	}
}

// errNotSent says that a link could not be used for all recipients: the rest
// has its turn next.
var errNotSent = errors.New("the peer takes no more on this connection")

// note sets the answers of one transaction.
func (l *link) note(outcome smtpclient.Outcome, err error, answers []answer) {
	offers := l.Extensions()
	for i := range answers {
		answers[i] = answer{
			err: err, reply: outcome.Reply.String(), remote: l.remote(),
			tellsOn: offers.Has(smtp.DSN), inTime: offers.Has(smtp.DeliverBy), filed: l.local,
		}
		if i < len(outcome.Replies) {
			answers[i].reply = outcome.Replies[i].String()
		}
		if i < len(outcome.Refused) && outcome.Refused[i] != nil {
			answers[i].err = outcome.Refused[i]
		}
	}
}
