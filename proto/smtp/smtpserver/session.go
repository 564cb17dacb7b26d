package smtpserver

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
)

// A Newer makes the Session of a new connection, before the greeting (and,
// where TLS is implicit, after the handshake). A *smtp.Refusal is said in
// place of the greeting: with code 421 the connection is closed, with a 5xx
// code the client may only QUIT (RFC 5321 §3.1).
//
// The machine owns info and keeps it current; the Session may read it while
// one of its methods runs.
type Newer func(ctx context.Context, info *Info) (Session, error)

// A Session is what stands behind one connection. Its methods are called one
// at a time, in an order that the machine has already checked. An error that
// is a *smtp.Refusal is said as it is; any other error is logged and said as
// 451 4.3.0.
type Session interface {
	// Hello takes the client's greeting. It may come again; the transaction
	// is then reset (RFC 5321 §4.1.4).
	Hello(ctx context.Context, name string, extended bool) error

	// Authenticated tells who has logged in. An error refuses the login.
	Authenticated(ctx context.Context, who sasl.Identity) error

	// Mail begins a transaction.
	Mail(ctx context.Context, m smtp.Mail) error

	// Rcpt adds a recipient. It is not called for more than
	// Options.MaxRecipients accepted ones.
	Rcpt(ctx context.Context, r smtp.Rcpt) error

	// Data takes the message: dot-unstuffed, CR LF lines, within
	// Options.MaxSize. The reader also is an io.WriterTo. Only io.EOF from r
	// says that the message is whole: on any other error from r nothing may
	// be kept, and what Data returns is not used. Data may return an error
	// before it has read everything. The transaction ends with Data.
	Data(ctx context.Context, r io.Reader) (smtp.Reply, error)

	// Verify and Expand answer VRFY and EXPN. RFC 5321 §3.5.3
	Verify(ctx context.Context, who string) (smtp.Reply, error)
	Expand(ctx context.Context, list string) (smtp.Reply, error)

	// Reset forgets the transaction. It is called only if Mail has succeeded
	// since the last Data or Reset.
	Reset()

	// Close ends the session. It is called once, whatever happened.
	Close()
}

// A Distributor is a Session that answers for each recipient by itself, as
// LMTP wants it. RFC 2033 §4.2
type Distributor interface {
	Session
	// DataEach is Data with one reply for each accepted recipient, in their
	// order; they may be refusals. An error is said for all of them.
	DataEach(ctx context.Context, r io.Reader) ([]smtp.Reply, error)
}

// A Greeter is a Session that lets some clients wait for the greeting, to see
// who does not: whoever speaks first breaks the rules (RFC 5321 §3.1). A client
// that a proxy speaks for with XCLIENT is not made to wait.
type Greeter interface {
	Session
	// GreetingDelay is how long the greeting waits; zero does not. It is called
	// once, right after the Session has been made.
	GreetingDelay() time.Duration
	// EarlyTalker tells that the client did not wait. An error is said in place
	// of the greeting, as one of Newer is.
	EarlyTalker(ctx context.Context) error
}

// A Listener is a Session that hears of commands which are none.
type Listener interface {
	Session
	// Unknown takes the line. A *smtp.Refusal is said in place of ours.
	Unknown(ctx context.Context, line string) error
}

// A Bystander is a Session that hears of mail which the machine has refused
// without asking it: too large, say, or with an address that is none.
type Bystander interface {
	Session
	// Declined tells of a smtp.Mail or smtp.Rcpt, which is zero if it could not
	// be read.
	Declined(cmd smtp.Command, why *smtp.Refusal)
}

// Info is what is known of a connection.
type Info struct {
	// Conn numbers the connections of a server.
	Conn uint64
	// Remote and Local are the two ends; where a proxy speaks for the client
	// (XCLIENT, PROXY), those that it has told.
	Remote, Local net.Addr
	// TLS is the state after the handshake, nil without TLS.
	TLS *tls.ConnectionState
	// Hello is what the client called itself, empty before HELO or EHLO;
	// Extended says that it was EHLO.
	Hello    string
	Extended bool
	// UTF8 says that the current transaction uses SMTPUTF8.
	UTF8 bool
	// LMTP says that the protocol is LMTP.
	LMTP bool
	// ReverseName is the client's name as a proxy has looked it up; empty
	// where none has.
	ReverseName string
	// Identity is who has logged in, nil for nobody.
	Identity *sasl.Identity
	// Log has the connection's keys set.
	Log *slog.Logger
}

// Addr gives the remote IP address; the zero Addr where there is none.
func (i *Info) Addr() netip.Addr { return addrOf(i.Remote) }

// LocalAddr gives the IP address that the client has connected to; the zero
// Addr where there is none.
func (i *Info) LocalAddr() netip.Addr { return addrOf(i.Local) }

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Protocol gives the word for the "with" clause of a Received field.
// RFC 3848, RFC 6531 §4.3
func (i *Info) Protocol() string {
	if !i.Extended {
		// HELO after STARTTLS has no word of its own.
		return "SMTP"
	}
	word := "ESMTP"
	if i.LMTP {
		word = "LMTP"
	}
	if i.UTF8 {
		word = "UTF8" + strings.TrimPrefix(word, "E") // UTF8SMTP, UTF8LMTP
	}
	if i.TLS != nil {
		word += "S"
	}
	if i.Identity != nil {
		word += "A"
	}
	return word
}
