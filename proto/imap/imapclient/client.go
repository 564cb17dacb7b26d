package imapclient

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Timeouts: how long a server may be silent.
const (
	commandTimeout = 5 * time.Minute // opening a large mailbox takes its time
	logoutTimeout  = 5 * time.Second
)

// A Refusal is a NO or BAD that answers a command.
type Refusal struct {
	Command string
	Code    string // the response code, such as "AUTHENTICATIONFAILED"; may be empty
	Text    string
}

func (r *Refusal) Error() string { return fmt.Sprintf("the server refused %s: %s", r.Command, r.Text) }

// Lost says that the connection is of no more use. Another one may do.
type Lost struct {
	Step string
	Err  error
}

func (l *Lost) Error() string { return fmt.Sprintf("connection lost at %s: %v", l.Step, l.Err) }
func (l *Lost) Unwrap() error { return l.Err }

// A Client is one connection. It is used by one goroutine.
type Client struct {
	nc      net.Conn
	in      *reader
	out     *bufio.Writer
	deflate *flate.Writer // between out and nc, nil without
	tags    int
	caps    map[string]bool // in capitals; nil when they are not known
	utf8    bool            // names are UTF-8. RFC 6855 §3

	prefix, separator string // of mailboxes, as List has found them

	preauth bool
	broken  *Lost

	cancelled atomic.Bool // the context of what is under way has ended
}

// New waits for the greeting on a new connection (a *tls.Conn where TLS is
// implicit). On an error the caller still has to close nc.
func New(ctx context.Context, nc net.Conn) (*Client, error) {
	c := &Client{nc: nc, out: bufio.NewWriter(nc)}
	c.in = newReader(nc, c.alive)
	defer c.watch(ctx)()
	r, err := c.in.response(nil)
	if err != nil {
		return nil, c.lost(ctx, "greeting", err)
	}
	switch r.word {
	case "OK":
	case "PREAUTH":
		c.preauth = true
	default:
		return nil, c.lost(ctx, "greeting", fmt.Errorf("the server does not want to talk: %s", r.text))
	}
	c.learn(r)
	return c, nil
}

// watch ends what is under way when ctx ends.
func (c *Client) watch(ctx context.Context) func() {
	c.cancelled.Store(false)
	c.alive()
	nc := c.nc
	stop := context.AfterFunc(ctx, func() {
		c.cancelled.Store(true)
		_ = nc.SetDeadline(time.Unix(1, 0))
	})
	return func() { stop() }
}

// alive gives the server its time again.
func (c *Client) alive() {
	_ = c.nc.SetDeadline(time.Now().Add(commandTimeout))
	if c.cancelled.Load() {
		_ = c.nc.SetDeadline(time.Unix(1, 0))
	}
}

func (c *Client) lost(ctx context.Context, step string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.broken = &Lost{step, err}
	return c.broken
}

// learn takes capabilities from a response code. RFC 9051 §7.1
func (c *Client) learn(r *response) {
	if r.code == "CAPABILITY" {
		c.caps = map[string]bool{}
		for _, name := range strings.Fields(strings.ToUpper(r.argument)) {
			c.caps[name] = true
		}
	}
}

// Has tells whether the server has a capability, given in capitals.
func (c *Client) Has(name string) bool { return c.caps[name] }

// Usable tells whether another command can be tried.
func (c *Client) Usable() bool { return c.broken == nil }

// begin writes a command and gives its tag; it may stay in the buffer.
func (c *Client) begin(text string) string {
	c.tags++
	tag := "W" + strconv.Itoa(c.tags)
	_, _ = c.out.WriteString(tag + " " + text + "\r\n") // its error comes with Flush
	return tag
}

func (c *Client) flush() error {
	err := c.out.Flush()
	if c.deflate != nil && err == nil {
		err = c.deflate.Flush()
	}
	return err
}

// command runs a command and gives its tagged response; each gets the
// untagged ones.
func (c *Client) command(ctx context.Context, text string, each func(*response) error) (*response, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	name, _, _ := strings.Cut(text, " ")
	defer c.watch(ctx)()
	tag := c.begin(text)
	if err := c.flush(); err != nil {
		return nil, c.lost(ctx, name, err)
	}
	r, err := c.await(ctx, name, tag, each, nil)
	if err == nil && r.tag == "+" {
		err = c.lost(ctx, name, errUnasked)
	}
	return r, err
}

var errUnasked = errors.New("the server wants more, though there is no more")

// maxUntagged bounds the untagged responses to one command.
const maxUntagged = 50_000_000

// await reads until the tagged response.
func (c *Client) await(ctx context.Context, name, tag string, each func(*response) error, bodies *bodies) (*response, error) {
	for range maxUntagged {
		r, err := c.in.response(bodies)
		if err != nil {
			var own *ownError
			if errors.As(err, &own) {
				c.broken = &Lost{name, own.err} // the rest of the answer is unread
				return nil, own.err
			}
			return nil, c.lost(ctx, name, err)
		}
		c.alive()
		switch {
		case r.tag == tag:
			c.learn(r)
			if r.word != "OK" {
				return r, &Refusal{name, r.code, r.text}
			}
			return r, nil
		case r.tag == "+":
			return r, nil
		case r.tag != "*":
			return nil, c.lost(ctx, name, fmt.Errorf("an answer to %q, which is not under way", r.tag))
		case r.word == "BYE":
			return nil, c.lost(ctx, name, fmt.Errorf("the server hangs up: %s", r.text))
		}
		c.learn(r)
		if r.word == "CAPABILITY" {
			c.caps = map[string]bool{}
			for _, v := range r.values {
				c.caps[strings.ToUpper(v.text)] = true
			}
		}
		if each != nil {
			if err := each(r); err != nil {
				return nil, c.lost(ctx, name, err)
			}
		}
	}
	return nil, c.lost(ctx, name, errors.New("the answer has no end"))
}

// capability asks what the server can do, if it has not said so.
func (c *Client) capability(ctx context.Context) error {
	if c.caps != nil {
		return nil
	}
	_, err := c.command(ctx, "CAPABILITY", nil)
	return err
}

// TLS tells whether the connection is encrypted.
func (c *Client) TLS() bool {
	_, ok := c.nc.(*tls.Conn)
	return ok
}

// StartTLS begins TLS. RFC 9051 §6.2.1
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	if err := c.capability(ctx); err != nil {
		return err
	}
	if c.preauth { // RFC 9051 §11.1: a greeting that skips TLS may be forged
		return errors.New("the server has logged us in before TLS could begin")
	}
	if _, err := c.command(ctx, "STARTTLS", nil); err != nil {
		return err
	}
	if c.in.buffered() > 0 {
		// Whoever put this here wants it to be taken for what the server says
		// under TLS.
		return c.lost(ctx, "STARTTLS", errors.New("more than an answer came before the TLS handshake"))
	}
	t := tls.Client(c.nc, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return c.lost(ctx, "TLS handshake", err)
	}
	c.nc, c.in, c.out, c.caps = t, newReader(t, c.alive), bufio.NewWriter(t), nil
	return nil
}

// settle is what follows a login: what the server can do now, names in UTF-8,
// compression.
func (c *Client) settle(ctx context.Context) error {
	if err := c.capability(ctx); err != nil {
		return err
	}
	if c.Has("ENABLE") && c.Has("UTF8=ACCEPT") {
		_, err := c.command(ctx, "ENABLE UTF8=ACCEPT", func(r *response) error {
			c.utf8 = c.utf8 || r.word == "ENABLED" && r.has("UTF8=ACCEPT")
			return nil
		})
		if err != nil && c.broken != nil {
			return err
		}
	}
	if c.Has("COMPRESS=DEFLATE") {
		return c.compress(ctx)
	}
	return nil
}

// compress begins compression in both directions. RFC 4978 §3
func (c *Client) compress(ctx context.Context) error {
	if _, err := c.command(ctx, "COMPRESS DEFLATE", nil); err != nil {
		if c.broken != nil {
			return err
		}
		return nil // refused: it goes on without
	}
	var err error
	if c.deflate, err = flate.NewWriter(c.nc, flate.DefaultCompression); err != nil {
		return err
	}
	c.out = bufio.NewWriter(c.deflate)
	early := make([]byte, c.in.buffered()) // compressed already
	_, _ = io.ReadFull(c.in.br, early)
	c.in = newReader(flate.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(early), c.nc))), c.alive)
	return nil
}

// Noop asks whether the server is still there.
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.command(ctx, "NOOP", nil)
	return err
}

// Logout takes leave, shortly, and closes the connection.
func (c *Client) Logout(ctx context.Context) {
	if c.broken == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		_, _ = c.command(ctx, "LOGOUT", nil)
		cancel()
	}
	c.Close()
}

// Close closes the connection without a word.
func (c *Client) Close() {
	if c.broken == nil {
		c.broken = &Lost{"nothing", net.ErrClosed}
	}
	_ = c.nc.SetDeadline(time.Now().Add(time.Second)) // for TLS's close_notify
	_ = c.nc.Close()
}
