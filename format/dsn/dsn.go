// Package dsn makes and reads delivery status notifications: the messages that
// tell a sender what became of a message.
//
// A notification is a multipart/report of a text for people, a
// message/delivery-status for programs, and the original message or its
// header. Standards: RFC 3464 (format), RFC 6522 (multipart/report), RFC 3461
// (what senders may ask for), RFC 6533 (the forms with UTF-8), RFC 3834
// (Auto-Submitted).
//
// Whether to send one, and the null reverse-path it is to be sent with, are
// the caller's matter.
package dsn

import (
	"strings"
	"time"

	"waxwing/mail"
)

// An Action is what the reporting MTA did. RFC 3464 §2.3.3
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded"
)

// A Typed value says what it is: an address, a host, a diagnostic.
// RFC 3464 §2.1.2
type Typed struct {
	Type  string // lower case: "rfc822", "utf-8", "dns", "smtp"
	Value string
}

// Address gives the typed form of an address: "rfc822", or "utf-8" (RFC 6533
// §3) if it is not ASCII.
func Address(a mail.Address) Typed {
	if a.IsASCII() {
		return Typed{"rfc822", a.String()}
	}
	return Typed{"utf-8", a.String()}
}

// Host gives the typed form of a host name.
func Host(name string) Typed { return Typed{"dns", name} }

// Reply gives the typed form of an SMTP reply, such as "550 5.1.1 no such
// user"; several lines are joined.
func Reply(text string) Typed {
	return Typed{"smtp", strings.Join(strings.Fields(text), " ")}
}

// ParseTyped reads "type; value", as ORCPT (RFC 3461 §4.2) has it too. Without
// a semicolon all is value.
func ParseTyped(s string) Typed {
	kind, value, ok := strings.Cut(s, ";")
	if !ok {
		return Typed{Value: strings.TrimSpace(s)}
	}
	return Typed{strings.ToLower(strings.TrimSpace(kind)), strings.TrimSpace(value)}
}

// IsZero tells whether there is no value.
func (t Typed) IsZero() bool { return t == Typed{} }

// A Status is the content of a message/delivery-status. RFC 3464 §2.1
type Status struct {
	EnvelopeID   string    // the sender's ENVID, RFC 3461 §4.4
	ReportingMTA Typed     // required
	Gateway      Typed     // DSN-Gateway
	ReceivedFrom Typed     // Received-From-MTA
	Arrival      time.Time // Arrival-Date
	DeliverBy    time.Time // Deliver-By-Date, RFC 2852 §5
	// FutureRelease is Future-Release-Request: "for;SECONDS" or
	// "until;TIME". RFC 4865 §5.1.2
	FutureRelease string
	Recipients    []Recipient
}

// A Recipient says what became of the message for one recipient. RFC 3464 §2.3
type Recipient struct {
	Original    Typed  // the sender's ORCPT
	Final       Typed  // required
	Action      Action // required
	Status      string // such as "5.1.1", RFC 3463; required
	RemoteMTA   Typed
	Diagnostic  Typed
	LastAttempt time.Time
	LogID       string
	RetryUntil  time.Time // Will-Retry-Until
}

// Has tells whether there is a recipient with this action.
func (s *Status) Has(a Action) bool {
	for _, r := range s.Recipients {
		if r.Action == a {
			return true
		}
	}
	return false
}

// isASCII tells whether all addresses are; others need RFC 6533.
func (s *Status) isASCII() bool {
	for _, r := range s.Recipients {
		if !isASCII(r.Original.Value) || !isASCII(r.Final.Value) {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
