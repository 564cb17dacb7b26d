package smtp

import (
	"net/netip"
	"time"

	"waxwing/mail"
)

// A Command is one parsed command line.
type Command interface {
	// Verb is the command's name in capitals.
	Verb() string
}

// Hello is HELO, EHLO (RFC 5321 §4.1.1.1) or LHLO (RFC 2033 §4.1).
type Hello struct {
	Name     string // what the client calls itself, as it was typed
	Extended bool   // EHLO or LHLO
	Local    bool   // LHLO
}

// Mail begins a transaction. RFC 5321 §4.1.1.2
type Mail struct {
	From mail.Address

	// Size is what SIZE declares, zero for not known. RFC 1870 §5
	Size mail.ByteCount
	// EightBit is BODY=8BITMIME, and is set with Binary. RFC 6152 §2
	EightBit bool
	// Binary is BODY=BINARYMIME. RFC 3030 §3
	Binary bool
	// UTF8 is SMTPUTF8. RFC 6531 §3.4
	UTF8 bool
	// Return is RET. RFC 3461 §4.3
	Return Return
	// EnvelopeID is ENVID, decoded. RFC 3461 §4.4
	EnvelopeID string
	// Auth is the AUTH parameter, decoded: who submitted the message as the
	// peer says, "<>" for not known, empty when it was not given.
	// RFC 4954 §5
	Auth string
	// By is BY. RFC 2852 §4
	By By
	// Priority is MT-PRIORITY, from -9 to 9. RFC 6710 §3
	Priority int8
	// HoldFor and HoldUntil are HOLDFOR and HOLDUNTIL, of which one may be
	// given. RFC 4865 §3
	HoldFor   time.Duration
	HoldUntil time.Time
	// RequireTLS is REQUIRETLS. RFC 8689 §2
	RequireTLS bool
	// Solicit is SOLICIT, keywords with commas between them. RFC 3865 §2.3
	Solicit string
	// VERP holds the two delimiters of XVERP. Postfix, VERP_README
	VERP string

	// Uses holds the extensions whose parameters were given.
	Uses Extensions
}

// By is the value of BY; it was given if Mail.Uses has DeliverBy.
// RFC 2852 §4
type By struct {
	Seconds int64 // from when MAIL was said
	Return  bool  // by-mode R, else N
	Trace   bool  // by-trace
}

// Return is what a failure notice shall hold. RFC 3461 §4.3
type Return uint8

// The values of RET.
const (
	ReturnUnsaid  Return = iota // the sender leaves it to the server
	ReturnFull                  // the whole message
	ReturnHeaders               // only its header
)

// Rcpt names one recipient. RFC 5321 §4.1.1.3
type Rcpt struct {
	// To has an empty Domain for the bare "postmaster".
	To mail.Address

	// Original is ORCPT as "type;address", decoded. RFC 3461 §4.2
	Original string
	// Notify is NOTIFY. RFC 3461 §4.1
	Notify mail.Notify

	// Uses holds the extensions whose parameters were given.
	Uses Extensions
}

// Data asks to send the message. RFC 5321 §4.1.1.4
type Data struct{}

// Bdat announces a piece of the message, which follows the line. RFC 3030 §2
type Bdat struct {
	Size mail.ByteCount
	Last bool
}

// Burl asks to fetch a piece of the message. RFC 4468 §3.2
type Burl struct {
	URL  string
	Last bool
}

// Turn is a command that would turn the connection round: TURN, ETRN or ATRN.
type Turn struct{ Name string }

// Xclient tells, on behalf of a client, who that is. What was not given is
// nil or empty; what the client's server does not know points to a zero value.
// Postfix, XCLIENT_README
type Xclient struct {
	Name     *string
	Addr     *netip.Addr
	Port     *uint16
	Proto    string // "SMTP" or "ESMTP"
	Helo     *string
	Login    *string
	DestAddr *netip.Addr
	DestPort *uint16
}

// Reset abandons the transaction. RFC 5321 §4.1.1.5
type Reset struct{}

// Verify asks whether a mailbox exists. RFC 5321 §4.1.1.6
type Verify struct {
	Who  string
	UTF8 bool // SMTPUTF8: the answer may hold UTF-8. RFC 6531 §3.7.4.2
}

// Expand asks who is on a list. RFC 5321 §4.1.1.7
type Expand struct {
	List string
	UTF8 bool // as with Verify
}

// Help asks for help. RFC 5321 §4.1.1.8
type Help struct{ Topic string }

// Noop asks for a reply. RFC 5321 §4.1.1.9
type Noop struct{}

// Quit ends the connection. RFC 5321 §4.1.1.10
type Quit struct{}

// StartTLS asks to go on under TLS. RFC 3207 §4
type StartTLS struct{}

// Auth begins a SASL exchange. RFC 4954 §4
type Auth struct {
	Mechanism string // in capitals
	// Initial is the initial response still in base64, "=" for an empty one,
	// "" for none.
	Initial string
}

// Verb is "HELO", "EHLO" or "LHLO".
func (h Hello) Verb() string {
	if h.Local {
		return "LHLO"
	}
	if h.Extended {
		return "EHLO"
	}
	return "HELO"
}

// Verb is "MAIL".
func (Mail) Verb() string { return "MAIL" }

// Verb is "RCPT".
func (Rcpt) Verb() string { return "RCPT" }

// Verb is "DATA".
func (Data) Verb() string { return "DATA" }

// Verb is "BDAT".
func (Bdat) Verb() string { return "BDAT" }

// Verb is "BURL".
func (Burl) Verb() string { return "BURL" }

// Verb is the command's own name.
func (t Turn) Verb() string { return t.Name }

// Verb is "XCLIENT".
func (Xclient) Verb() string { return "XCLIENT" }

// Verb is "RSET".
func (Reset) Verb() string { return "RSET" }

// Verb is "VRFY".
func (Verify) Verb() string { return "VRFY" }

// Verb is "EXPN".
func (Expand) Verb() string { return "EXPN" }

// Verb is "HELP".
func (Help) Verb() string { return "HELP" }

// Verb is "NOOP".
func (Noop) Verb() string { return "NOOP" }

// Verb is "QUIT".
func (Quit) Verb() string { return "QUIT" }

// Verb is "STARTTLS".
func (StartTLS) Verb() string { return "STARTTLS" }

// Verb is "AUTH".
func (Auth) Verb() string { return "AUTH" }
