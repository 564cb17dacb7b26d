package mail

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

	// EightBit says that BODY=8BITMIME was declared. RFC 6152 §2
	EightBit bool

	// ID is the ENVID of RFC 3461 §4.4, decoded; empty if none.
	ID string

	// ReturnHeaders is the RET of RFC 3461 §4.3: true for HDRS.
	ReturnHeaders bool
}

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
