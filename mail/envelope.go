package mail

import "time"

// An Envelope says where a message comes from and where it goes: what SMTP's
// MAIL and RCPT said, not what the header says. RFC 5321 §2.3.1
type Envelope struct {
	// From is the reverse-path; the zero Address is the null reverse-path
	// of RFC 5321 §4.5.5, to which no bounce is sent.
	From Address
	To   []Recipient

	// UTF8 says that the transaction was SMTPUTF8: addresses or header may
	// hold UTF-8. RFC 6531 §3.4
	UTF8 bool

	// EightBit says that BODY=8BITMIME was declared, or that there are octets
	// above 127. RFC 6152 §2
	EightBit bool

	// Binary says that BODY=BINARYMIME was declared: lines and octets may be
	// of any kind. RFC 3030 §3
	Binary bool

	// ID is the ENVID of RFC 3461 §4.4, decoded; empty if none.
	ID string

	// ReturnHeaders and ReturnFull are the RET of RFC 3461 §4.3, HDRS and
	// FULL; neither if nothing was said.
	ReturnHeaders, ReturnFull bool

	// RequireTLS says that the message may go on under verified TLS only, to
	// servers that promise the same. RFC 8689 §4.1
	RequireTLS bool

	// OptionalTLS says that the message may go on however its recipients'
	// domains want their mail to travel: its header says "TLS-Required: No". It
	// counts nothing beside RequireTLS. RFC 8689 §4.1
	OptionalTLS bool

	// Priority is the MT-PRIORITY of RFC 6710 §4.1, from -9 to 9.
	Priority int8

	// By is the wish of RFC 2852 to be delivered in time.
	By DeliverBy

	// HoldUntil is when the message may go, and Hold how that was asked for:
	// "for;SECONDS" or "until;TIME". RFC 4865 §4.2, §5.1.2
	HoldUntil time.Time
	Hold      string

	// Solicit is SOLICIT: what kind of solicitation the message is.
	// RFC 3865 §2.3
	Solicit string

	// VERP holds the two delimiters of XVERP: each recipient is to see a
	// sender of its own, and it is in one before the message is queued. Empty if
	// that was not asked for. Postfix, VERP_README
	VERP string
}

// DeliverBy is the BY parameter of RFC 2852 §4; without At there is none.
type DeliverBy struct {
	// At is when the message is to be delivered.
	At time.Time
	// Return gives up then (by-mode R); otherwise the sender is told of the
	// delay (by-mode N).
	Return bool
	// Trace tells the sender of each relay on the way.
	Trace bool
}

// IsZero tells whether nothing was asked for.
func (b DeliverBy) IsZero() bool { return b.At.IsZero() }

// A Recipient is one forward-path with its parameters.
type Recipient struct {
	Address Address

	// Original is the ORCPT of RFC 3461 §4.2 as "type;address", decoded;
	// empty if none.
	Original string

	// Notify holds the wishes of RFC 3461 §4.1.
	Notify Notify
}

// Notify says which delivery status notifications a sender wants. The zero
// value is the default of RFC 3461 §4.1: failure (and perhaps delay).
type Notify uint8

// The values of NOTIFY, RFC 3461 §4.1. NotifyNever excludes the others.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)
