package smtp

import (
	"strconv"
	"time"

	"waxwing/mail"
)

// Envelope gives what MAIL says, now, as an envelope without recipients.
func (m Mail) Envelope(now time.Time) mail.Envelope {
	e := mail.Envelope{
		From:          m.From,
		UTF8:          m.UTF8,
		EightBit:      m.EightBit,
		Binary:        m.Binary,
		ID:            m.EnvelopeID,
		ReturnHeaders: m.Return == ReturnHeaders,
		ReturnFull:    m.Return == ReturnFull,
		RequireTLS:    m.RequireTLS,
		Priority:      m.Priority,
		Solicit:       m.Solicit,
		VERP:          m.VERP,
	}
	if m.Uses.Has(DeliverBy) {
		// The span becomes a time of our own clock. RFC 2852 §4
		e.By = mail.DeliverBy{At: now.Add(time.Duration(m.By.Seconds) * time.Second), Return: m.By.Return, Trace: m.By.Trace}
	}
	switch {
	case m.HoldFor > 0:
		e.HoldUntil = now.Add(m.HoldFor)
		e.Hold = "for;" + strconv.FormatInt(int64(m.HoldFor/time.Second), 10) // RFC 4865 §5.1.2
	case !m.HoldUntil.IsZero():
		e.HoldUntil, e.Hold = m.HoldUntil, "until;"+m.HoldUntil.UTC().Format(time.RFC3339)
	}
	return e
}

// Recipient gives what RCPT says.
func (r Rcpt) Recipient() mail.Recipient {
	return mail.Recipient{Address: r.To, Original: r.Original, Notify: r.Notify}
}
