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

const (
	// connectTimeout is how long a host may take to answer a connection
	// request.
	connectTimeout = 30 * time.Second
	// probeAfter is from when on a kept connection is asked with RSET whether
	// the host is still there, and probeTimeout how long that may take.
	probeAfter   = time.Second
	probeTimeout = 5 * time.Second
	// maxSessions is how many TLS sessions are kept to be resumed.
	maxSessions = 2000
)

// A dialer connects to mail hosts, and keeps connections for the next message.
type dialer struct {
	hostname string
	port     int
	tls      *tls.Config
	log      *slog.Logger
	pool     *pool
	down     *down
}

// A link is a connection to a mail host with a session on it.
type link struct {
	*smtpclient.Client
	line
	host   string
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

// secured names the protection of a link, for an item's history.
func (l *link) secured() string {
	if l == nil || l.TLS() == nil {
		return ""
	}
	return tls.VersionName(l.TLS().Version) + " " + tls.CipherSuiteName(l.TLS().CipherSuite)
}

// at gives where a host at an address listens.
func (d *dialer) at(addr netip.Addr, r Route) netip.AddrPort {
	port := d.port
	if r.Port != 0 {
		port = r.Port
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// kept gives a connection to one of a host's addresses that has been kept and
// is still alive.
func (d *dialer) kept(ctx context.Context, host string, addrs []netip.Addr, r Route) *link {
	for _, addr := range addrs {
		for {
			l, since := d.pool.take(line{d.at(addr, r), r.name})
			if l == nil {
				break
			}
			if time.Since(since) >= probeAfter {
				probing, cancel := context.WithTimeout(ctx, probeTimeout)
				err := l.Reset(probing)
				cancel()
				if err != nil {
					l.Close()
					continue
				}
			}
			l.host, l.reused = host, true
			return l
		}
	}
	return nil
}

// open makes a session over a new connection, which it owns. TLS is
// opportunistic unless the route wants more: used where it is offered, whatever
// the certificate, since without it the mail would go in the clear (RFC 7435
// §3). If the handshake fails, that is what it does. Errors are *smtp.Refusal
// (the peer's or ours) or *smtpclient.Lost.
func (d *dialer) open(ctx context.Context, conn net.Conn, host string, at netip.AddrPort, r Route) (*link, error) {
	l, err := d.session(ctx, conn, host, at, r, true)
	var failed *handshakeError
	if !errors.As(err, &failed) {
		return l, err
	}
	if r.Security != Opportunistic || r.Implicit {
		return nil, &smtp.Refusal{
			Code: 451, Enhanced: smtp.Enhanced{4, 7, 5}, Err: failed.err,
			Text: fmt.Sprintf("TLS with %s failed, and the route demands it: %v", remote(host, at), failed.err),
		}
	}
	d.log.Info("TLS failed, going on without", "host", host, "remote", at.String(), "err", failed.err)
	if conn, err = d.call(ctx, host, at, r); err != nil {
		return nil, err
	}
	return d.session(ctx, conn, host, at, r, false)
}

// A handshakeError says that STARTTLS was accepted and TLS did not come about.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// call makes a connection to one address.
func (d *dialer) call(ctx context.Context, host string, at netip.AddrPort, r Route) (net.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	from := new(net.Dialer)
	for _, source := range r.Sources {
		if source.Is4() == at.Addr().Is4() {
			from.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
	}
	conn, err := from.DialContext(dialing, "tcp", at.String())
	if err != nil {
		return nil, &smtp.Refusal{
			Code: 451, Enhanced: smtp.Enhanced{4, 4, 1},
			Text: fmt.Sprintf("cannot connect to %s: %s", remote(host, at), reason(err)), Err: err,
		}
	}
	return conn, nil
}

// session greets the host and does what the route wants before mail goes.
func (d *dialer) session(ctx context.Context, conn net.Conn, host string, at netip.AddrPort, r Route, useTLS bool) (*link, error) {
	config := d.tls.Clone()
	config.ServerName = strings.Trim(host, "[]")
	config.InsecureSkipVerify = r.Security != Verified
	if r.Implicit {
		t := tls.Client(conn, config)
		handshake, cancel := context.WithTimeout(ctx, connectTimeout)
		err := t.HandshakeContext(handshake)
		cancel()
		if err != nil {
			_ = conn.Close()
			return nil, &handshakeError{err}
		}
		conn = t
	}
	hello := d.hostname
	if r.Hello != "" {
		hello = r.Hello
	}
	c, err := smtpclient.New(ctx, conn, smtpclient.Options{Hostname: hello, Log: d.log})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	l := &link{Client: c, host: host, line: line{at, r.name}, roots: d.tls.RootCAs}
	if useTLS && c.TLS() == nil && c.Extensions().Has(smtp.STARTTLS) {
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
	if err := l.authenticate(ctx, r); err != nil {
		l.Quit(ctx)
		return nil, err
	}
	return l, nil
}

// authenticate checks that the link is as the route wants it, and logs in.
// What goes wrong there is for an administrator to mend: it is tried again.
func (l *link) authenticate(ctx context.Context, r Route) error {
	if r.Security != Opportunistic && l.TLS() == nil {
		return &smtp.Refusal{
			Code: 451, Enhanced: smtp.Enhanced{4, 7, 10},
			Text: fmt.Sprintf("%s offers no TLS, and the route demands it", l.host),
		}
	}
	if r.User == "" {
		return nil
	}
	if err := l.Auth(ctx, r.User, r.Password); err != nil {
		return &smtp.Refusal{
			Code: 451, Enhanced: smtp.Enhanced{4, 7, 8},
			Text: fmt.Sprintf("cannot log in to %s as %s: %v", l.remote(), r.User, err), Err: err,
		}
	}
	return nil
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
