// Package submission is the door for mail from our own users: ports 587 and
// 465. It binds the SMTP machine to flow/submit. RFC 6409
package submission

import (
	"context"
	"io"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/spam"
	"waxwing/flow/submit"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/store/trace"
)

// Door gives what makes a session for each connection. The hostname stands in
// Received fields.
func Door(s *submit.Submitter, hostname string) smtpserver.Newer {
	return func(ctx context.Context, info *smtpserver.Info) (smtpserver.Session, error) {
		checks, err := s.Filters().Begin(ctx, info)
		if err != nil {
			return nil, err
		}
		return &session{submitter: s, hostname: hostname, info: info, checks: checks, refusals: trace.Gather(s.Trace())}, nil
	}
}

// A session is one connection and at most one transaction.
type session struct {
	submitter  *submit.Submitter
	hostname   string
	info       *smtpserver.Info
	checks     *spam.Dialogue
	refusals   *trace.Refusals
	envelope   mail.Envelope
	recipients []deliver.Recipient
	message    string         // the id, once it has one
	entered    mail.AccountID // that has been counted; zero before the login
}

// errNotLoggedIn refuses what strangers may not do. RFC 4954 §6, RFC 6409 §4.3
var errNotLoggedIn = &smtp.Refusal{Code: 530, Enhanced: smtp.Enhanced{5, 7, 0}, Text: "log in first"}

func (s *session) Hello(ctx context.Context, name string, _ bool) error {
	return s.checks.Hello(ctx, name)
}

func (s *session) Authenticated(_ context.Context, who sasl.Identity) error {
	if err := s.submitter.Enter(who.Account, s.info.Addr()); err != nil {
		s.noteOf(who, mail.Address{}, "", err)
		return err
	}
	s.entered = who.Account
	return nil
}

func (s *session) Mail(ctx context.Context, m smtp.Mail) error {
	s.Reset()
	err := s.begin(ctx, m)
	if err != nil {
		s.note(m.From, "", err)
	}
	return err
}

// begin decides whether a transaction may begin.
func (s *session) begin(ctx context.Context, m smtp.Mail) error {
	if s.info.Identity == nil {
		return errNotLoggedIn
	}
	if err := s.submitter.Sender(ctx, *s.info.Identity, m.From); err != nil {
		return err
	}
	if err := s.submitter.Allow(ctx, *s.info.Identity, s.info.Addr(), 0); err != nil {
		return err
	}
	envelope := m.Envelope(time.Now())
	if !envelope.HoldUntil.IsZero() {
		if err := s.submitter.Hold(ctx, *s.info.Identity, m.Size); err != nil {
			return err
		}
	}
	if err := s.checks.Mail(ctx, m); err != nil {
		return err
	}
	s.envelope = envelope
	return nil
}

func (s *session) Rcpt(ctx context.Context, r smtp.Rcpt) error {
	err := s.add(ctx, r)
	if err != nil {
		s.note(s.envelope.From, r.To.String(), err)
	}
	return err
}

// Declined implements smtpserver.Bystander.
func (s *session) Declined(cmd smtp.Command, why *smtp.Refusal) {
	switch cmd := cmd.(type) {
	case smtp.Mail:
		s.note(cmd.From, "", why)
	case smtp.Rcpt:
		s.note(s.envelope.From, cmd.To.String(), why)
	}
}

// note remembers a refusal, for the trace. Who has not logged in is nobody.
func (s *session) note(from mail.Address, to string, why error) {
	if who := s.info.Identity; who != nil {
		s.noteOf(*who, from, to, why)
	}
}

func (s *session) noteOf(who sasl.Identity, from mail.Address, to string, why error) {
	s.refusals.Add(trace.Event{
		Time: time.Now(), Service: "submission", Remote: s.info.Addr().String(), Hello: s.info.Hello, Account: who.Account,
		From: from.String(), Reason: why.Error(),
	}, to)
}

// add decides whether a recipient may be written to.
func (s *session) add(ctx context.Context, r smtp.Rcpt) error {
	to, err := s.submitter.Recipient(ctx, r.Recipient())
	if err != nil {
		s.checks.Refused(ctx, r, err)
		return err
	}
	if err := s.checks.Rcpt(ctx, r); err != nil {
		return err
	}
	if s.info.Identity == nil {
		return errNotLoggedIn
	}
	if err := s.submitter.Allow(ctx, *s.info.Identity, s.info.Addr(), len(s.recipients)+1); err != nil {
		return err
	}
	s.recipients = append(s.recipients, to)
	return nil
}

func (s *session) Data(ctx context.Context, body io.Reader) (smtp.Reply, error) {
	if s.info.Identity == nil {
		return smtp.Reply{}, errNotLoggedIn
	}
	hop := deliver.Hop{
		Hello: s.info.Hello, Addr: s.info.Addr(), By: s.hostname,
		Protocol: s.info.Protocol(), TLS: s.info.TLS, Priority: s.envelope.Priority, Solicit: s.envelope.Solicit,
	}
	id, err := s.submitter.Message(ctx, *s.info.Identity, s.checks, s.envelope, s.recipients, hop, body)
	s.message = id
	s.Reset()
	if err != nil {
		return smtp.Reply{}, err
	}
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Text: "accepted as " + id}, nil
}

// Verify tells users the truth. RFC 5321 §3.5.3
func (s *session) Verify(ctx context.Context, who string) (smtp.Reply, error) {
	if s.info.Identity == nil {
		return smtp.Reply{
			Code: 252, Enhanced: smtp.Enhanced{2, 0, 0},
			Text: "cannot VRFY before you log in, but send some mail and it will be attempted",
		}, nil
	}
	return s.submitter.Verify(ctx, *s.info.Identity, who)
}

// Expand tells users who is behind an alias. RFC 5321 §3.5.2
func (s *session) Expand(ctx context.Context, list string) (smtp.Reply, error) {
	if s.info.Identity == nil {
		return smtp.Reply{
			Code: 252, Enhanced: smtp.Enhanced{2, 0, 0},
			Text: "cannot EXPN before you log in, but send some mail and it will be attempted",
		}, nil
	}
	return s.submitter.Expand(ctx, *s.info.Identity, list)
}

func (s *session) Reset() {
	s.refusals.Tell(context.Background(), s.message)
	s.envelope, s.recipients, s.message = mail.Envelope{}, nil, ""
}

// Unknown implements smtpserver.Listener.
func (s *session) Unknown(ctx context.Context, line string) error { return s.checks.Unknown(ctx, line) }

func (s *session) Close() {
	if s.entered != 0 {
		s.submitter.Leave(s.entered)
	}
	s.Reset()
	s.checks.Close()
}
