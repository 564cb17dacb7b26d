package relay

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/store/outqueue"
)

// maxAddresses is how many addresses of one host are tried.
const maxAddresses = 4

// A transfer is one message to the recipients of one domain.
type transfer struct {
	mail   smtp.Mail
	to     []smtp.Rcpt
	open   func() io.Reader // the message, from the start
	body   io.ReaderAt      // the same
	size   mail.ByteCount
	by     mail.DeliverBy
	anyTLS bool                // TLS-Required: No
	call   func(outqueue.Call) // is told of each call

	// sign gives what to put before the message if it had to be converted.
	sign func(ctx context.Context, now time.Time, converted func() io.Reader) []byte
}

// noteCall tells of a call that has come to its end.
func (t transfer) noteCall(began time.Time, remote string, l *link, answers []answer) {
	text := ""
	if len(answers) > 0 {
		text = describe(answers[0])
	}
	t.call(outqueue.Call{Remote: remote, TLS: l.secured(), Text: text, Took: time.Since(began)})
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

	network bool   // nobody could be talked to
	hop     string // where there was no place

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
func (r *Relay) send(ctx, work context.Context, h hop, t transfer, answers []answer) *link {
	var trouble answer // of the hosts that could not be talked to
	for _, host := range h.hosts {
		addrs, d, err := r.approach(ctx, h, host, t)
		if err != nil {
			trouble = graver(trouble, answer{err: err, network: temporary(err)})
			continue
		}
		if d.refuse != nil {
			trouble = graver(trouble, r.turnedAway(h, host, d, t))
			continue
		}
		w, used := r.sendTo(ctx, work, h, host, addrs, d, t, answers)
		if used != nil {
			return used
		}
		trouble = graver(trouble, w)
		if ctx.Err() != nil || errors.Is(w.err, errOurselves) {
			break
		}
	}
	fill(answers, trouble)
	return nil
}

// reachable leaves the addresses that the route's own addresses can reach.
func (r Route) reachable(host string, addrs []netip.Addr) ([]netip.Addr, error) {
	if len(r.Sources) == 0 {
		return addrs, nil
	}
	kept := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		return !slices.ContainsFunc(r.Sources, func(s netip.Addr) bool { return s.Is4() == a.Is4() })
	})
	if len(kept) == 0 {
		return nil, ownRefusal(4, 4, 1, "%s has no address of a family that the route has an address for", host)
	}
	return kept, nil
}

// sendTo sends to one host, over a kept connection or a new one. If another
// host may do better it gives the trouble that there was; otherwise the answers
// are complete, and it gives the link.
func (r *Relay) sendTo(ctx, work context.Context, h hop, host string, addrs []netip.Addr, d demand, t transfer, answers []answer) (trouble answer, used *link) {
	if l := r.dialer.kept(ctx, host, addrs, h.route, d); l != nil {
		w, used := r.try(work, l, t, answers)
		if used != nil {
			return w, used
		}
		// A kept connection that the host has closed meanwhile says nothing
		// about the host.
		var lost *smtpclient.Lost
		if !errors.As(w.err, &lost) {
			trouble = w
			at := slices.Index(addrs, l.at.Addr())
			addrs = slices.Delete(slices.Clone(addrs), at, at+1)
		}
	}
	left := addrs[:0:0]
	for _, addr := range addrs {
		if w, ok := r.down.trouble(r.dialer.at(addr, h.route).String(), time.Now()); ok {
			trouble = graver(trouble, w)
		} else {
			left = append(left, addr)
		}
	}
	calls := race{d: r.dialer, host: host, route: h.route, left: left, called: func(at netip.AddrPort, began time.Time, err error) {
		t.noteCall(began, remote(host, at), nil, []answer{{err: err}})
	}}
	defer func() {
		for _, addr := range calls.left { // nobody has probed them
			r.down.release(r.dialer.at(addr, h.route).String())
		}
	}()
	for len(calls.left) > 0 && ctx.Err() == nil {
		conn, at, w := calls.next(ctx)
		if conn == nil {
			return graver(trouble, w), nil
		}
		began := time.Now()
		from := conn.LocalAddr()
		l, err := r.dialer.open(ctx, conn, host, at, h.route, d)
		r.met(h, d, host, from, at, l, err)
		if err != nil {
			w := answer{err: err, remote: remote(host, at), network: !said(err) && !isUnmet(err)}
			t.noteCall(began, w.remote, nil, []answer{w})
			trouble = graver(trouble, w)
			if errors.Is(err, errOurselves) {
				return w, nil
			}
			continue
		}
		l.Heed(work)
		w, used := r.try(work, l, t, answers)
		if used != nil {
			return w, used
		}
		trouble = graver(trouble, w)
	}
	return trouble, nil
}

// try sends over a link. If another host may do better it gives the trouble
// that there was; otherwise the answers are complete, and it gives the link.
func (r *Relay) try(work context.Context, l *link, t transfer, answers []answer) (trouble answer, used *link) {
	began := time.Now()
	if unfit := l.unfit(t, time.Now()); unfit != nil {
		own := answer{err: unfit} // our own finding
		t.noteCall(began, l.remote(), l, []answer{own})
		if t.by.Return && !t.by.IsZero() {
			// No other host is asked for what this one cannot promise.
			// RFC 2852 §7
			fill(answers, own)
			return answer{}, l
		}
		r.dialer.pool.put(work, l, time.Now())
		return own, nil
	}
	n := l.most(t.to)
	outcome, err := l.transmit(work, t.part(0, n))
	l.sent++
	if err != nil && worthAnotherHost(err) && allUnanswered(outcome.Refused) {
		w := answer{err: err, remote: l.remote(), network: !said(err)}
		t.noteCall(began, l.remote(), l, []answer{w})
		r.dialer.pool.put(work, l, time.Now())
		return w, nil
	}
	l.note(outcome, err, answers[:n])
	defer func() { t.noteCall(began, l.remote(), l, answers) }()
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

// saysTooMuch tells whether a host says that it is too much for it now.
func saysTooMuch(err error) bool {
	var refusal *smtp.Refusal
	if !said(err) || !errors.As(err, &refusal) || !refusal.Temporary() {
		return false
	}
	return refusal.Code == 421 || !inReplyTo(err, "RCPT")
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
