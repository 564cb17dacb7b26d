package imapserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
)

// A Newer opens the account of who has logged in. A *imap.Refusal is said as
// it is; any other error is logged and said as NO [UNAVAILABLE].
type Newer func(ctx context.Context, info *Info, who sasl.Identity) (Account, error)

// Info is what is known of a connection.
type Info struct {
	// Conn numbers the connections of a server.
	Conn uint64
	// Remote and Local are the two ends.
	Remote, Local net.Addr
	// TLS is the state after the handshake, nil without TLS.
	TLS *tls.ConnectionState
	// Log has the connection's keys set.
	Log *slog.Logger
}

// Addr gives the remote IP address; the zero Addr where there is none.
func (i *Info) Addr() netip.Addr {
	if t, ok := i.Remote.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Options says how a server behaves. The zero value of each field is a
// sensible default.
type Options struct {
	// Hostname stands in the greeting.
	Hostname string
	// Log takes what an operator asks about later; the dialog at Debug,
	// without secrets.
	Log *slog.Logger
	// Version is told in answer to ID.
	Version string

	// TLS is the configuration for STARTTLS and implicit TLS; nil offers none.
	TLS *tls.Config
	// ImplicitTLS begins with the handshake. RFC 8314 §3.2
	ImplicitTLS bool

	// Auth checks logins.
	Auth sasl.Backend
	// Tokens takes bearer tokens for logins (OAUTHBEARER, XOAUTH2); nil takes
	// none.
	Tokens *sasl.Tokens
	// PlaintextAuth permits LOGIN and the mechanisms that show the password
	// without TLS too.
	PlaintextAuth bool
	// PlaintextOnLoopback permits them to clients on this machine alone.
	PlaintextOnLoopback bool

	// MaxMessage is the largest message that APPEND takes, 50 MB by default.
	MaxMessage mail.ByteCount
	// MessageLimit is how many messages one command may work on, announced as
	// MESSAGELIMIT; a million by default. RFC 9738
	MessageLimit int
	// MaxCommand is the longest command with its literals once the client
	// has logged in, 256 KiB by default; before, it is 16 KiB.
	MaxCommand int

	// MaxErrors is how many commands may be malformed before the connection
	// is closed, 20 by default; three times as many after the login.
	MaxErrors int
	// MaxLogins is how many logins may fail before the connection is closed,
	// 5 by default.
	MaxLogins int
	// MaxConnections is the most connections at once, 20,000 by default.
	MaxConnections int
	// MaxPerAddress is the most connections at once from one IPv4 address or
	// one IPv6 /64, 200 by default. Loopback is not counted.
	MaxPerAddress int
	// Proxies are the addresses whose connections begin with a PROXY header.
	Proxies []netip.Prefix
	// MaxPerAccount is the most connections at once that are logged in to
	// one account, 1,000 by default.
	MaxPerAccount int

	// LoginTimeout is how long a client may take from the greeting to its
	// login, three minutes by default.
	LoginTimeout time.Duration
	// IdleTimeout is how long a client that has logged in may be silent,
	// thirty-one minutes by default. RFC 9051 §5.4 wants at least thirty.
	IdleTimeout time.Duration
	// ReadTimeout is how long a client may pause within a command, five
	// minutes by default.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take to read 32 KiB of what we
	// send, two minutes by default.
	WriteTimeout time.Duration
	// DrainTimeout is how long commands may go on after the server has been
	// told to stop, thirty seconds by default.
	DrainTimeout time.Duration
}

// maxEarlyCommand bounds a command before the login: an AUTHENTICATE line of
// SASL's full size fits in.
const maxEarlyCommand = 16 << 10

func (o Options) withDefaults() Options {
	orElse(&o.Hostname, "localhost")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	orElse(&o.MaxMessage, 50e6)
	orElse(&o.MessageLimit, 1_000_000)
	orElse(&o.MaxCommand, 256<<10)
	orElse(&o.MaxErrors, 20)
	orElse(&o.MaxLogins, 5)
	orElse(&o.MaxConnections, 20_000)
	orElse(&o.MaxPerAddress, 200)
	orElse(&o.MaxPerAccount, 1_000)
	orElse(&o.LoginTimeout, 3*time.Minute)
	orElse(&o.IdleTimeout, 31*time.Minute)
	orElse(&o.ReadTimeout, 5*time.Minute)
	orElse(&o.WriteTimeout, 2*time.Minute)
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
		return "imaps"
	}
	return "imap"
}
