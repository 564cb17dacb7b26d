package smtpserver

import (
	"crypto/tls"
	"log/slog"
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
	// PlaintextAuth offers AUTH without TLS too: for loopback only.
	PlaintextAuth bool
	// RequireAuth refuses mail before a login. RFC 6409 §4.3
	RequireAuth bool

	// DSN offers delivery status notifications; the Session must honour
	// what smtp.Mail and smtp.Rcpt then carry. RFC 3461
	DSN bool
	// Newlines says what becomes of a message with a bare CR or LF.
	Newlines Newlines

	// MaxSize is the largest message, 50 MB by default.
	MaxSize mail.ByteCount
	// MaxRecipients is the most recipients of a transaction, 1000 by
	// default; never less than 100 (RFC 5321 §4.5.3.1.8).
	MaxRecipients int
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
	// GreetingDelay is how long to wait for early talkers before the
	// greeting; zero does not wait.
	GreetingDelay time.Duration
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
	e := smtp.Pipelining | smtp.Size | smtp.EightBitMIME | smtp.SMTPUTF8 | smtp.EnhancedCodes
	if o.TLS != nil && !o.ImplicitTLS {
		e |= smtp.STARTTLS
	}
	if o.Auth != nil {
		e |= smtp.AUTH
	}
	if o.DSN {
		e |= smtp.DSN
	}
	return e
}
