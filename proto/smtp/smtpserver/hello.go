package smtpserver

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"waxwing/proto/smtp"
)

// greet makes the Session and says the greeting. RFC 5321 §3.1
func (c *conn) greet(ctx context.Context) bool {
	if c.options.ImplicitTLS && !c.handshake(ctx) {
		return false
	}
	session := c.open(ctx)
	if session == nil {
		return true // it has been refused
	}
	greeter, ok := session.(Greeter)
	if ok && !c.listenEarly(ctx, greeter) {
		return false
	}
	if !c.refused {
		c.welcome()
	}
	return true
}

// open makes the Session; nil if that refuses.
func (c *conn) open(ctx context.Context) Session {
	session, err := c.server.newSession(ctx, &c.info)
	if err != nil {
		c.turnAway(err)
		return nil
	}
	c.session = session
	return session
}

// turnAway says in place of the greeting why there is none.
func (c *conn) turnAway(err error) {
	var r *smtp.Refusal
	if !errors.As(err, &r) {
		c.refuse(&smtp.Refusal{Code: 421, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "Local trouble, try later", Err: err})
		return
	}
	c.refused = true
	c.refuse(r)
}

// welcome says the greeting.
func (c *conn) welcome() {
	protocol := " ESMTP"
	if c.options.LMTP {
		protocol = " LMTP"
	}
	c.reply(smtp.Reply{Code: 220, Text: c.options.Hostname + protocol + " Waxwing"})
}

// listenEarly waits for those who do not wait. It tells whether the client is
// still there.
func (c *conn) listenEarly(ctx context.Context, g Greeter) bool {
	delay := g.GreetingDelay()
	if delay <= 0 {
		return true
	}
	c.deadline = time.Now().Add(delay)
	switch err := c.in.more(); {
	case err == nil:
		if err := g.EarlyTalker(ctx); err != nil {
			c.turnAway(err)
		}
		return true
	case isTimeout(err):
		return true
	default:
		c.readFailed(err)
		return false
	}
}

// hello begins a session, or begins it again. RFC 5321 §4.1.1.1
func (c *conn) hello(ctx context.Context, cmd smtp.Command) {
	h := cmd.(smtp.Hello)
	if h.Local != c.options.LMTP {
		// Whoever speaks the other protocol learns it at once. RFC 2033 §4.1
		c.refuse(refuse(500, 5, 5, 1, "This is "+map[bool]string{true: "LMTP: say LHLO", false: "SMTP: say EHLO"}[c.options.LMTP]))
		return
	}
	if err := c.session.Hello(ctx, h.Name, h.Extended); err != nil {
		c.refuse(err)
		return
	}
	c.reset() // RFC 5321 §4.1.4
	c.state.greeted, c.state.extended = true, h.Extended
	c.info.Hello, c.info.Extended = h.Name, h.Extended
	// No enhanced codes here. RFC 2034 §3
	reply := smtp.Reply{Code: 250, Text: c.options.Hostname}
	if h.Extended {
		reply.Text = c.offer()
	}
	c.reply(reply)
}

// offer lists the extensions. RFC 5321 §4.1.1.1
func (c *conn) offer() string {
	var b strings.Builder
	b.WriteString(c.options.Hostname)
	c.state.offered.Each(func(e smtp.Extensions, keyword string) {
		if !c.offers(e) {
			return
		}
		b.WriteByte('\n')
		b.WriteString(keyword)
		if parameters := c.parameters(e); parameters != "" {
			b.WriteString(" " + parameters)
		}
	})
	return b.String()
}

// offers tells whether an extension can be used here and now.
func (c *conn) offers(e smtp.Extensions) bool {
	switch e {
	case smtp.AUTH:
		return len(c.mechanisms()) > 0 && !c.state.authenticated
	case smtp.STARTTLS:
		return !c.state.tls && !c.state.authenticated && c.state.offered.Has(e) // RFC 3207 §4.2
	case smtp.RequireTLS:
		return c.state.tls && c.state.offered.Has(e) // RFC 8689 §2
	case smtp.BURL:
		return c.state.authenticated && c.state.offered.Has(e)
	case smtp.XCLIENT:
		return c.trusted()
	}
	return c.state.offered.Has(e)
}

// parameters gives what EHLO says of an extension besides its name.
func (c *conn) parameters(e smtp.Extensions) string {
	o := c.options
	switch e {
	case smtp.Size:
		return strconv.FormatInt(int64(o.MaxSize), 10) // RFC 1870 §3
	case smtp.AUTH:
		return strings.Join(c.mechanisms(), " ") // RFC 4954 §3
	case smtp.DeliverBy:
		if o.MinDeliverBy > 0 {
			return strconv.FormatInt(int64(o.MinDeliverBy/time.Second), 10) // RFC 2852 §2 (3)
		}
	case smtp.FutureRelease:
		// RFC 4865 §3 (3)
		return strconv.FormatInt(int64(o.MaxHold/time.Second), 10) + " " + time.Now().Add(o.MaxHold).UTC().Format(time.RFC3339)
	case smtp.NoSoliciting:
		return o.Unsolicited // RFC 3865 §2
	case smtp.Limits:
		return o.limits() // RFC 9422 §3
	case smtp.BURL:
		return "imap" // RFC 4468 §3.3
	case smtp.XCLIENT:
		return c.xclientAttributes()
	}
	return ""
}
