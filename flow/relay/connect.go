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
	"slices"
	"strconv"
	"strings"
	"time"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/trust/tlsrpt"
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
	local  bool   // to a store, by LMTP
	words  string // what remote gives; empty before

	// What was found of it by the demand of the message that is on it; see look.
	found  finding
	sure   bool   // it is a host of the domain, and has proven it
	remark string // the same in words
	fell   error  // why there is no TLS although it was begun
	clear  bool   // TLS was not even begun, as the administrator wants it
}

// remote names the host as people read it: name and address.
func (l *link) remote() string {
	if l.words == "" {
		l.words = remote(l.host, l.at)
	}
	return l.words
}

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
	if l == nil {
		return ""
	}
	words := ""
	if l.TLS() != nil {
		words = tls.VersionName(l.TLS().Version) + " " + tls.CipherSuiteName(l.TLS().CipherSuite)
	}
	switch {
	case l.remark == "":
		return words
	case words == "":
		return "no TLS, " + l.remark
	}
	return words + ", " + l.remark
}

// at gives where a host at an address listens.
func (d *dialer) at(addr netip.Addr, r Route) netip.AddrPort {
	port := d.port
	if r.Port != 0 {
		port = r.Port
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// kept gives a connection to one of a host's addresses that has been kept, is
// still alive, and is as it is demanded. Others are left to those who demand
// less.
func (d *dialer) kept(ctx context.Context, host string, addrs []netip.Addr, r Route, dm demand) *link {
	for _, addr := range addrs {
		var looked []*link // and found too weak
		for {
			l, since := d.pool.take(line{d.at(addr, r), r.name})
			if l == nil {
				break
			}
			if slices.Contains(looked, l) {
				d.pool.back(l, since)
				break
			}
			if l.host != host {
				l.host, l.words = host, ""
			}
			if l.clear != (dm.must == inClear) || l.look(dm, time.Now()) != nil {
				looked = append(looked, l)
				d.pool.back(l, since)
				continue
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
			l.reused = true
			return l
		}
	}
	return nil
}

// open makes a session over a new connection, which it owns, as it is demanded.
// Where TLS is only opportunistic the mail would go in the clear without (RFC
// 7435 §3): if the handshake fails, that is what it does. Errors are
// *smtp.Refusal (the peer's or ours), *unmet or *smtpclient.Lost.
func (d *dialer) open(ctx context.Context, conn net.Conn, host string, at netip.AddrPort, r Route, dm demand) (*link, error) {
	l, err := d.session(ctx, conn, host, at, r, dm)
	if errors.Is(err, errOutlived) {
		if conn, err = d.call(ctx, host, at, r); err != nil {
			return nil, err
		}
		dm.afresh = true
		l, err = d.session(ctx, conn, host, at, r, dm)
	}
	var failed *handshakeError
	if !errors.As(err, &failed) {
		if err == nil {
			l.clear = dm.must == inClear
		}
		return l, err
	}
	if dm.must > opportunistic || r.Implicit {
		return nil, dm.failed(remote(host, at), tlsrpt.ValidationFailure, failed.err)
	}
	d.log.Info("TLS failed, going on without", "host", host, "remote", at.String(), "err", failed.err)
	if conn, err = d.call(ctx, host, at, r); err != nil {
		return nil, err
	}
	dm.must = inClear
	if l, err = d.session(ctx, conn, host, at, r, dm); err == nil {
		l.fell = failed
	}
	return l, err
}

// errOutlived says that a session was resumed which does not prove any more what
// is demanded.
var errOutlived = errors.New("the resumed session has outlived its certificate")

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

// session greets the host and does what is demanded before mail goes.
func (d *dialer) session(ctx context.Context, conn net.Conn, host string, at netip.AddrPort, r Route, dm demand) (*link, error) {
	if r.Implicit {
		t := tls.Client(conn, d.config(dm))
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
	if loop := d.loop(c, host, at, r); loop != nil {
		c.Quit(ctx)
		return nil, loop
	}
	l := &link{Client: c, host: host, line: line{at, r.name}, roots: d.tls.RootCAs}
	if dm.must != inClear && c.TLS() == nil && c.Extensions().Has(smtp.STARTTLS) {
		err := c.StartTLS(ctx, d.config(dm))
		var refused *smtp.Refusal
		switch {
		case errors.As(err, &refused) && c.Usable() && c.TLS() == nil:
			// It has changed its mind (454): go on in the clear. RFC 3207 §4
		case err != nil:
			c.Close()
			return nil, &handshakeError{err}
		}
	}
	unmet := l.look(dm, time.Now())
	if dm.proof != noProof && !l.found.proven {
		d.sessionsFor(dm).forget(dm.server)
	}
	if l.outlived(dm) {
		l.Quit(ctx)
		return nil, errOutlived
	}
	if unmet != nil {
		l.Quit(ctx)
		return nil, unmet
	}
	if err := l.authenticate(ctx, r); err != nil {
		l.Quit(ctx)
		return nil, err
	}
	return l, nil
}

// config gives the client's settings for a host. Who it is shows afterwards:
// certificates are looked at by link.look, by whatever is demanded.
func (d *dialer) config(dm demand) *tls.Config {
	config := d.tls.Clone()
	config.ServerName, config.InsecureSkipVerify = dm.server, true
	config.ClientSessionCache = d.sessionsFor(dm)
	return config
}

// authenticate logs in, where the route wants it. What goes wrong there is for
// an administrator to mend: it is tried again.
func (l *link) authenticate(ctx context.Context, r Route) error {
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
