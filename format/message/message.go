package message

import (
	"time"

	"waxwing/mail"
)

// A Message is what one pass over a message found. Offsets count octets from
// the message's first. It is a pure value: it can be stored, and holds no
// reference to the bytes it was made from. No text in it contains CR, LF or
// NUL. It must not be changed after it is shared.
type Message struct {
	Root Part

	// Envelope is the root's, as IMAP and JMAP show it.
	Envelope Envelope

	// References holds the message ids (without angle brackets) of
	// References, or else of In-Reply-To, oldest first, bounded.
	References []string

	// Date is the Date field as an instant; zero if missing or senseless.
	Date time.Time

	// Preview is the beginning of the text as a person would read it:
	// decoded, white space collapsed, at most 256 characters (RFC 8970 §3.1).
	Preview string

	Size mail.ByteCount

	// Defects lists what was wrong, at most a few dozen.
	Defects []Defect
}

// A Part is one node of the MIME tree. RFC 2045 §2.4
type Part struct {
	Header int64 // offset of the header's first octet
	Body   int64 // offset of the body's first octet
	End    int64 // offset behind the body's last octet (before the CRLF of a delimiter)
	Lines  int64 // line feeds in the body, which is how BODYSTRUCTURE counts lines

	Type    string // lower case, such as "text"
	Subtype string // lower case, such as "plain"
	Params  []Param

	Encoding    string // Content-Transfer-Encoding, lower case; "7bit" if absent
	ID          string // Content-ID as it stands, with angle brackets
	Description string // Content-Description, raw
	MD5         string

	Disposition       string // lower case; empty if absent
	DispositionParams []Param
	Language          []string
	Location          string

	// Parts are the children: of a multipart its parts, of a message/rfc822
	// (or message/global) the one message in it, whose header begins where
	// this part's body does. A multipart has none if it has no usable
	// boundary, a message if it has a transfer encoding, and either beyond
	// the limits; it is then to be treated as one opaque body.
	Parts []Part

	// Embedded is the envelope of the message in a message/rfc822 part; nil
	// exactly where such a part has no Parts.
	Embedded *Envelope
}

// A Param is a parameter of a MIME field, with RFC 2231 continuations and
// charsets decoded to UTF-8. The name is in lower case.
type Param struct{ Name, Value string }

// An Envelope holds the fields that IMAP's ENVELOPE shows (RFC 9051 §7.5.2).
// Subject and the names in addresses are raw as they stand in the header,
// unfolded, encoded words not decoded: IMAP clients decode, others call
// DecodeHeader. Octets above 127 may be in any charset. A field that is absent
// or empty is so here: that IMAP shows From for a missing Sender or Reply-To is
// left to those who show it.
//
// Of repeated fields the first counts; To, Cc and Bcc are joined.
type Envelope struct {
	Date      string
	Subject   string
	From      []Address
	Sender    []Address
	ReplyTo   []Address
	To        []Address
	Cc        []Address
	Bcc       []Address
	InReplyTo string
	MessageID string
}

// An Address is one mailbox or group mark of an address list. RFC 5322 §3.4.
// The start of a group has Group set and an empty Local; its end has Group
// set and everything empty, as RFC 9051 §7.5.2 shows them. Domain is empty for
// an address that has none, though not a group mark.
type Address struct {
	Name   string // display name, unquoted, encoded words not decoded; a group's name for its start
	Local  string
	Domain string
	Group  bool
}

// A Defect is something malformed, with where it was met.
type Defect struct {
	Offset int64
	What   string
}
