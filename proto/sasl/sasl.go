// Package sasl is the server side of SASL (RFC 4422) as SMTP, IMAP, POP3 and
// ManageSieve use it: the mechanisms as state machines without I/O. Who a
// user is and whether a password is right is asked of a Backend, which the
// house hands in.
package sasl

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"

	"waxwing/mail"
)

// Errors of an exchange. Each protocol maps them to its own replies.
var (
	// ErrCredentials: the user or the password is wrong; which of the two is
	// never said.
	ErrCredentials = errors.New("authentication credentials invalid")
	// ErrAborted: the client sent "*".
	ErrAborted = errors.New("authentication aborted by the client")
	// ErrMalformed: the client's message is not what the mechanism wants.
	ErrMalformed = errors.New("malformed authentication message")
	// ErrThrottled: too many failures from this address or for this account;
	// temporary.
	ErrThrottled = errors.New("too many failed logins, try again later")
	// ErrTemporary: it could not be found out just now.
	ErrTemporary = errors.New("temporary authentication failure")
)

// An Identity is who an exchange has proved to be there.
type Identity struct {
	Account mail.AccountID
	// Login is the account's main address, whatever was typed.
	Login mail.Address
	// Mechanism is what proved it, such as "SCRAM-SHA-256".
	Mechanism string
}

// A Peer tells a backend whom it is talking to, for throttling and logs.
type Peer struct {
	Addr    netip.Addr
	Service string // "smtp", "submission", "imap", "pop3"
	TLS     bool
}

// A Backend knows the users. Its answers take as long for users that exist
// as for those that do not.
type Backend interface {
	// Password checks user and password. authzid is the identity to act as,
	// empty for the user's own. Fails with ErrCredentials, ErrThrottled or
	// something that wraps ErrTemporary.
	Password(ctx context.Context, peer Peer, authzid, user, password string) (Identity, error)

	// SCRAM gives the SCRAM-SHA-256 keys of user (RFC 5802 §3). For a user
	// who does not exist they are made up, always the same ones.
	SCRAM(ctx context.Context, peer Peer, user string) (SCRAMKeys, error)

	// SCRAMResult tells how an exchange that SCRAM began has ended, so that
	// failures are counted, and resolves the identity of a success.
	SCRAMResult(ctx context.Context, peer Peer, authzid, user string, succeeded bool) (Identity, error)
}

// SCRAMKeys is what a server stores for SCRAM. RFC 5802 §3
type SCRAMKeys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// A Conversation is one exchange. RFC 4422 §3
type Conversation interface {
	// Next takes the client's decoded message (nil where the protocol has
	// sent no initial response) and gives the next challenge. When done is
	// true the exchange has succeeded; a challenge that comes with it is
	// additional data that still has to be sent (RFC 4422 §3.6).
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)

	// Identity is valid once Next has said done.
	Identity() Identity
}

// A Channel is what a mechanism may know of the connection.
type Channel struct {
	Peer Peer
	// TLS is the state of the connection, nil without TLS.
	TLS *tls.ConnectionState
	// Certificate is the leaf that the server presented, in DER, for
	// tls-server-end-point (RFC 5929 §4).
	Certificate []byte
	// PlaintextAllowed permits mechanisms that show the password, even
	// without TLS.
	PlaintextAllowed bool
	// Tokens takes bearer tokens; nil offers no mechanism for them.
	Tokens *Tokens
	// HideBinding leaves SCRAM-SHA-256-PLUS out of the list. Whoever asks for
	// it gets it; whoever says that it was not in the list is believed.
	HideBinding bool
}
