package deliver

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
)

// A Hop is what a Received field tells. RFC 5321 §4.4
type Hop struct {
	Hello    string     // what the client called itself
	Addr     netip.Addr // where it really was
	By       string     // our host name
	Protocol string     // the word for "with", RFC 3848
	TLS      *tls.ConnectionState
	ID       string
	For      mail.Address // the recipient if there is only one; null otherwise, which keeps the others secret
	At       time.Time
	Priority int8   // RFC 6710
	Solicit  string // RFC 3865
}

// Received gives the field, folded, with its line end. RFC 5321 §4.4
func (h Hop) Received() []byte {
	var b strings.Builder
	b.Grow(256)
	b.WriteString("Received: from " + h.from() + "\r\n\tby " + h.By + " with " + h.Protocol)
	if h.Solicit != "" {
		b.WriteString("\r\n\t(SOLICIT=" + h.Solicit + ")") // RFC 3865 §2.6
	}
	if h.TLS != nil {
		fmt.Fprintf(&b, "\r\n\t(%s %s)", strings.ReplaceAll(tls.VersionName(h.TLS.Version), " ", ""),
			tls.CipherSuiteName(h.TLS.CipherSuite))
	}
	b.WriteString("\r\n\tid " + h.ID)
	if !h.For.IsNull() {
		b.WriteString("\r\n\tfor <" + h.For.String() + ">")
	}
	if h.Priority != 0 {
		fmt.Fprintf(&b, "\r\n\tpriority %d", h.Priority) // RFC 6710 §4.1 (2)
	}
	b.WriteString(";\r\n\t" + message.FormatDate(h.At) + "\r\n")
	return []byte(b.String())
}

// Protection says how the connection was protected; empty if it was not.
func (h Hop) Protection() string {
	if h.TLS == nil {
		return ""
	}
	return tls.VersionName(h.TLS.Version) + " " + tls.CipherSuiteName(h.TLS.CipherSuite)
}

// from gives the From-domain of RFC 5321 §4.4: the name given in HELO, with
// the address that the connection came from. A name that is none is left out.
func (h Hop) from() string {
	if !h.Addr.IsValid() {
		return "localhost"
	}
	literal := mail.FormatLiteral(h.Addr)
	name, err := mail.ParseDomain(strings.TrimSuffix(h.Hello, "."))
	if err != nil {
		return literal
	}
	return name + " (" + literal + ")"
}
