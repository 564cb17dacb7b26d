package relay

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
)

// maxAddresses is how many addresses of one host are tried.
const maxAddresses = 4

// A transfer is one message to the recipients of one domain.
type transfer struct {
	mail smtp.Mail
	to   []smtp.Rcpt
	open func() io.Reader // the message, from the start
	body io.ReaderAt      // the same
	size mail.ByteCount
	by   mail.DeliverBy
}

// part is the transfer to some of the recipients.
func (t transfer) part(at, n int) transfer {
	t.to = t.to[at : at+n]
	return t
}

// An answer is what became of one recipient.
type answer struct {
	err    error  // nil if the peer has taken the message
	reply  string // the peer's words
	remote string // who said it; empty if it was us

	tellsOn  bool // the peer tells the sender itself, RFC 3461 §5.2.1
	inTime   bool // the peer knows about the time, RFC 2852
	filed    bool // the message is where it is to be, in a store
	reported bool // the sender has been told already
}

// send takes the transfer to the best of the hosts that will have it, sets the
// answer for each recipient, and gives the link that it went over, if it went:
// the caller puts it back into the pool when the answers are on record.
// Connections are made under ctx, the message is sent under work.
// RFC 5321 §5.1
func (r *Relay) send(ctx, work context.Context, domain string, t transfer, answers []answer) *link {
	hosts, err := exchangers(ctx, r.resolver, domain, r.hostname)
	if err != nil {
		fill(answers, answer{err: err})
		return nil
	}
	answered := false  // a host was talked to
	var trouble answer // of the hosts that could not be talked to
	for _, host := range hosts {
		addrs, err := addresses(ctx, r.resolver, host)
		if err != nil {
			trouble = graver(trouble, answer{err: err})
			continue
		}
		for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
			final, used := r.try(ctx, work, host, addr, t, answers)
			if used != nil {
				return used
			}
			// That MAIL was put off may be about the sender.
			answered = answered || inReplyTo(final.err, "MAIL")
			trouble = graver(trouble, final)
			if ctx.Err() != nil {
				fill(answers, trouble)
				return nil
			}
		}
	}
	if temporary(trouble.err) && ctx.Err() == nil && !answered {
		r.down.mark(domain, trouble, time.Now())
	}
	fill(answers, trouble)
	return nil
}

// try sends to one address. If another host may do better it gives the trouble
// that there was; otherwise the answers are complete, and it gives the link.
func (r *Relay) try(ctx, work context.Context, host string, addr netip.Addr, t transfer, answers []answer) (trouble answer, used *link) {
	l, err := r.dialer.connect(ctx, host, addr)
	if err != nil {
		return answer{err: err, remote: remote(host, r.dialer.at(addr))}, nil
	}
	if unfit := l.unfit(t, time.Now()); unfit != nil {
		own := answer{err: unfit} // our own finding
		if t.by.Return && !t.by.IsZero() {
			// No other host is asked for what this one cannot promise.
			// RFC 2852 §7
			fill(answers, own)
			return answer{}, l
		}
		r.dialer.pool.put(context.WithoutCancel(work), l, time.Now())
		return own, nil
	}
	n := min(len(t.to), l.mostRecipients())
	outcome, err := l.transmit(work, t.part(0, n))
	var lost *smtpclient.Lost
	if errors.As(err, &lost) && !lost.Unknown && l.reused {
		// A kept connection that the host has closed meanwhile says nothing
		// about the host.
		l.Close()
		if l, err = r.dialer.dial(ctx, host, l.at); err != nil {
			return answer{err: err, remote: remote(host, r.dialer.at(addr))}, nil
		}
		outcome, err = l.transmit(work, t.part(0, n))
	}
	l.sent++
	if err != nil && worthAnotherHost(err) && allUnanswered(outcome.Refused) {
		r.dialer.pool.put(context.WithoutCancel(work), l, time.Now())
		return answer{err: err, remote: l.remote()}, nil
	}
	l.note(outcome, err, answers[:n])
	if n == len(t.to) {
		return answer{}, l
	}
	if !l.Usable() || l.spent() {
		fill(answers[n:], answer{err: errNotSent, remote: l.remote()})
		return answer{}, l
	}
	r.over(work, l, t.part(n, len(t.to)-n), answers[n:])
	return answer{}, l
}

// worthAnotherHost tells whether the error is about the host and not about the
// message: the line broke early, or MAIL was put off.
func worthAnotherHost(err error) bool {
	var lost *smtpclient.Lost
	if errors.As(err, &lost) {
		return !lost.Unknown
	}
	return temporary(err) && inReplyTo(err, "MAIL")
}

// inReplyTo tells whether an error is a host's answer to a verb.
func inReplyTo(err error, verb smtpclient.InReplyTo) bool {
	var refusal *smtp.Refusal
	var step smtpclient.InReplyTo
	return errors.As(err, &refusal) && errors.As(err, &step) && step == verb
}

func allUnanswered(refused []error) bool {
	for _, err := range refused {
		if err != nil {
			return false
		}
	}
	return true
}

// graver keeps the trouble that leaves hope, if there is one.
func graver(a, b answer) answer {
	if a.err != nil && temporary(a.err) && !temporary(b.err) {
		return a
	}
	return b
}

// temporary tells whether an error may pass. What is neither a peer's word
// nor ours is trouble of the moment.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	if errors.As(err, &t) {
		return t.Temporary()
	}
	return true
}

func fill(answers []answer, with answer) []answer {
	for i := range answers {
		answers[i] = with
	}
	return answers
}
