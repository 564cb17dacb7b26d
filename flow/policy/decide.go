package policy

import (
	"fmt"
	"math"
	"strings"
	"time"

	"waxwing/proto/smtp"
	"waxwing/store/peers"
	"waxwing/trust/dnsbl"
)

// Connect decides about a host that has connected, before the greeting. The
// verdict's Delay is how long the greeting waits.
func (r Rules) Connect(h Host) Verdict {
	counts := h.Peer.Counts
	switch {
	case r.Trusts(h.Addr):
		return Verdict{}
	case h.Rule != nil && h.Rule.Allow:
		return Verdict{}
	case h.Rule != nil:
		return refuse(554, 5, 7, 1, "no mail is taken from your address", "blocked by an administrator: %s", reasonOf(h.Rule))
	case over(counts[peers.Connections], r.Connections):
		return refuse(421, 4, 7, 0, "too many connections from your address, try later",
			"%.0f connections in a minute", counts[peers.Connections])
	case over(h.guesses(), r.MaxGuesses):
		return r.tooManyGuesses(h)
	case h.Known():
		return Verdict{}
	}
	return Verdict{Delay: r.GreetingDelay}
}

// Early refuses a host that speaks before it is greeted. RFC 5321 §3.1: it
// MUST wait for the greeting.
func (r Rules) Early(h Host) Verdict {
	if !h.Early || r.Trusts(h.Addr) {
		return Verdict{}
	}
	return refuse(554, 5, 5, 1, "you must wait for the greeting", "it spoke before the greeting, as programs do that only send spam")
}

// Mail decides whether a host may begin a message.
func (r Rules) Mail(h Host) Verdict {
	counts := h.Peer.Counts
	switch {
	case r.Trusts(h.Addr), h.Rule != nil && h.Rule.Allow:
		return Verdict{}
	case over(counts[peers.Messages], r.Messages):
		return refuse(451, 4, 7, 1, "too many messages from your address in an hour, try later",
			"%.0f messages in an hour", counts[peers.Messages])
	case over(counts[peers.Recipients], r.Recipients):
		return refuse(451, 4, 7, 1, "too many recipients from your address in an hour, try later",
			"%.0f recipients in an hour", counts[peers.Recipients])
	}
	return Verdict{}
}

// Rcpt decides whether a host may write to a recipient. Whether the recipient
// exists is looked at only where that makes no difference that a guesser could
// see: the answer for one that does not exist is the caller's, after the
// verdict's Delay.
func (r Rules) Rcpt(h Host, t Transaction, now time.Time) Verdict {
	if r.Trusts(h.Addr) {
		return Verdict{}
	}
	v := Verdict{Delay: r.delay(h)}
	switch {
	case over(h.guesses(), r.MaxGuesses) && !allowed(h):
		v = r.tooManyGuesses(h)
	case t.From.IsNull() && t.Recipients > 0:
		// A notification has one recipient. RFC 5321 §4.5.5, §6.1. An honest
		// sender tries the others again, one by one.
		v.Refusal = refuse(452, 4, 5, 3, "a message from <> goes to one recipient at a time",
			"a second recipient for the null sender").Refusal
	case allowed(h):
	default:
		v.Refusal = r.bad(h, t).Refusal
	}
	if v.Refusal != nil || !t.Exists {
		return v
	}
	return r.greylist(v, h, t, now)
}

// bad refuses hosts and senders for what they are. Postmaster can be written
// to nevertheless: somebody must be able to ask why. RFC 5321 §4.5.1
func (r Rules) bad(h Host, t Transaction) Verdict {
	if strings.EqualFold(t.To.Local, "postmaster") {
		return Verdict{}
	}
	switch {
	case h.Rule != nil:
		return refuse(550, 5, 7, 1, "no mail is taken from you", "%s is blocked by an administrator: %s", h.Rule.Name, reasonOf(h.Rule))
	case t.SenderRule != nil && !t.SenderRule.Allow:
		return refuse(550, 5, 7, 1, "no mail is taken from this sender", "%s is blocked by an administrator: %s", t.SenderRule.Name, reasonOf(t.SenderRule))
	}
	if v := r.listed(h, t); v.Refusal != nil {
		return v
	}
	if r.ReverseName == Refuse && (h.Name.State == NameMissing || h.Name.State == NameMismatch) {
		// RFC 7372 §3.2: reverse DNS validation failed
		return refuse(550, 5, 7, 25, "your address needs a name in the DNS that leads back to it", "%s", h.Marks(r)[0])
	}
	// RFC 5321 §4.1.4 forbids to refuse because a name and an address do not
	// match; that is not looked at.
	if words := h.Hello.State.words(h.Hello.Name); words != "" && r.Hello == Refuse {
		return refuse(550, 5, 7, 1, "the name in your HELO or EHLO cannot be yours", "%s", words)
	}
	return Verdict{}
}

// listed refuses those whom block lists of enough weight hold, and no allow
// list.
func (r Rules) listed(h Host, t Transaction) Verdict {
	if r.ListScore <= 0 || t.SenderRule != nil && t.SenderRule.Allow && h.Name.State == NameConfirmed {
		return Verdict{}
	}
	score := 0
	var worst *dnsbl.Hit
	for _, hits := range [][]dnsbl.Hit{h.Lists, t.SenderLists} {
		for _, hit := range hits {
			if hit.List.Allow {
				return Verdict{}
			}
			if score += hit.List.Weight; worst == nil || hit.List.Weight > worst.List.Weight {
				worst = &hit
			}
		}
	}
	if score < r.ListScore || worst == nil {
		return Verdict{}
	}
	return refuse(550, 5, 7, 1, fmt.Sprintf("%s is on the block list %s", worst.About, worst.List.Zone),
		"%s, the lists weigh %d", worst, score)
}

// greylist puts off strangers. A program that only sends spam does not come
// back; a mail server does.
func (r Rules) greylist(v Verdict, h Host, t Transaction, now time.Time) Verdict {
	if !t.GreyAsked || !r.Greylists(h, t) {
		return v
	}
	waited := now.Sub(t.GreyFirst)
	if t.GreyPassed || waited >= r.GreyDelay {
		v.Came = true
		return v
	}
	left := (r.GreyDelay - waited).Truncate(time.Second) + time.Second
	v.Greylisted = true
	why := "it is not known yet"
	if t.Unasked {
		why = "a notification for somebody who has sent nothing lately"
	}
	if t.Denied {
		why = "the sender's domain does not let it send"
	}
	if marks := h.Marks(r); len(marks) > 0 {
		why = strings.Join(marks, "; ")
	}
	v.Refusal = refuse(451, 4, 7, 1, fmt.Sprintf("greylisted: try again in %d seconds", int(left/time.Second)),
		"greylisted: %s", why).Refusal
	return v
}

// Greylists tells whether a message is one that is put off at first, so that
// the greylist has to be asked.
func (r Rules) Greylists(h Host, t Transaction) bool {
	switch {
	case r.Greylist == GreyOff, r.Trusts(h.Addr), allowed(h), h.Known(), t.WrittenTo:
		return false
	case r.GreyPasses > 0 && h.Near.Counts[peers.Passed] >= float64(r.GreyPasses)-0.5:
		return false
	case r.Greylist == GreyStrangers:
		return true
	}
	return Public(h.Addr) && (t.Unasked || t.Denied && r.Trust.SPF != Ignore || len(h.Marks(r)) > 0)
}

// AsksSender tells whether it makes a difference for a host that the sender's
// domain forbids it to send.
func (r Rules) AsksSender(h Host, t Transaction) bool {
	return r.Trust.SPF != Ignore && Public(h.Addr) && !r.Greylists(h, t) && r.Greylist == GreySuspicious && t.Exists &&
		!r.Trusts(h.Addr) && !allowed(h) && !h.Known() && !t.WrittenTo
}

// delay is the tar pit: how long an answer about a recipient takes for a host
// that guesses. It grows with each guess.
func (r Rules) delay(h Host) time.Duration {
	guesses := h.guesses()
	if !over(guesses, r.Guesses) || allowed(h) {
		return 0
	}
	growth := math.Pow(1.2, guesses-float64(r.Guesses))
	return time.Duration(min(float64(r.Pause)*growth, float64(r.MaxPause)))
}

func (r Rules) tooManyGuesses(h Host) Verdict {
	return refuse(421, 4, 7, 0, "too many unknown recipients, try later",
		"%.0f unknown recipients in an hour: it guesses addresses", h.Peer.Counts[peers.Unknown])
}

// Submit decides whether an account may send a message, or name one more
// recipient.
func (r Rules) Submit(a Account, now time.Time) Verdict {
	if a.Paused != nil {
		return Verdict{Refusal: paused(a.Paused.Reason)}
	}
	if r.Trusts(a.Addr) {
		return Verdict{}
	}
	s, counts, n := r.Sending, a.Peer.Counts, float64(a.Recipients)
	today := counts[peers.SentToday]
	usual := max(counts[peers.SentUsually]-today, 0) / peers.Window(peers.SentUsually).Hours() * 24
	switch {
	case over(today+n, s.JumpFloor) && today+n > s.JumpFactor*usual:
		reason := fmt.Sprintf("it wrote to %.0f different addresses in a day, and used to write to %.0f", today+n, usual)
		return Verdict{Pause: reason, Refusal: paused(reason)}
	case over(counts[peers.Messages]+1, s.Messages):
		return refuse(451, 4, 7, 1, fmt.Sprintf("more than %d messages in an hour: try later", s.Messages),
			"%.0f messages in an hour", counts[peers.Messages])
	case over(counts[peers.Recipients]+n, s.Recipients):
		return refuse(451, 4, 7, 1, fmt.Sprintf("more than %d different addresses in an hour: try later", s.Recipients),
			"%.0f recipients in an hour", counts[peers.Recipients])
	case over(today+n, s.RecipientsADay):
		return refuse(451, 4, 7, 1, fmt.Sprintf("more than %d different addresses in a day: try tomorrow", s.RecipientsADay),
			"%.0f recipients in a day", today)
	}
	return Verdict{}
}

// paused is what the owner of a paused account is told. The reason is ours.
func paused(reason string) *smtp.Refusal {
	return refuse(450, 4, 7, 1, "sending is paused for this account; a message in your INBOX says why",
		"sending is paused: %s", reason).Refusal
}

func allowed(h Host) bool { return h.Rule != nil && h.Rule.Allow }

// over tells whether a counter is above a limit, of which zero is none.
// Counters are not whole.
func over(count float64, limit int) bool { return limit > 0 && count >= float64(limit)+0.5 }

func reasonOf(r *peers.Rule) string {
	if r.Reason == "" {
		return "no reason given"
	}
	return r.Reason
}
