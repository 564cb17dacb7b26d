package smtp

import "waxwing/mail"

// Envelope gives what MAIL says as an envelope without recipients.
func (m Mail) Envelope() mail.Envelope {
	return mail.Envelope{
		From:          m.From,
		UTF8:          m.UTF8,
		EightBit:      m.EightBit,
		ID:            m.EnvelopeID,
		ReturnHeaders: m.Return == ReturnHeaders,
	}
}

// Recipient gives what RCPT says.
func (r Rcpt) Recipient() mail.Recipient {
	return mail.Recipient{Address: r.To, Original: r.Original, Notify: r.Notify}
}
