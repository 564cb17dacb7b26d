package pop3server

import (
	"context"
	"crypto/tls"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/netip"

	"waxwing/mail"
	"waxwing/proto/sasl"
)

// A Newer opens the maildrop of who has logged in and takes its lock. A
// *pop3.Refusal is said as it is (with pop3.InUse if another session has the
// lock, with pop3.LoginDelay if the last login was too short ago); any other
// error is logged and said as -ERR [SYS/TEMP]. In both cases nothing stays
// open.
type Newer func(ctx context.Context, info *Info, who sasl.Identity) (Session, error)

// A Session is one opened and locked maildrop, as it was at the login.
// Messages are counted from 0. Its methods are called one at a time. An error
// that is a *pop3.Refusal is said as it is; any other is logged and said as
// -ERR [SYS/TEMP].
type Session interface {
	// Len is how many messages there are. It never changes.
	Len() int
	// Size is the octets of message i, as Open gives them.
	Size(i int) mail.ByteCount
	// AppendUniqueID appends the unique-id of message i: 1 to 70 octets of
	// printable ASCII without space that no other message of the maildrop
	// ever had or will have. RFC 1939 §7
	AppendUniqueID(dst []byte, i int) []byte

	// Open opens message i. Without utf8 the client has not asked for UTF-8
	// mode, and what is given has an ASCII header, which may change its size
	// (RFC 6856 §2.1, RFC 6858 §4).
	Open(ctx context.Context, i int, utf8 bool) (Message, error)

	// Update is the UPDATE state (RFC 1939 §6): it deletes all of deleted or
	// none, durably, and remembers that retrieved have been read.
	Update(ctx context.Context, deleted, retrieved iter.Seq[int]) error

	// Close gives up the lock. It is called once, whatever happened.
	Close()
}

// A Message is an open message.
type Message interface {
	io.ReaderAt
	Size() mail.ByteCount
	Close() error
}

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
