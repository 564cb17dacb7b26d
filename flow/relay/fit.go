package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"waxwing/format/downgrade"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
)

// usualRecipients is how many recipients a transaction has at most where the
// peer does not say more: every server must take that many.
// RFC 5321 §4.5.3.1.8
const usualRecipients = 100

// most is how many of these recipients one transaction may have.
func (l *link) most(to []smtp.Rcpt) int {
	limits, n := l.Limits(), usualRecipients
	if limits.Recipients > 0 {
		n = limits.Recipients // RFC 9422 §4.2
	}
	n = min(n, len(to))
	if limits.Domains == 0 {
		return n
	}
	domains := map[string]bool{} // RFC 9422 §4.3
	for i, r := range to[:n] {
		if domains[r.To.Domain] = true; len(domains) > limits.Domains {
			return i
		}
	}
	return n
}

// spent tells whether the peer takes no more messages on this connection.
// RFC 9422 §4.1
func (l *link) spent() bool {
	n := l.Limits().Messages
	return n > 0 && l.sent >= n
}

// unfit says why a message must not go over a link, if so: what was asked for
// it cannot be kept there. The refusals are our own finding.
func (l *link) unfit(t transfer, now time.Time) *smtp.Refusal {
	offers := l.Extensions()
	if t.mail.RequireTLS && !t.mail.From.IsNull() && !l.local { // RFC 8689 §4.2.1
		switch {
		case !l.sure: // what was demanded of it was less
			return ownRefusal(5, 7, 10, "encryption needed: %s has not proven itself over TLS, and the message requires it", l.host)
		case !offers.Has(smtp.RequireTLS):
			return ownRefusal(5, 7, 30, "REQUIRETLS support required, which %s does not offer", l.host)
		}
	}
	if by := t.by; by.Return && !by.IsZero() && !l.local { // RFC 2852 §4.1.4.1
		left := int64(by.At.Sub(now) / time.Second)
		switch {
		case left <= 0:
			return tooLate()
		case !offers.Has(smtp.DeliverBy):
			return ownRefusal(5, 3, 3, "%s cannot promise to deliver in time, and the message asks for it", l.host)
		case left < l.MinDeliverBy():
			return ownRefusal(5, 4, 7, "%s needs at least %d seconds, and %d are left", l.host, l.MinDeliverBy(), left)
		}
	}
	return nil
}

// tooLate says that a message has not come in time. RFC 2852 §4.1.3
func tooLate() *smtp.Refusal { return ownRefusal(5, 4, 7, "delivery time expired") }

func ownRefusal(class, subject, detail uint16, format string, args ...any) *smtp.Refusal {
	code := 550
	if class == 4 {
		code = 451
	}
	return &smtp.Refusal{Code: code, Enhanced: smtp.Enhanced{class, subject, detail}, Text: fmt.Sprintf(format, args...)}
}

// transmit runs the transaction, with the parameters that the peer knows and
// the message in a form that it takes.
func (l *link) transmit(ctx context.Context, t transfer) (smtpclient.Outcome, error) {
	now := time.Now()
	if r := l.unfit(t, now); r != nil {
		return smtpclient.Outcome{}, r
	}
	offers := l.Extensions()
	if t.mail.RequireTLS && (!offers.Has(smtp.RequireTLS) || !l.sure) {
		t.mail.RequireTLS = false // a notification goes on all the same, RFC 8689 §5; a store is the end of the way
	}
	if !t.by.IsZero() {
		t.mail.Uses |= smtp.DeliverBy
		t.mail.By = smtp.By{Seconds: int64(t.by.At.Sub(now).Round(time.Second) / time.Second), Return: t.by.Return, Trace: t.by.Trace}
		if !offers.Has(smtp.DeliverBy) {
			t.to = tellOfDelay(t.to)
		}
	}
	if t.mail.Priority != 0 {
		t.mail.Uses |= smtp.MTPriority // RFC 6710 §4.2
	}
	body, err := l.content(ctx, &t, now)
	if err != nil {
		return smtpclient.Outcome{}, err
	}
	return l.Send(ctx, t.mail, t.to, body)
}

// tellOfDelay asks that the sender be told of delays where the next host does
// not know the time. RFC 2852 §4.1.4.2
func tellOfDelay(to []smtp.Rcpt) []smtp.Rcpt {
	changed := append([]smtp.Rcpt(nil), to...)
	for i := range changed {
		switch n := &changed[i].Notify; {
		case *n == 0:
			*n = mail.NotifyFailure | mail.NotifyDelay
		case *n&mail.NotifyNever == 0:
			*n |= mail.NotifyDelay
		}
	}
	return changed
}

// content gives the message as the peer takes it: as it is, wherever that can
// be. RFC 6152 §3, RFC 3030 §3
func (l *link) content(ctx context.Context, t *transfer, now time.Time) (io.Reader, error) {
	offers := l.Extensions()
	m := &t.mail
	target := downgrade.EightBit
	switch {
	case m.Binary && offers.Has(smtp.BinaryMIME|smtp.Chunking):
		return t.open(), nil
	case !m.Binary && (!m.EightBit || offers.Has(smtp.EightBitMIME)):
		return t.open(), nil
	case !offers.Has(smtp.EightBitMIME):
		target = downgrade.SevenBit
	}
	converted, err := downgrade.Plan(t.body, int64(t.size), target)
	switch {
	case errors.Is(err, downgrade.ErrProtected):
		// RFC 6152 §3: a permanent error. What is signed or encrypted would
		// be of no use to anybody afterwards.
		return nil, ownRefusal(5, 6, 3, "%s does not take the message as it is, and it is signed or encrypted in a way that forbids to convert it", l.host)
	case err != nil:
		return nil, fmt.Errorf("convert message: %w", err)
	}
	m.Binary, m.EightBit = false, converted.EightBit
	m.Size = mail.ByteCount(converted.Size)
	if !converted.Changed {
		return converted.Reader(), nil
	}
	signed := t.sign(ctx, now, converted.Reader)
	m.Size += mail.ByteCount(len(signed))
	return io.MultiReader(bytes.NewReader(signed), converted.Reader()), nil
}
