package spam

import (
	"context"
	"errors"
	"time"

	"waxwing/flow/deliver"
	"waxwing/obs"
	"waxwing/proto/milter"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/store/trace"
)

// A Dialogue tells filters of one client's connection, as it goes on. Its
// methods are called one at a time, those of a nil Dialogue do nothing. Where
// they give a *smtp.Refusal it is the filter's word, or that it is down.
type Dialogue struct {
	filters *Filters
	info    *smtpserver.Info
	milters []*listener

	// Of the transaction.
	id       string
	mail     smtp.Mail
	rcpt     smtp.Rcpt     // the one that is told of
	refused  *smtp.Refusal // why it was refused already
	discard  bool
	setAside bool
	findings []trace.Fact
}

// Begin starts a Dialogue with whoever is at the other end of info. A refusal
// is to be said in place of the greeting. The caller closes the Dialogue.
func (f *Filters) Begin(ctx context.Context, info *smtpserver.Info) (*Dialogue, error) {
	if f == nil {
		return nil, nil
	}
	d := &Dialogue{filters: f, info: info}
	for i := range f.o.Milters {
		d.milters = append(d.milters, &listener{Milter: f.o.Milters[i], dialogue: d})
	}
	for _, l := range d.milters {
		verdict, err := l.connect(ctx)
		if err != nil {
			if ctx.Err() != nil {
				d.Close()
				return nil, ctx.Err()
			}
			l.fail(err) // a client is not turned away before it has said what it wants
			continue
		}
		if err := l.heed(aboutConnection, verdict); err != nil {
			d.Close()
			return nil, greeting(err)
		}
	}
	return d, nil
}

// greeting gives a refusal with the code that stands in place of a greeting.
// RFC 5321 §3.1, §4.3.2
func greeting(err error) error {
	var r *smtp.Refusal
	if !errors.As(err, &r) {
		return err
	}
	said := *r
	said.Code = 554
	if r.Temporary() {
		said.Code = 421
	}
	return &said
}

// Hello tells of HELO or EHLO.
func (d *Dialogue) Hello(ctx context.Context, name string) error {
	if d == nil {
		return nil
	}
	return d.each(ctx, aboutConnection, func(l *listener) (milter.Verdict, error) { return l.conn.Helo(ctx, name) })
}

// Mail begins a transaction.
func (d *Dialogue) Mail(ctx context.Context, m smtp.Mail) error {
	if d == nil {
		return nil
	}
	d.forget(ctx)
	d.id, d.mail = deliver.NewID(time.Now()), m
	for _, l := range d.milters {
		l.revive(ctx)
	}
	args := arguments(string(m.Append(nil)))
	return d.each(ctx, aboutMessage, func(l *listener) (milter.Verdict, error) { return l.conn.Mail(ctx, args...) })
}

// Rcpt adds a recipient.
func (d *Dialogue) Rcpt(ctx context.Context, r smtp.Rcpt) error {
	if d == nil || d.discard {
		return nil
	}
	d.rcpt, d.refused = r, nil
	args := arguments(string(r.Append(nil)))
	return d.each(ctx, aboutRecipient, func(l *listener) (milter.Verdict, error) { return l.conn.Rcpt(ctx, false, args...) })
}

// Refused tells of a recipient that has been refused already, those who want
// to hear of it.
func (d *Dialogue) Refused(ctx context.Context, r smtp.Rcpt, why error) {
	if d == nil || d.discard {
		return
	}
	refusal, ok := errors.AsType[*smtp.Refusal](why)
	if !ok {
		return
	}
	d.rcpt, d.refused = r, refusal
	args := arguments(string(r.Append(nil)))
	for _, l := range d.milters {
		if l.listens() {
			if _, err := l.conn.Rcpt(ctx, true, args...); err != nil { // what it says changes nothing
				l.fail(err)
			}
		}
	}
}

// Unknown tells of a command that is none; a refusal is what to answer.
func (d *Dialogue) Unknown(ctx context.Context, line string) error {
	if d == nil {
		return nil
	}
	return d.each(ctx, aboutConnection, func(l *listener) (milter.Verdict, error) { return l.conn.Unknown(ctx, line) })
}

// Findings are what the filters have said about the message, for the trace.
func (d *Dialogue) Findings() []trace.Fact {
	if d == nil {
		return nil
	}
	return d.findings
}

// found notes what a filter has said.
func (d *Dialogue) found(who, what string) {
	d.findings = append(d.findings, trace.Fact{Name: who, Value: what})
}

// Close ends the Dialogue.
func (d *Dialogue) Close() {
	if d == nil {
		return
	}
	for _, l := range d.milters {
		l.close()
	}
}

// forget ends a transaction with the filters. They are told of one that was
// given up when the next begins: nobody waits for it.
func (d *Dialogue) forget(ctx context.Context) {
	for _, l := range d.milters {
		l.passMessage = false
		if l.conn != nil {
			if err := l.conn.Abort(ctx); err != nil {
				l.fail(err)
			}
		}
	}
	d.discard, d.setAside, d.findings = false, false, nil
}

// scope is what a verdict is about.
type scope int

const (
	aboutConnection scope = iota
	aboutMessage
	aboutRecipient
)

// each asks the milters in their order, until one refuses or throws away.
func (d *Dialogue) each(ctx context.Context, s scope, ask func(*listener) (milter.Verdict, error)) error {
	for _, l := range d.milters {
		if !l.listens() {
			if err := l.missed(s); err != nil {
				return err
			}
			continue
		}
		verdict, err := ask(l)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.fail(err)
			if err := l.missed(s); err != nil {
				return err
			}
			continue
		}
		if err := l.heed(s, verdict); err != nil || d.discard {
			return err
		}
	}
	return nil
}

// heed does what a verdict says.
func (l *listener) heed(s scope, v milter.Verdict) error {
	switch v.Reply {
	case milter.Accept:
		if s == aboutConnection {
			l.passConnection = true
		} else {
			l.passMessage = true
		}
	case milter.Discard:
		l.dialogue.discard = true
		l.found("throw it away")
	case milter.Continue, milter.Skip:
	default:
		r := refusalOf(v, s)
		l.found("refuse it: " + r.Reply().String())
		l.dialogue.filters.o.Log.Info("refused by a milter", obs.Remote, l.dialogue.info.Addr().String(),
			"milter", l.Address, obs.Reply, r.Reply())
		return r
	}
	return nil
}

// refusalOf puts a verdict in SMTP's words.
func refusalOf(v milter.Verdict, s scope) *smtp.Refusal {
	switch v.Reply {
	case milter.Custom:
		r := &smtp.Refusal{Code: v.Code, Enhanced: smtp.Enhanced(v.Enhanced), Text: v.Text}
		if r.Text == "" {
			r.Text = "refused"
		}
		if r.Enhanced == (smtp.Enhanced{}) {
			r.Enhanced = smtp.Enhanced{uint16(v.Code / 100), 7, 1}
		}
		return r
	case milter.TempFail:
		return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 7, 1}, Text: "not now, try again later"}
	case milter.Shutdown, milter.ConnFail:
		return &smtp.Refusal{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "try again later"}
	}
	text := "this message is refused"
	switch s {
	case aboutConnection:
		text = "this connection is refused"
	case aboutRecipient:
		text = "this recipient is refused"
	}
	return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: text}
}
