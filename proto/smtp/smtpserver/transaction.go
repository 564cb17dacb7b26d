package smtpserver

import (
	"context"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// mail begins a transaction. RFC 5321 §4.1.1.2
func (c *conn) mail(ctx context.Context, cmd smtp.Command) {
	m := cmd.(smtp.Mail)
	c.rcpts = 0
	if r := c.state.checkMail(m, c.options, time.Now()); r != nil {
		c.declined(m, r)
		c.refuse(r, obs.From, m.From.String())
		return
	}
	if most := c.options.MaxMessages; most > 0 && c.messages >= most {
		// RFC 9422 §4.1: the client was told by LIMITS.
		c.hangUp(refuse(421, 4, 7, 0, "Too many messages on this connection"))
		return
	}
	reply := ok(250, 1, 0, "Sender ok")
	if m.Priority > 0 && !c.state.authenticated {
		// A stranger's message is no more urgent than another's.
		// RFC 6710 §4.1
		m.Priority = 0
		reply = ok(250, 3, 6, "0 is the priority of a message from outside")
	}
	c.info.UTF8 = m.UTF8
	if err := c.session.Mail(ctx, m); err != nil {
		c.info.UTF8 = false
		c.refuse(err, obs.From, m.From.String())
		c.idle++
		return
	}
	c.messages++
	c.state.mail, c.state.utf8, c.state.binary, c.state.recipients = true, m.UTF8, m.Binary, 0
	c.reply(reply)
}

// tooManyDomains tells whether a recipient would be of one domain too many.
// RFC 9422 §4.3
func (c *conn) tooManyDomains(r smtp.Rcpt) bool {
	_, known := c.domains[r.To.Domain]
	return c.options.MaxDomains > 0 && !known && len(c.domains) >= c.options.MaxDomains
}

// rcpt adds a recipient. RFC 5321 §4.1.1.3
func (c *conn) rcpt(ctx context.Context, cmd smtp.Command) {
	r := cmd.(smtp.Rcpt)
	// No honest client goes on this long after 452.
	if c.rcpts++; c.rcpts > 10*c.options.MaxRecipients {
		c.hangUp(refuse(421, 4, 7, 0, "Too many recipients"))
		return
	}
	refusal := c.state.checkRcpt(r, c.options)
	if refusal == nil && c.tooManyDomains(r) {
		refusal = refuse(452, 4, 5, 3, "Too many domains in one transaction") // RFC 9422 §4.3
	}
	if refusal != nil {
		c.declined(r, refusal)
		c.refuse(refusal, obs.Rcpt, r.To.String())
		return
	}
	if err := c.session.Rcpt(ctx, r); err != nil {
		// Refused recipients have a limit of their own.
		if c.say(err, obs.Rcpt, r.To.String()) {
			if c.refusedRecipients++; c.refusedRecipients >= maxRefusedRecipients {
				c.hangUp(refuse(421, 4, 7, 0, "Too many refused recipients"))
			}
		}
		return
	}
	c.state.recipients++
	if c.options.MaxDomains > 0 {
		if c.domains == nil {
			c.domains = map[string]struct{}{}
		}
		c.domains[r.To.Domain] = struct{}{}
	}
	c.reply(ok(250, 1, 5, "Recipient ok"))
}

// turn refuses to turn the connection round: mail is not handed out here.
// RFC 5321 §F.1, RFC 1985 §5, RFC 2645 §5.2
func (c *conn) turn(context.Context, smtp.Command) {
	c.refuse(notImplemented)
}

// rset abandons the transaction. RFC 5321 §4.1.1.5
func (c *conn) rset(context.Context, smtp.Command) {
	c.reset()
	c.reply(ok(250, 0, 0, "Ok"))
}

// noop does nothing. RFC 5321 §4.1.1.9
func (c *conn) noop(context.Context, smtp.Command) {
	c.reply(ok(250, 0, 0, "Ok"))
}

// goodbye ends the session; an open transaction is abandoned.
// RFC 5321 §4.1.1.10
func (c *conn) goodbye(context.Context, smtp.Command) {
	c.reply(ok(221, 0, 0, c.options.Hostname+" closing"))
	c.quit = true
}

// help names the commands. RFC 5321 §4.1.1.8
func (c *conn) help(context.Context, smtp.Command) {
	text := "Commands:"
	for _, verb := range smtp.Verbs() {
		if verb == "STARTTLS" && !c.offers(smtp.STARTTLS) || verb == "AUTH" && len(c.mechanisms()) == 0 ||
			(verb == "EHLO" || verb == "HELO") && c.options.LMTP {
			continue
		}
		text += " " + verb
	}
	c.reply(ok(214, 0, 0, text))
}

// verify answers what the Session knows. RFC 5321 §4.1.1.6
func (c *conn) verify(ctx context.Context, cmd smtp.Command) {
	v := cmd.(smtp.Verify)
	reply, err := c.session.Verify(ctx, v.Who)
	c.answer(reply, v.UTF8, err)
}

// expand answers what the Session knows. RFC 5321 §4.1.1.7
func (c *conn) expand(ctx context.Context, cmd smtp.Command) {
	e := cmd.(smtp.Expand)
	reply, err := c.session.Expand(ctx, e.List)
	c.answer(reply, e.UTF8, err)
}

// answer says what the Session knows; if that needs UTF-8, only to those who
// can take it.
func (c *conn) answer(reply smtp.Reply, utf8 bool, err error) {
	switch {
	case err != nil:
		c.refuse(err)
	case !utf8 && strings.ContainsFunc(reply.Text, func(r rune) bool { return r >= 0x80 }):
		// RFC 6531 §3.7.4.2: 252 or 550, and X.6.8
		c.reply(ok(252, 6, 8, "The answer needs UTF-8: ask with SMTPUTF8"))
	default:
		reply.UTF8 = utf8
		c.reply(reply)
	}
}
