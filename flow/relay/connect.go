package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
)

// connectTimeout is how long a host may take to answer a connection request.
const connectTimeout = 30 * time.Second

// A dialer connects to mail hosts, and keeps connections for the next message.
type dialer struct {
	hostname string
	port     int
	tls      *tls.Config
	log      *slog.Logger
	pool     *pool
}

// A link is a connection to a mail host with a session on it.
type link struct {
	*smtpclient.Client
	host   string
	at     netip.AddrPort
	roots  *x509.CertPool // whom verified trusts; nil for the system's
	sent   int            // messages so far
	reused bool
	local  bool // to a store, by LMTP
}

// remote names the host as people read it: name and address.
func (l *link) remote() string { return remote(l.host, l.at) }

func remote(host string, at netip.AddrPort) string {
	switch {
	case strings.HasPrefix(host, "["):
		return at.String() // it has no name
	case !at.IsValid():
		return host // a store
	}
	return fmt.Sprintf("%s[%s]", host, at)
}

// at gives where a host at an address listens.
func (d *dialer) at(addr netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(addr, uint16(d.port))
}

// connect gives a session with one address of a host, a kept one if there is
// one. Errors are *smtp.Refusal (the peer's or, with 4.4.1, ours) or
// *smtpclient.Lost.
func (d *dialer) connect(ctx context.Context, host string, addr netip.Addr) (*link, error) {
	at := d.at(addr)
	if l := d.pool.take(at); l != nil {
		l.host, l.reused = host, true
		return l, nil
	}
	return d.dial(ctx, host, at)
}

// dial makes a new connection. TLS is opportunistic: used where it is
// offered, whatever the certificate, since without it the mail would go in
// the clear (RFC 7435 §3). If the handshake fails, that is what it does.
func (d *dialer) dial(ctx context.Context, host string, at netip.AddrPort) (*link, error) {
	l, err := d.session(ctx, host, at, true)
	var failed *handshakeError
	if errors.As(err, &failed) {
		d.log.Info("TLS failed, going on without", "host", host, "remote", at.String(), "err", failed.err)
		l, err = d.session(ctx, host, at, false)
	}
	return l, err
}

// A handshakeError says that STARTTLS was accepted and TLS did not come about.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

func (d *dialer) session(ctx context.Context, host string, at netip.AddrPort, useTLS bool) (*link, error) {
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(dialing, "tcp", at.String())
	if err != nil {
		return nil, &smtp.Refusal{
			Code: 451, Enhanced: smtp.Enhanced{4, 4, 1},
			Text: fmt.Sprintf("cannot connect to %s: %s", remote(host, at), reason(err)), Err: err,
		}
	}
	c, err := smtpclient.New(ctx, conn, smtpclient.Options{Hostname: d.hostname, Log: d.log})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if useTLS && c.Extensions().Has(smtp.STARTTLS) {
		config := d.tls.Clone()
		config.ServerName = host
		config.InsecureSkipVerify = true
		err := c.StartTLS(ctx, config)
		var refused *smtp.Refusal
		switch {
		case errors.As(err, &refused) && c.Usable() && c.TLS() == nil:
			// It has changed its mind (454): go on in the clear. RFC 3207 §4
		case err != nil:
			c.Close()
			return nil, &handshakeError{err}
		}
	}
	return &link{Client: c, host: host, at: at, roots: d.tls.RootCAs}, nil
}

// reason says why a connection failed without the addresses that Go repeats.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + strconv.Itoa(int(connectTimeout/time.Second)) + " seconds"
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	}
	return err.Error()
}
