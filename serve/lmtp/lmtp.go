// Package lmtp is the door for mail from another mail system on our side, such
// as a Postfix in front of us: it has a queue of its own, and wants to know of
// each recipient whether the message is in the mailbox. It binds the SMTP
// machine, speaking LMTP, to flow/receive. RFC 2033
//
// Whoever reaches the door is trusted to deliver to our own addresses, and to
// nothing else. It must not be open to strangers, and never on port 25
// (RFC 2033 §5).
package lmtp

import (
	"context"
	"errors"
	"io"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/receive"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/store/trace"
)

// Door gives what makes a session for each connection. The hostname stands in
// Received fields.
func Door(r *receive.Receiver, hostname string) smtpserver.Newer {
	return func(_ context.Context, info *smtpserver.Info) (smtpserver.Session, error) {
		return &session{receiver: r, hostname: hostname, info: info, refusals: trace.Gather(r.Trace())}, nil
	}
}

// A session is one connection and at most one transaction.
type session struct {
	receiver   *receive.Receiver
	hostname   string
	info       *smtpserver.Info
	refusals   *trace.Refusals
	envelope   mail.Envelope
	recipients []deliver.Recipient
	message    string // the id, once it has one
}

var _ smtpserver.Distributor = (*session)(nil)

func (s *session) Hello(context.Context, string, bool) error { return nil }

// Authenticated is never asked: the door offers no AUTH.
func (s *session) Authenticated(context.Context, sasl.Identity) error { return notHere }

var notHere = &smtp.Refusal{Code: 502, Enhanced: smtp.Enhanced{5, 5, 1}, Text: "not over LMTP"}

func (s *session) Mail(_ context.Context, m smtp.Mail) error {
	s.Reset()
	s.envelope = m.Envelope(time.Now())
	return nil
}

func (s *session) Rcpt(ctx context.Context, r smtp.Rcpt) error {
	to, err := s.receiver.Recipient(ctx, r.Recipient())
	if err != nil {
		s.note(s.envelope.From, r.To, err)
		return err
	}
	s.recipients = append(s.recipients, to)
	return nil
}

// Data is not asked: over LMTP it is DataEach.
func (s *session) Data(context.Context, io.Reader) (smtp.Reply, error) { return smtp.Reply{}, notHere }

func (s *session) DataEach(ctx context.Context, body io.Reader) ([]smtp.Reply, error) {
	hop := deliver.Hop{
		Hello: s.info.Hello, Addr: s.info.Addr(), By: s.hostname,
		Protocol: s.info.Protocol(), TLS: s.info.TLS, Priority: s.envelope.Priority, Solicit: s.envelope.Solicit,
	}
	id, outcomes, err := s.receiver.MessageEach(ctx, s.envelope, s.recipients, hop, body)
	to := s.recipients
	s.message = id
	s.Reset()
	if err != nil {
		return nil, err
	}
	replies := make([]smtp.Reply, len(outcomes))
	for i, err := range outcomes {
		replies[i] = s.reply(id, to[i].Address, err)
	}
	return replies, nil
}

// reply says what has become of the message for one recipient.
func (s *session) reply(id string, to mail.Address, err error) smtp.Reply {
	var refusal *smtp.Refusal
	switch {
	case err == nil:
		return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Text: "<" + to.String() + "> has it as " + id}
	case errors.As(err, &refusal):
		s.info.Log.Info("message refused", obs.Msg, id, obs.Rcpt, to.String(), obs.Reply, refusal.Error())
		r := refusal.Reply()
		r.Text = "<" + to.String() + "> " + r.Text
		return r
	}
	s.info.Log.Error("message not delivered", obs.Msg, id, obs.Rcpt, to.String(), obs.Err, err)
	r := smtp.Trouble("local trouble, try later", err).Reply()
	r.Text = "<" + to.String() + "> " + r.Text
	return r
}

// Verify and Expand are nobody's business here.
func (s *session) Verify(context.Context, string) (smtp.Reply, error) { return smtp.Reply{}, notHere }

func (s *session) Expand(context.Context, string) (smtp.Reply, error) { return smtp.Reply{}, notHere }

// Declined implements smtpserver.Bystander.
func (s *session) Declined(cmd smtp.Command, why *smtp.Refusal) {
	switch cmd := cmd.(type) {
	case smtp.Mail:
		s.note(cmd.From, mail.Address{}, why)
	case smtp.Rcpt:
		s.note(s.envelope.From, cmd.To, why)
	}
}

// note remembers a refusal, for the trace.
func (s *session) note(from, to mail.Address, why error) {
	s.refusals.Add(trace.Event{
		Time: time.Now(), Service: "lmtp", Remote: s.info.Addr().String(), Hello: s.info.Hello, From: from.String(), Reason: why.Error(),
	}, to.String())
}

func (s *session) Reset() {
	s.refusals.Tell(context.Background(), s.message)
	s.envelope, s.recipients, s.message = mail.Envelope{}, nil, ""
}

func (s *session) Close() { s.Reset() }
