package milterclient

import (
	"context"
	"net/netip"

	"waxwing/proto/milter"
)

// Connect tells who has connected; name is the host's, or its address in
// brackets.
func (c *Conn) Connect(ctx context.Context, name string, at netip.AddrPort) (milter.Verdict, error) {
	if c.offer.Steps&milter.NoConnect != 0 {
		return goOn, nil
	}
	c.define(milter.AtConnect)
	c.out = milter.AppendConnect(c.out, name, at)
	return c.ask(ctx, c.options.CommandTimeout, milter.SilentConnect)
}

// Helo tells of HELO or EHLO.
func (c *Conn) Helo(ctx context.Context, name string) (milter.Verdict, error) {
	if c.offer.Steps&milter.NoHelo != 0 {
		return goOn, nil
	}
	c.define(milter.AtHelo)
	c.out = milter.AppendHelo(c.out, name)
	return c.ask(ctx, c.options.CommandTimeout, milter.SilentHelo)
}

// Mail begins a message: the path in its brackets and the parameters.
func (c *Conn) Mail(ctx context.Context, args ...string) (milter.Verdict, error) {
	c.open = true
	if c.offer.Steps&milter.NoMail != 0 {
		return goOn, nil
	}
	c.define(milter.AtMail)
	c.out = milter.AppendMail(c.out, args...)
	return c.ask(ctx, c.options.CommandTimeout, milter.SilentMail)
}

// Rcpt adds a recipient: the path in its brackets and the parameters. One that
// was refused already is told only to filters that want it.
func (c *Conn) Rcpt(ctx context.Context, refused bool, args ...string) (milter.Verdict, error) {
	if c.offer.Steps&milter.NoRcpt != 0 || refused && c.offer.Steps&milter.WantRejected == 0 {
		return goOn, nil
	}
	c.define(milter.AtRcpt)
	c.out = milter.AppendRcpt(c.out, args...)
	return c.ask(ctx, c.options.CommandTimeout, milter.SilentRcpt)
}

// Data tells that the message comes.
func (c *Conn) Data(ctx context.Context) (milter.Verdict, error) {
	if c.offer.Steps&milter.NoData != 0 || c.offer.Version < 4 {
		return goOn, nil
	}
	c.define(milter.AtData)
	c.out = milter.AppendPlain(c.out, milter.Data)
	return c.ask(ctx, c.options.CommandTimeout, milter.SilentData)
}

// Unknown tells of a command that is none.
func (c *Conn) Unknown(ctx context.Context, line string) (milter.Verdict, error) {
	if c.offer.Steps&milter.NoUnknown != 0 || c.offer.Version < 3 {
		return goOn, nil
	}
	c.define(milter.AtUnknown)
	c.out = milter.AppendUnknown(c.out, line)
	return c.ask(ctx, c.options.CommandTimeout, milter.SilentUnknown)
}

// Abort gives up the message that is under way, if there is one. The filter
// does not answer.
func (c *Conn) Abort(ctx context.Context) error {
	if !c.open {
		return nil
	}
	c.open = false
	c.out = milter.AppendPlain(c.out, milter.Abort)
	return c.during(ctx, c.options.CommandTimeout, c.flush)
}
