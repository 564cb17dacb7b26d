package deliver

import (
	"crypto/tls"
	"net/netip"
	"strconv"
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
	b := make([]byte, 0, 384)
	say := func(words ...string) {
		for _, w := range words {
			b = append(b, w...)
		}
	}
	say("Received: from ", h.from(), "\r\n\tby ", h.By, " with ", h.Protocol)
	if h.Solicit != "" {
		say("\r\n\t(SOLICIT=", h.Solicit, ")") // RFC 3865 §2.6
	}
	if h.TLS != nil {
		say("\r\n\t(", strings.ReplaceAll(tls.VersionName(h.TLS.Version), " ", ""), " ", tls.CipherSuiteName(h.TLS.CipherSuite), ")")
	}
	say("\r\n\tid ", h.ID)
	if !h.For.IsNull() {
		say("\r\n\tfor <")
		b = h.For.Append(b)
		say(">")
	}
	if h.Priority != 0 {
		say("\r\n\tpriority ", strconv.Itoa(int(h.Priority))) // RFC 6710 §4.1 (2)
	}
	say(";\r\n\t", message.FormatDate(h.At), "\r\n")
	return b
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
