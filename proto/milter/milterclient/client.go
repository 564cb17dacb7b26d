package milterclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"waxwing/proto/milter"
)

// Options say how to reach a filter, and how long to wait for it.
type Options struct {
	// Network and Address are as for net.Dial: "tcp" or "unix".
	Network, Address string
	// ConnectTimeout is for connecting and negotiating, CommandTimeout for one
	// answer to a command, ContentTimeout for one to a part of the message or
	// its end. The defaults are Postfix's: 30 s, 30 s and 300 s.
	ConnectTimeout, CommandTimeout, ContentTimeout time.Duration
	// MaxBody is how large a new body may be; 0 for 100 MiB.
	MaxBody int64
}

func (o Options) withDefaults() Options {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	if o.CommandTimeout == 0 {
		o.CommandTimeout = 30 * time.Second
	}
	if o.ContentTimeout == 0 {
		o.ContentTimeout = 300 * time.Second
	}
	if o.MaxBody == 0 {
		o.MaxBody = 100 << 20
	}
	return o
}

// maxBusy is how often the time for one answer begins anew because the filter
// says that it is still busy.
const maxBusy = 60

// A Conn is a connection to a filter. It is for one goroutine at a time.
type Conn struct {
	nc      net.Conn
	in      *bufio.Reader
	out     []byte // not sent yet
	packet  []byte
	options Options
	offer   milter.Offer // what the filter chose
	open    bool         // a message is under way
	broken  bool         // there was trouble: nothing more is said
	macros  func(name string) string
}

// Dial connects and negotiates. macros gives the value of a macro, which is
// not sent if it is empty; it is asked at each stage anew.
func Dial(ctx context.Context, o Options, macros func(name string) string) (*Conn, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, o.Network, o.Address)
	if err != nil {
		return nil, err
	}
	return New(ctx, nc, o, macros)
}

// New negotiates over a connection that is there. It closes nc if that fails.
func New(ctx context.Context, nc net.Conn, o Options, macros func(name string) string) (*Conn, error) {
	o = o.withDefaults()
	c := &Conn{nc: nc, in: bufio.NewReader(nc), options: o, macros: macros}
	ours := milter.Offer{Version: milter.Version, Actions: milter.AllActions, Steps: milter.AllSteps}
	c.out = ours.Append(c.out)
	err := c.during(ctx, o.ConnectTimeout, func() error {
		if err := c.flush(); err != nil {
			return err
		}
		p, err := c.read()
		if err != nil {
			return err
		}
		c.offer, err = milter.ParseOffer(p, ours)
		return err
	})
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("negotiate: %w", err)
	}
	return c, nil
}

// Close says goodbye and closes the connection.
func (c *Conn) Close() error {
	if c.broken {
		return c.nc.Close()
	}
	c.out = milter.AppendPlain(c.out, milter.Quit)
	_ = c.nc.SetDeadline(time.Now().Add(time.Second))
	return errors.Join(c.flush(), c.nc.Close())
}

// during runs fn with a deadline, which the end of ctx brings forward.
func (c *Conn) during(ctx context.Context, limit time.Duration, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := fn()
	c.broken = c.broken || err != nil
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// flush sends what waits.
func (c *Conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *Conn) read() (p milter.Packet, err error) {
	p, c.packet, err = milter.ReadPacket(c.in, c.packet)
	return p, err
}

// goOn is the verdict of a filter that was not asked, or does not answer.
var goOn = milter.Verdict{Reply: milter.Continue}

// maxWaiting is how much is held back while the filter does not answer anyway.
const maxWaiting = 64 << 10

// ask sends what is in c.out and reads the verdict, unless the filter has said
// that it will not answer.
func (c *Conn) ask(ctx context.Context, limit time.Duration, silent milter.Steps) (milter.Verdict, error) {
	verdict := goOn
	if c.offer.Steps&silent != 0 && len(c.out) < maxWaiting {
		return verdict, nil
	}
	err := c.during(ctx, limit, func() error {
		if err := c.flush(); err != nil || c.offer.Steps&silent != 0 {
			return err
		}
		change, v, err := c.answer(ctx, limit)
		if err != nil {
			return err
		}
		if change != nil {
			return errors.New("the filter changes the message before its end")
		}
		verdict = *v
		return nil
	})
	return verdict, err
}

// answer reads a verdict or a change, waiting longer while the filter says
// that it is busy.
func (c *Conn) answer(ctx context.Context, limit time.Duration) (milter.Change, *milter.Verdict, error) {
	for range maxBusy {
		p, err := c.read()
		if err != nil {
			return nil, nil, err
		}
		change, v, err := milter.ParseReply(p)
		if err != nil || change != nil || v != nil {
			return change, v, err
		}
		if err := c.nc.SetReadDeadline(deadline(ctx, limit)); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("the filter is busy without end")
}

// usual are the names of the macros that are sent where the filter has not
// asked for others: those of Postfix (milter_connect_macros and so on), and at
// the connection those by which filters know the client.
var usual = [milter.Stages][]string{
	milter.AtConnect: {"j", "{daemon_name}", "{daemon_addr}", "{daemon_port}", "v", "_", "{client_addr}", "{client_name}", "{client_port}", "{client_ptr}"},
	milter.AtHelo:    {"{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"},
	milter.AtMail:    {"i", "{auth_type}", "{auth_authen}", "{auth_author}", "{mail_addr}", "{mail_host}", "{mail_mailer}"},
	milter.AtRcpt:    {"i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"},
	milter.AtData:    {"i"},
	milter.AtEOH:     {"i"},
	milter.AtEnd:     {"i"},
}

// define appends the macros of a stage.
func (c *Conn) define(stage milter.Stage) {
	names := c.offer.Macros[stage]
	if names == nil {
		names = usual[stage]
	}
	var pairs []string
	for _, name := range names {
		if value := c.macros(name); value != "" {
			pairs = append(pairs, name, value)
		}
	}
	if len(pairs) > 0 {
		c.out = milter.AppendMacros(c.out, stage, pairs...)
	}
}

// deadline is when an answer must be there; it is past when ctx has ended.
func deadline(ctx context.Context, limit time.Duration) time.Time {
	if ctx.Err() != nil {
		return time.Unix(1, 0)
	}
	return time.Now().Add(limit)
}
