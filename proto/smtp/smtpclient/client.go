package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/smtp"
)

// Options says how a client behaves.
type Options struct {
	// Hostname is what we call ourselves, a name that resolves to us or an
	// address literal. RFC 5321 §4.1.1.1
	Hostname string
	// LMTP speaks that protocol: each recipient has an answer of its own to
	// the message. RFC 2033
	LMTP bool
	// Log takes the dialog, at Debug.
	Log *slog.Logger
}

// A Client is one connection to a server.
type Client struct {
	nc       net.Conn
	hostname string
	lmtp     bool
	log      *slog.Logger
	in, out  []byte
	tls      *tls.ConnectionState

	greeting   string
	offers     map[string]string // EHLO keyword in capitals -> its parameters
	extensions smtp.Extensions
	maxSize    mail.ByteCount
	limits     Limits

	heeded   <-chan struct{} // of the context that Heed has been told
	heedless func() bool     // undoes that; nil for nothing

	open   bool  // a transaction may be open at the peer's
	broken *Lost // nothing more can be done
}

// New waits for the greeting on a new connection (on a *tls.Conn where TLS is
// implicit) and says EHLO, or HELO to those who do not know that. On an error
// the caller still has to close nc.
func New(ctx context.Context, nc net.Conn, o Options) (*Client, error) {
	c := &Client{nc: nc, hostname: o.Hostname, lmtp: o.LMTP, log: o.Log, in: make([]byte, 0, 4096)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.hostname == "" {
		c.hostname = "localhost"
	}
	if t, ok := nc.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.tls = &state
	}
	if err := c.greet(ctx); err != nil {
		return nil, err
	}
	if err := c.hello(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context) error {
	defer c.watch(ctx)()
	r, err := c.expect(ctx, "greeting", 2, greetingTimeout)
	c.greeting = r.Text
	return err
}

// hello says EHLO, and HELO if that is refused. RFC 5321 §3.2
func (c *Client) hello(ctx context.Context) error {
	c.offers, c.extensions, c.maxSize, c.limits = nil, 0, 0, Limits{}
	if strings.ContainsFunc(c.hostname, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("host name %q cannot be said in EHLO", c.hostname)
	}
	verb := "EHLO"
	if c.lmtp {
		verb = "LHLO" // RFC 2033 §4.1
	}
	r, err := c.command(ctx, verb, verb+" "+c.hostname, commandTimeout, 2)
	var refused *smtp.Refusal
	if errors.As(err, &refused) && !c.lmtp && !refused.Temporary() && c.broken == nil {
		_, err = c.command(ctx, "HELO", "HELO "+c.hostname, commandTimeout, 2)
		return err
	}
	if err == nil {
		c.learn(r.Text)
	}
	return err
}

// learn reads what EHLO was answered with. RFC 5321 §4.1.1.1
func (c *Client) learn(text string) {
	c.offers = map[string]string{}
	_, lines, _ := strings.Cut(text, "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		keyword, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToUpper(keyword)
		c.offers[keyword] = strings.TrimSpace(parameters)
		c.extensions |= smtp.ExtensionNamed(keyword)
	}
	if n, err := strconv.ParseInt(c.offers["SIZE"], 10, 64); err == nil && n > 0 {
		c.maxSize = mail.ByteCount(n) // zero means no limit, RFC 1870 §4
	}
	c.limits = parseLimits(c.offers["LIMITS"])
}

// Limits is what a peer says it takes; zero for what it does not say.
// RFC 9422 §4
type Limits struct {
	Messages   int // transactions on the connection, MAILMAX
	Recipients int // of a transaction, RCPTMAX
	Domains    int // among the recipients of a transaction, RCPTDOMAINMAX
}

// parseLimits reads name=value pairs; what is malformed or not known is
// ignored. RFC 9422 §3
func parseLimits(s string) (l Limits) {
	for word := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || len(value) > 6 {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			l.Messages = n
		case "RCPTMAX":
			l.Recipients = n
		case "RCPTDOMAINMAX":
			l.Domains = n
		}
	}
	return l
}

// Limits gives what the peer says it takes.
func (c *Client) Limits() Limits { return c.limits }

// MinDeliverBy is the least time that the peer takes with DELIVERBY and
// by-mode R, in seconds; zero if it does not say. RFC 2852 §2
func (c *Client) MinDeliverBy() int64 {
	least, _, _ := strings.Cut(c.offers["DELIVERBY"], ",")
	n, err := strconv.ParseInt(strings.TrimSpace(least), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Greeting is the text of the peer's greeting.
func (c *Client) Greeting() string { return c.greeting }

// Extensions gives what the peer offers, as far as it is known here.
func (c *Client) Extensions() smtp.Extensions { return c.extensions }

// Offers tells whether EHLO was answered with the keyword (in capitals), and
// with which parameters.
func (c *Client) Offers(keyword string) (parameters string, ok bool) {
	parameters, ok = c.offers[keyword]
	return parameters, ok
}

// MaxSize is the largest message that the peer says it takes, zero for
// unlimited or unknown. RFC 1870 §4
func (c *Client) MaxSize() mail.ByteCount { return c.maxSize }

// TLS is the state of TLS, nil without.
func (c *Client) TLS() *tls.ConnectionState { return c.tls }

// Usable tells whether another transaction can be tried on the connection.
func (c *Client) Usable() bool { return c.broken == nil }

// StartTLS begins TLS and says EHLO again. RFC 3207 §4. A *smtp.Refusal
// leaves the connection as it was; after any other error it is of no use. An
// untrusted certificate is found with errors.As and
// *tls.CertificateVerificationError.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	if c.tls != nil {
		return errors.New("TLS is already in use")
	}
	if _, err := c.command(ctx, "STARTTLS", "STARTTLS", commandTimeout, 2); err != nil {
		return err
	}
	if len(c.in) > 0 {
		// Whoever put this here wants it to be taken for what the peer says
		// under TLS. RFC 3207 §6
		c.in = c.in[:0]
		return c.lost(ctx, "STARTTLS", errors.New("more than a reply came before the TLS handshake"))
	}
	t := tls.Client(c.nc, config)
	c.within(ctx, commandTimeout)
	if err := t.HandshakeContext(ctx); err != nil {
		return c.lost(ctx, "TLS handshake", err)
	}
	state := t.ConnectionState()
	c.nc, c.tls = t, &state
	return c.hello(ctx) // RFC 3207 §4.2: nothing from before counts
}

// Noop asks whether the peer is still there. RFC 5321 §4.1.1.9
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.command(ctx, "NOOP", "NOOP", commandTimeout, 2)
	return err
}

// Reset abandons what may be left of a transaction. RFC 5321 §4.1.1.5
func (c *Client) Reset(ctx context.Context) error {
	_, err := c.command(ctx, "RSET", "RSET", commandTimeout, 2)
	if err == nil {
		c.open = false
	}
	return err
}

// Quit takes leave, shortly, and closes the connection. What the peer says to
// it does not matter. RFC 5321 §4.1.1.10
func (c *Client) Quit(ctx context.Context) {
	if c.broken == nil {
		_, _ = c.command(ctx, "QUIT", "QUIT", quitTimeout, 2)
	}
	c.Close()
}

// Close closes the connection without a word.
func (c *Client) Close() {
	if c.broken == nil {
		c.broken = &Lost{Step: "nothing", Err: net.ErrClosed}
	}
	if c.heedless != nil {
		c.heedless()
	}
	_ = c.nc.SetDeadline(time.Now().Add(time.Second)) // for TLS's close_notify
	_ = c.nc.Close()
}
