package smtpserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
)

// Options says how a server behaves. The zero value of each field is a
// sensible default.
type Options struct {
	// Hostname stands in the greeting and in the answer to EHLO.
	Hostname string
	// Service names the server in logs and to the sasl.Backend: "smtp" or
	// "submission".
	Service string
	// Log takes what an operator asks about later; the dialog at Debug.
	Log *slog.Logger

	// TLS is the configuration for STARTTLS and implicit TLS; nil offers
	// none.
	TLS *tls.Config
	// ImplicitTLS begins with the handshake. RFC 8314 §3.3
	ImplicitTLS bool
	// RequireTLS refuses mail and AUTH before TLS. It is not for port 25
	// (RFC 3207 §4).
	RequireTLS bool

	// Auth checks logins; nil offers no AUTH.
	Auth sasl.Backend
	// Tokens takes bearer tokens for logins; nil takes none.
	Tokens *sasl.Tokens
	// PlaintextAuth offers AUTH without TLS too: for loopback only.
	PlaintextAuth bool
	// RequireAuth refuses mail before a login. RFC 6409 §4.3
	RequireAuth bool

	// LMTP speaks that protocol; the Session must be a Distributor.
	// RFC 2033
	LMTP bool

	// Honours are the extensions that are offered because the Session
	// honours what smtp.Mail and smtp.Rcpt then carry: of DSN, DeliverBy,
	// MTPriority, FutureRelease, RequireTLS and NoSoliciting.
	Honours smtp.Extensions
	// MinDeliverBy is the least time for DELIVERBY with by-mode R.
	// RFC 2852 §3
	MinDeliverBy time.Duration
	// MaxHold is how long a message may be held, 30 days by default.
	// RFC 4865 §3
	MaxHold time.Duration
	// Unsolicited are the solicitation classes that are not taken, with
	// commas between them. RFC 3865 §2.1
	Unsolicited string
	// Fetch offers BURL to those who have logged in; nil does not.
	Fetch Fetcher

	// TrustXCLIENT tells which clients may speak for others with XCLIENT;
	// nil for none.
	TrustXCLIENT func(netip.Addr) bool
	// Impersonate finds the identity that XCLIENT's LOGIN names; nil refuses
	// LOGIN.
	Impersonate func(ctx context.Context, login string) (sasl.Identity, error)
	// Proxies are the addresses whose connections begin with a PROXY header.
	Proxies []netip.Prefix

	// Newlines says what becomes of a message with a bare CR or LF.
	Newlines Newlines

	// MaxSize is the largest message, 50 MB by default.
	MaxSize mail.ByteCount
	// MaxRecipients is the most recipients of a transaction, 1000 by
	// default; never less than 100 (RFC 5321 §4.5.3.1.8).
	MaxRecipients int
	// MaxDomains is the most domains among the recipients of a transaction,
	// zero for no limit. RFC 9422 §4.3
	MaxDomains int
	// MaxMessages is the most transactions on a connection, zero for no
	// limit. RFC 9422 §4.1
	MaxMessages int
	// MaxErrors is how many commands may be refused before the connection is
	// closed, 20 by default. Refused recipients are counted apart.
	MaxErrors int
	// MaxIdleCommands is how many commands may come between two messages,
	// apart from those that a message needs; 100 by default.
	MaxIdleCommands int
	// MaxConnections is the most connections at once, 10,000 by default.
	MaxConnections int
	// MaxPerAddress is the most connections at once from one IPv4 address or
	// one IPv6 /64, 50 by default. Loopback is not counted.
	MaxPerAddress int

	// CommandTimeout is how long a client may take to send a command, five
	// minutes by default. RFC 5321 §4.5.3.2.7
	CommandTimeout time.Duration
	// DataTimeout is how long a client may pause within a message, five
	// minutes by default.
	DataTimeout time.Duration
	// WriteTimeout is how long a client may take to read our reply, one
	// minute by default.
	WriteTimeout time.Duration
	// DrainTimeout is how long transactions may go on after the server has
	// been told to stop, thirty seconds by default.
	DrainTimeout time.Duration
}

// Newlines says what becomes of a message that holds a CR or LF which is not
// part of a CR LF. RFC 5321 §2.3.8 forbids both. Neither choice lets them end
// a line of the dialog or a message.
type Newlines uint8

const (
	// RefuseBareNewlines answers 550 5.6.11. What one server takes for text
	// and the next for the end of a message is how messages are smuggled
	// past checks, so strangers get no benefit of doubt.
	RefuseBareNewlines Newlines = iota
	// NormaliseBareNewlines makes each of them a CR LF, as a submission
	// server may repair its own clients' messages. RFC 6409 §8
	NormaliseBareNewlines
)

func (o Options) withDefaults() Options {
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Service == "" {
		o.Service = "smtp"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	orElse(&o.MaxSize, 50e6)
	orElse(&o.MaxRecipients, 1000)
	o.MaxRecipients = max(o.MaxRecipients, 100)
	orElse(&o.MaxHold, 30*24*time.Hour)
	orElse(&o.MaxErrors, 20)
	orElse(&o.MaxIdleCommands, 100)
	orElse(&o.MaxConnections, 10_000)
	orElse(&o.MaxPerAddress, 50)
	orElse(&o.CommandTimeout, 5*time.Minute)
	orElse(&o.DataTimeout, 5*time.Minute)
	orElse(&o.WriteTimeout, time.Minute)
	orElse(&o.DrainTimeout, 30*time.Second)
	return o
}

func orElse[T comparable](v *T, preset T) {
	if *v == *new(T) {
		*v = preset
	}
}

// offered gives the extensions that EHLO names, before the state of the
// connection is considered.
func (o *Options) offered() smtp.Extensions {
	e := smtp.Pipelining | smtp.Size | smtp.EightBitMIME | smtp.SMTPUTF8 | smtp.EnhancedCodes |
		smtp.Chunking | smtp.BinaryMIME | smtp.Limits | o.Honours
	if o.TLS != nil && !o.ImplicitTLS {
		e |= smtp.STARTTLS
	}
	if o.Auth != nil {
		e |= smtp.AUTH
	}
	if o.Fetch != nil {
		e |= smtp.BURL
	}
	if o.TrustXCLIENT != nil {
		e |= smtp.XCLIENT
	}
	return e
}

// limits gives the parameters of LIMITS. RFC 9422 §3
func (o *Options) limits() string {
	var words []string
	for _, l := range []struct {
		name string
		most int
	}{{"MAILMAX", o.MaxMessages}, {"RCPTMAX", o.MaxRecipients}, {"RCPTDOMAINMAX", o.MaxDomains}} {
		if l.most > 0 {
			words = append(words, l.name+"="+strconv.Itoa(l.most))
		}
	}
	return strings.Join(words, " ")
}
