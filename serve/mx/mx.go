// Package mx is the door for mail from other servers: port 25. It binds the
// SMTP machine to flow/receive.
package mx

import (
	"context"
	"io"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/receive"
	"waxwing/flow/spam"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
)

// Door gives what makes a session for each connection. The hostname stands in
// Received fields.
func Door(r *receive.Receiver, hostname string) smtpserver.Newer {
	return func(ctx context.Context, info *smtpserver.Info) (smtpserver.Session, error) {
		visit, err := r.Visit(ctx, receive.Caller{
			Addr: info.Addr(), Local: info.LocalAddr(), Name: info.ReverseName, Log: info.Log,
		})
		if err != nil {
			return nil, err
		}
		checks, err := r.Filters().Begin(ctx, info)
		if err != nil {
			visit.Close()
			return nil, err
		}
		visit.Check(checks)
		s := &session{visit: visit, checks: checks, hostname: hostname, info: info}
		if info.Hello != "" {
			visit.Hello(info.Hello) // a proxy has told it
		}
		return s, nil
	}
}

// A session is one connection and at most one transaction.
type session struct {
	visit      *receive.Visit
	checks     *spam.Dialogue
	hostname   string
	info       *smtpserver.Info
	envelope   mail.Envelope
	recipients []deliver.Recipient
}

// GreetingDelay implements smtpserver.Greeter.
func (s *session) GreetingDelay() time.Duration { return s.visit.GreetingDelay() }

// EarlyTalker implements smtpserver.Greeter.
func (s *session) EarlyTalker(context.Context) error { return s.visit.EarlyTalker() }

func (s *session) Hello(ctx context.Context, name string, _ bool) error {
	s.visit.Hello(name)
	return s.checks.Hello(ctx, name)
}

// Authenticated is never asked: port 25 offers no AUTH.
func (s *session) Authenticated(context.Context, sasl.Identity) error {
	return &smtp.Refusal{Code: 502, Enhanced: smtp.Enhanced{5, 5, 1}, Text: "log in on port 587 or 465"}
}

func (s *session) Mail(ctx context.Context, m smtp.Mail) error {
	s.Reset()
	if err := s.visit.Mail(m.From); err != nil {
		return err
	}
	if err := s.checks.Mail(ctx, m); err != nil {
		s.visit.Note(mail.Address{}, err)
		return err
	}
	s.envelope = m.Envelope(time.Now())
	return nil
}

func (s *session) Rcpt(ctx context.Context, r smtp.Rcpt) error {
	recipient := r.Recipient()
	if ip, ok := r.To.Literal(); ok && ip == s.info.LocalAddr() {
		// Our own address names us as a domain of ours does. RFC 5321 §4.1.3
		recipient.Address.Domain = ""
	}
	to, err := s.visit.Recipient(ctx, recipient)
	if err != nil {
		s.checks.Refused(ctx, r, err)
		return err
	}
	if err := s.checks.Rcpt(ctx, r); err != nil {
		s.visit.Note(r.To, err)
		return err
	}
	s.recipients = append(s.recipients, to)
	return nil
}

func (s *session) Data(ctx context.Context, body io.Reader) (smtp.Reply, error) {
	hop := deliver.Hop{
		Hello: s.info.Hello, Addr: s.info.Addr(), By: s.hostname,
		Protocol: s.info.Protocol(), TLS: s.info.TLS, Priority: s.envelope.Priority, Solicit: s.envelope.Solicit,
	}
	id, err := s.visit.Message(ctx, s.envelope, s.recipients, hop, body)
	s.Reset()
	if err != nil {
		return smtp.Reply{}, err
	}
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Text: "delivered as " + id}, nil
}

// Verify says nothing to strangers. RFC 5321 §7.3
func (s *session) Verify(context.Context, string) (smtp.Reply, error) {
	return smtp.Reply{
		Code: 252, Enhanced: smtp.Enhanced{2, 0, 0},
		Text: "cannot VRFY for strangers, but send some mail and it will be attempted",
	}, nil
}

// Expand says nothing to strangers. RFC 5321 §7.3
func (s *session) Expand(context.Context, string) (smtp.Reply, error) {
	return smtp.Reply{
		Code: 252, Enhanced: smtp.Enhanced{2, 0, 0},
		Text: "cannot EXPN for strangers, but send some mail and it will be attempted",
	}, nil
}

func (s *session) Reset() {
	s.envelope, s.recipients = mail.Envelope{}, nil
	s.visit.Reset()
}

// Declined implements smtpserver.Bystander.
func (s *session) Declined(cmd smtp.Command, why *smtp.Refusal) {
	switch cmd := cmd.(type) {
	case smtp.Mail:
		s.visit.NoteSender(cmd.From, why)
	case smtp.Rcpt:
		s.visit.Note(cmd.To, why)
	}
}

// Unknown implements smtpserver.Listener.
func (s *session) Unknown(ctx context.Context, line string) error { return s.checks.Unknown(ctx, line) }

func (s *session) Close() {
	s.checks.Close()
	s.visit.Close()
}
