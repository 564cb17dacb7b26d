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
	if c.options.GreetingDelay > 0 && !c.listenEarly() {
		return false
	}
	session, err := c.server.newSession(ctx, &c.info)
	if err != nil {
		var r *smtp.Refusal
		if !errors.As(err, &r) {
			c.refuse(&smtp.Refusal{Code: 421, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "Local trouble, try later", Err: err})
		} else {
			c.refused = true
			c.refuse(r)
		}
		return true
	}
	c.session = session
	c.reply(smtp.Reply{Code: 220, Text: c.options.Hostname + " ESMTP Waxwing"})
	return true
}

// listenEarly waits for those who do not wait.
func (c *conn) listenEarly() bool {
	c.deadline = time.Now().Add(c.options.GreetingDelay)
	switch err := c.in.more(); {
	case err == nil:
		c.info.EarlyTalker = true
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
		line := keyword
		switch e {
		case smtp.Size:
			line += " " + strconv.FormatInt(int64(c.options.MaxSize), 10) // RFC 1870 §3
		case smtp.AUTH:
			mechanisms := c.mechanisms()
			if len(mechanisms) == 0 || c.state.authenticated {
				return
			}
			line += " " + strings.Join(mechanisms, " ") // RFC 4954 §3
		case smtp.STARTTLS:
			if c.state.tls {
				return // RFC 3207 §4.2
			}
		}
		b.WriteByte('\n')
		b.WriteString(line)
	})
	return b.String()
}
