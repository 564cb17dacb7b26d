package deliver

import (
	"context"
	"slices"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
)

// A local is one account to deliver to, with the recipient that led there.
type local struct {
	directory.Target
	recipient mail.Recipient
}

// A forward is one of our addresses that leads elsewhere.
type forward struct {
	recipient mail.Recipient
	targets   []mail.Address
}

// A plan is who gets a message in which way.
type plan struct {
	locals   []local // each account once
	relayed  []mail.Recipient
	forwards []forward
}

func (p plan) remote() bool { return len(p.relayed)+len(p.forwards) > 0 }

// planFor sorts the recipients. An account that several recipients lead to
// gets one copy.
func planFor(to []Recipient) plan {
	var p plan
	seen := map[mail.AccountID]bool{}
	for _, r := range to {
		if !r.Local() {
			p.relayed = append(p.relayed, r.Recipient)
			continue
		}
		for _, target := range r.Route.Accounts {
			if !seen[target.Account] {
				seen[target.Account] = true
				p.locals = append(p.locals, local{target, r.onward()})
			}
		}
		if len(r.Route.Forwards) > 0 {
			p.forwards = append(p.forwards, forward{r.onward(), r.Route.Forwards})
		}
	}
	return p
}

// breakLoops takes out forwards that the message has been through already. It
// refuses the message if nobody is left. RFC 5321 §6.3
func (p *plan) breakLoops(a *Arrival) error {
	if len(p.forwards) == 0 {
		return nil
	}
	header, err := a.Header()
	if err != nil {
		return err
	}
	been := map[string]bool{}
	for f := range message.Fields(header) {
		if f.Is("Delivered-To") {
			been[strings.ToLower(f.Text())] = true
		}
	}
	if len(been) == 0 {
		return nil
	}
	p.forwards = slices.DeleteFunc(p.forwards, func(f forward) bool {
		return been[strings.ToLower(f.recipient.Address.String())]
	})
	if len(p.locals)+len(p.relayed)+len(p.forwards) == 0 {
		return &smtp.Refusal{
			Code: 554, Enhanced: smtp.Enhanced{5, 4, 6},
			Text: "forwarding loop: this message has been forwarded from this address before",
		}
	}
	return nil
}

// submissions gives what has to go into the outqueue.
func (d *Deliverer) submissions(ctx context.Context, now time.Time, p plan, a *Arrival, env mail.Envelope, trace []byte) ([]outqueue.Submission, error) {
	var all []outqueue.Submission
	delimiters := d.verpFor(a, env)
	if len(p.relayed) > 0 {
		all = append(all, apart(submission(a, env, trace, p.relayed), delimiters)...)
	}
	for _, f := range p.forwards {
		// The mark by which the message is known if it comes back.
		mark := append([]byte("Delivered-To: "+f.recipient.Address.String()+"\r\n"), trace...)
		mark = append(d.seal(ctx, now, a, mark, f.recipient.Address.Domain), mark...)
		parts, err := d.onwardParts(ctx, now, f, env.From)
		if err != nil {
			return nil, &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "cannot forward the message just now, try later", Err: err}
		}
		for _, part := range parts {
			env.From = part.from
			all = append(all, apart(submission(a, env, mark, part.to), delimiters)...)
		}
	}
	return all, nil
}

func submission(a *Arrival, env mail.Envelope, trace []byte, to []mail.Recipient) outqueue.Submission {
	env.To = to
	// Clients send 8-bit octets without a word; the next host is told, or
	// gets what it can take. RFC 6152 §3
	env.EightBit = env.EightBit || a.EightBit
	if a.NUL && a.Origin.Service == "submission" {
		// No text has a NUL, only binary content does. RFC 2045 §2.7 to §2.9.
		// What others have signed goes on as it came.
		env.EightBit, env.Binary = true, true
	}
	env.OptionalTLS = !env.RequireTLS && (env.OptionalTLS || a.OptionalTLS) // RFC 8689 §4.1
	s := outqueue.Submission{Message: a.ID, Envelope: env, Body: a.Body, Prefix: trace, Origin: a.Origin}
	if a.Token != "" {
		s.Token = a.token(to[0].Address.String())
	}
	return s
}

// redelivery queues a second try for one of our own accounts.
func redelivery(a *Arrival, env mail.Envelope, trace []byte, l local) outqueue.Submission {
	s := submission(a, env, trace, []mail.Recipient{l.recipient})
	s.Account = l.Account
	s.Token = a.token("again " + l.Account.String())
	return s
}
