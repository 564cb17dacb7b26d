// Package submit takes mail from our own users: ports 587 and 465. It checks
// that they write in their own name, mends what a client left out (RFC 6409
// §8), and hands the message to deliver.
package submit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/spam"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
	"waxwing/store/peers"
	"waxwing/store/trace"
)

// A Submitter takes mail from users. It is safe for concurrent use.
type Submitter struct {
	deliverer *deliver.Deliverer
	directory *directory.Directory
	blobs     blob.Store
	hostname  string
	log       *slog.Logger
	o         Options
	holds     holds
	sessions  sessions
}

// Options say what a Submitter permits.
type Options struct {
	// Hostname stands in the Message-IDs that it makes.
	Hostname string
	// Rules say how much an account may send, which Peers counts; without
	// Peers there is no limit.
	Rules policy.Rules
	Peers *peers.Store
	// Queue holds what an account sends that is paused. It goes with Peers.
	Queue *outqueue.Queue
	// MaxHeld is how much an account may have in Queue that is to be sent
	// later; 0 for no limit. RFC 4865 §6 (2)
	MaxHeld mail.ByteCount
	// MaxSessions is how many connections may be logged in to an account at
	// once; 0 for 200.
	MaxSessions int
	// Filters are asked about what is sent; nil for nobody.
	Filters *spam.Filters
	// Trace is told what is refused, and why; nil for nobody.
	Trace trace.Recorder
	Log   *slog.Logger
}

// New makes a Submitter.
func New(d *deliver.Deliverer, dir *directory.Directory, blobs blob.Store, o Options) *Submitter {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = trace.Discard{}
	}
	return &Submitter{deliverer: d, directory: dir, blobs: blobs, hostname: o.Hostname, log: o.Log, o: o}
}

// Filters gives those who are asked about what is sent; nil for nobody.
func (s *Submitter) Filters() *spam.Filters { return s.o.Filters }

// Sender refuses a reverse-path that is not the user's own, and users who may
// not log in any more: sessions can be long. The null reverse-path is for
// notifications (RFC 5321 §4.5.5), which clients send.
func (s *Submitter) Sender(ctx context.Context, who sasl.Identity, from mail.Address) error {
	if err := s.active(ctx, who); err != nil {
		return err
	}
	if from.IsNull() {
		return nil
	}
	own, err := s.own(ctx, who, from)
	if err != nil {
		return err
	}
	if !own {
		return &smtp.Refusal{
			Code: 553, Enhanced: smtp.Enhanced{5, 7, 1},
			Text: fmt.Sprintf("<%s> is not an address of %s", from, who.Login),
		}
	}
	return nil
}

// active refuses an account that has been disabled or deleted since the login.
func (s *Submitter) active(ctx context.Context, who sasl.Identity) error {
	account, err := s.directory.Login(ctx, who.Login.String())
	switch {
	case err == nil && account.Account == who.Account && !account.Disabled:
		return nil
	case err == nil, errors.Is(err, directory.ErrNoUser):
		// X.7.13 in the registry of enhanced codes: user account disabled.
		return &smtp.Refusal{
			Code: 550, Enhanced: smtp.Enhanced{5, 7, 13}, Text: "this account may not send any more",
			Err: fmt.Errorf("account %s is disabled or gone", who.Account),
		}
	}
	return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "cannot look up the account just now", Err: err}
}

func (s *Submitter) own(ctx context.Context, who sasl.Identity, a mail.Address) (bool, error) {
	own, err := s.directory.MaySendAs(ctx, who.Account, a)
	if err != nil {
		return false, &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "cannot look up the sender just now", Err: err}
	}
	return own, nil
}

// Recipient finds the way to a recipient, who may be anywhere.
func (s *Submitter) Recipient(ctx context.Context, to mail.Recipient) (deliver.Recipient, error) {
	resolved, err := s.deliverer.Resolve(ctx, to)
	if err != nil {
		return deliver.Recipient{}, err
	}
	if _, literal := to.Address.Literal(); !literal && !resolved.Local() && to.Address.Domain == "" {
		return deliver.Recipient{}, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 3}, Text: "the address needs a domain"}
	}
	return resolved, nil
}

// Message takes in one message and returns its id when everything is durable:
// in the mailboxes of our own recipients, in the outqueue for the others.
// hop tells where it comes from; ID, For and At are filled in. checks is the
// filters' side of the conversation, nil if there are none.
func (s *Submitter) Message(ctx context.Context, who sasl.Identity, checks *spam.Dialogue, env mail.Envelope, to []deliver.Recipient, hop deliver.Hop, body io.Reader) (id string, err error) {
	now := time.Now()
	var arrival *deliver.Arrival
	defer func() {
		if err != nil {
			s.refused(ctx, now, who, arrival, env, to, hop, err)
		}
	}()
	// Again: other connections of the account have sent meanwhile.
	if err := s.Allow(ctx, who, hop.Addr, len(to)); err != nil {
		return "", err
	}
	header, rest, err := readHeader(body)
	if err != nil {
		return "", err
	}
	fields := parse(header)
	if err := s.checkAuthor(ctx, who, fields); err != nil {
		return "", err
	}
	signing, err := s.signs(ctx, now, fields, env, who)
	if err != nil {
		return "", err
	}
	known := to
	if checks != nil { // filters may add others
		known = nil
	}
	arrival, err = deliver.StageFor(ctx, s.blobs, now, known, func(w io.Writer) error {
		_, err := io.Copy(w, signing.listen(io.MultiReader(s.repair(header, fields, who, now), rest)))
		return err
	})
	if err != nil {
		return "", err
	}
	arrival.TLS = hop.Protection()
	defer func() { err = errors.Join(err, arrival.Close()) }()
	if err := arrival.CheckHops(); err != nil {
		return "", err
	}
	if env.Solicit == "" && arrival.Solicits != "" {
		env.Solicit, hop.Solicit = arrival.Solicits, arrival.Solicits // RFC 3865 §2.7
	}
	if id := checks.ID(); id != "" {
		arrival.ID = id
	}
	arrival.Origin = outqueue.Origin{Account: who.Account, Service: "submission", Remote: hop.Addr.String(), Hello: hop.Hello}
	hop.ID, hop.At = arrival.ID, now
	if len(to) == 1 {
		hop.For = to[0].Address
	}
	s.log.Info("message submitted", obs.Msg, arrival.ID, obs.Login, who.Login.String(), obs.Remote, hop.Addr.String(),
		obs.From, env.From.String(), "recipients", len(to), obs.Size, int64(arrival.Body.Size()),
		"message_id", arrival.Parsed.Envelope.MessageID)
	received := hop.Received()
	plain := arrival
	if checks != nil {
		m := spam.Message{Arrival: arrival, Envelope: env, To: to, Trace: received}
		err = checks.Examine(ctx, now, &m)
		arrival, env, to, received = m.Arrival, m.Envelope, m.To, m.Trace
		arrival.Facts = append(arrival.Facts, checks.Findings()...)
		if m.Discarded {
			s.discarded(ctx, now, who, arrival, env, to, hop)
		}
		if err != nil || m.Discarded {
			return m.Arrival.ID, err
		}
	}
	if checks != nil && (arrival != plain || !bytes.Equal(received, hop.Received())) {
		signing.again(arrival, received)
	}
	if received, err = signing.finish(now, arrival, received); err != nil {
		s.log.Error("message cannot be signed", obs.Msg, arrival.ID, obs.Err, err) // and goes as it is
	}
	if err := s.deliverer.Deliver(ctx, now, arrival, env, received, to); err != nil {
		return "", err
	}
	if env.HoldUntil.After(now) {
		s.held(who.Account, arrival.Body.Size())
	}
	s.sent(who, now, to)
	return arrival.ID, nil
}
