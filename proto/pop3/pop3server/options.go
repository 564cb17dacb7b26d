package pop3server

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"waxwing/proto/sasl"
)

// Options says how a server behaves. The zero value of each field is a
// sensible default.
type Options struct {
	// Hostname stands in the greeting.
	Hostname string
	// Log takes what an operator asks about later; the dialog at Debug,
	// without secrets.
	Log *slog.Logger

	// TLS is the configuration for STLS and implicit TLS; nil offers none.
	TLS *tls.Config
	// ImplicitTLS begins with the handshake. RFC 8314 §3.2
	ImplicitTLS bool

	// Auth checks logins.
	Auth sasl.Backend
	// Tokens takes bearer tokens for logins (OAUTHBEARER, XOAUTH2); nil takes
	// none.
	Tokens *sasl.Tokens
	// PlaintextAuth offers USER and the mechanisms that show the password
	// without TLS too.
	PlaintextAuth bool
	// PlaintextOnLoopback offers them to clients on this machine alone.
	PlaintextOnLoopback bool

	// Expire is how long messages may stay on the server, in days; zero is
	// for ever. It is announced, and enforced elsewhere. RFC 2449 §6.7
	Expire int
	// LoginDelay is announced as the time that has to pass between two logins
	// of a user; the Newer enforces it. RFC 2449 §6.5
	LoginDelay time.Duration

	// MaxErrors is how many commands may be refused before the connection is
	// closed, 20 by default.
	MaxErrors int
	// MaxLogins is how many logins may fail before the connection is closed,
	// 5 by default.
	MaxLogins int
	// MaxConnections is the most connections at once, 10,000 by default.
	MaxConnections int
	// MaxPerAddress is the most connections at once from one IPv4 address or
	// one IPv6 /64, 50 by default. Loopback is not counted.
	MaxPerAddress int
	// Proxies are the addresses whose connections begin with a PROXY header.
	Proxies []netip.Prefix

	// LoginTimeout is how long a client may take from the greeting to its
	// login, three minutes by default.
	//
	// Deviation: RFC 1939 §3 wants ten minutes in every state; strangers do
	// not get them.
	LoginTimeout time.Duration
	// IdleTimeout is how long a client that has logged in may take to send a
	// command, ten minutes by default. RFC 1939 §3
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may take to read 32 KiB of what we
	// send, one minute by default.
	WriteTimeout time.Duration
	// DrainTimeout is how long commands may go on after the server has been
	// told to stop, thirty seconds by default.
	DrainTimeout time.Duration
}

func (o Options) withDefaults() Options {
	orElse(&o.Hostname, "localhost")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	orElse(&o.MaxErrors, 20)
	orElse(&o.MaxLogins, 5)
	orElse(&o.MaxConnections, 10_000)
	orElse(&o.MaxPerAddress, 50)
	orElse(&o.LoginTimeout, 3*time.Minute)
	orElse(&o.IdleTimeout, 10*time.Minute)
	orElse(&o.WriteTimeout, time.Minute)
	orElse(&o.DrainTimeout, 30*time.Second)
	return o
}

func orElse[T comparable](v *T, preset T) {
	if *v == *new(T) {
		*v = preset
	}
}

// service names the server in logs and to the sasl.Backend; the connections of
// each are numbered on their own.
func (o *Options) service() string {
	if o.ImplicitTLS {
		return "pop3s"
	}
	return "pop3"
}
