package submit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/netip"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/sasl"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
	"waxwing/store/peers"
	"waxwing/store/trace"
)

// Allow refuses an account that has sent too much, or is paused. It is asked
// when a message begins and for each recipient; recipients is how many the
// message has then. An account that suddenly sends far more than it used to is
// paused here.
func (s *Submitter) Allow(ctx context.Context, who sasl.Identity, from netip.Addr, recipients int) error {
	if s.o.Peers == nil {
		return nil
	}
	now := time.Now()
	facts := policy.Account{Addr: from, Peer: s.o.Peers.Peer(peers.OfAccount(who.Account), now), Recipients: recipients}
	if pause, ok := s.o.Peers.Paused(who.Account); ok {
		facts.Paused = &pause
	}
	verdict := s.o.Rules.Submit(facts, now)
	if verdict.Pause != "" {
		if err := s.Pause(ctx, now, directory.Account{ID: who.Account, Address: who.Login}, verdict.Pause); err != nil {
			s.log.Error("account cannot be paused", obs.Account, who.Account.String(), obs.Err, err)
		}
	}
	if verdict.Refusal != nil {
		return verdict.Refusal
	}
	return nil
}

// sent counts a message that has been taken.
func (s *Submitter) sent(who sasl.Identity, now time.Time, to []deliver.Recipient) {
	if s.o.Peers == nil {
		return
	}
	addresses := make([]string, len(to))
	for i, r := range to {
		addresses[i] = strings.ToLower(r.Address.String())
	}
	s.o.Peers.Sent(peers.OfAccount(who.Account), now, addresses)
}

// Pause keeps an account from sending, holds what it has in the queue, and
// tells its owner. Done again it holds what has come meanwhile.
func (s *Submitter) Pause(ctx context.Context, now time.Time, account directory.Account, reason string) error {
	begun, err := s.o.Peers.Pause(ctx, peers.Pause{Account: account.ID, Reason: reason, Since: now})
	if err != nil {
		return err
	}
	held, err := s.steer(ctx, account.ID, "held: sending is paused for the account", s.o.Queue.Hold)
	if !begun {
		return err
	}
	s.o.Trace.Record(ctx, trace.Event{
		Time: now, Step: trace.Steered, Service: "submission", Account: account.ID, From: account.Address.String(),
		Reason: "sending is paused: " + reason,
	})
	s.log.Warn("account paused", obs.Account, account.ID.String(), obs.Login, account.Address.String(), "reason", reason, "held", held)
	return errors.Join(err, s.tell(ctx, now, account, "Sending from your account is paused", fmt.Sprintf(pausedText, account.Address, reason, held)))
}

// Resume lets an account send again, and releases what is held of it. It fails
// with peers.ErrNotPaused.
func (s *Submitter) Resume(ctx context.Context, now time.Time, account directory.Account) error {
	if err := s.o.Peers.Resume(ctx, account.ID); err != nil {
		return err
	}
	released, err := s.steer(ctx, account.ID, "released: the account may send again", s.o.Queue.Unhold)
	s.o.Trace.Record(ctx, trace.Event{
		Time: now, Step: trace.Steered, Service: "submission", Account: account.ID, From: account.Address.String(),
		Reason: "the account may send again",
	})
	s.log.Info("account resumed", obs.Account, account.ID.String(), obs.Login, account.Address.String(), "released", released)
	return errors.Join(err, s.tell(ctx, now, account, "You can send mail again", fmt.Sprintf(resumedText, account.Address, released)))
}

// steer does something to all that an account has in the queue.
func (s *Submitter) steer(ctx context.Context, id mail.AccountID, what string, do func(context.Context, ...outqueue.ID) error) (n int, err error) {
	var failed []error
	for item, err := range s.o.Queue.List(ctx, outqueue.Filter{Account: id}) {
		if err != nil {
			return n, err
		}
		if item.Origin.Account != id { // a redelivery to it
			continue
		}
		switch err := do(ctx, item.ID); {
		case err == nil:
			n++
			s.steered(ctx, item, what)
		case errors.Is(err, outqueue.ErrNotFound): // it has gone meanwhile
		default:
			failed = append(failed, err)
		}
	}
	return n, errors.Join(failed...)
}

const pausedText = `Hello,

somebody who logs in as %s suddenly sends much more mail than usual,
and the server has paused sending from this account:

  %s

If that was you: ask your administrator to let you send again, and to raise
the limit if you will need it.

If it was not you: somebody knows your password. Change it now, on every
device, and tell your administrator. Mail still reaches you; only sending is
paused. %d message(s) on the way to others are held back until the
administrator has looked.
`

const resumedText = `Hello,

the account %s may send mail again. %d message(s) that were held
back are on their way.
`

// tell puts a message into the account's INBOX.
func (s *Submitter) tell(ctx context.Context, now time.Time, account directory.Account, subject, text string) (err error) {
	from := s.deliverer.Postmaster(ctx, account.Address, s.hostname)
	header := strings.Join([]string{
		"From: Mail server <" + from.String() + ">",
		"To: <" + account.Address.String() + ">",
		"Subject: " + mime.QEncoding.Encode("utf-8", subject),
		"Date: " + now.Format("Mon, 02 Jan 2006 15:04:05 -0700"), // RFC 5322 §3.3
		"Message-ID: <" + message.NewMessageID(s.hostname) + ">",
		"Auto-Submitted: auto-generated", // RFC 3834 §5
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
	}, "\r\n")
	whole := []byte(header + "\r\n\r\n" + strings.ReplaceAll(text, "\n", "\r\n"))
	arrival, err := deliver.Stage(ctx, s.blobs, now, bytes.NewReader(whole))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, arrival.Close()) }()
	arrival.Origin = outqueue.Origin{Service: "notice"}
	// Straight into the account: an alias or route of the address is not asked.
	return s.deliverer.File(ctx, now, arrival, mail.Address{}, s.deliverer.SignOwn(ctx, now, from.Domain, whole),
		directory.Target{Account: account.ID, Address: account.Address})
}
