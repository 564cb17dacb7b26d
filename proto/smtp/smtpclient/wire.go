package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// How long the peer may take. RFC 5321 §4.5.3.2
const (
	greetingTimeout = 5 * time.Minute  // RFC 5321 §4.5.3.2.1
	commandTimeout  = 5 * time.Minute  // RFC 5321 §4.5.3.2.2, §4.5.3.2.3
	dataTimeout     = 2 * time.Minute  // RFC 5321 §4.5.3.2.4
	blockTimeout    = 3 * time.Minute  // RFC 5321 §4.5.3.2.5
	finalTimeout    = 10 * time.Minute // RFC 5321 §4.5.3.2.6
	quitTimeout     = 10 * time.Second // nothing depends on it any more
	lastWordTimeout = 5 * time.Second  // for what a peer says before it hangs up
)

// A Lost says that the connection is of no use any more: it broke, the peer
// took too long, or what it said is not SMTP.
type Lost struct {
	// Step is what was under way: the greeting, a verb, or "message".
	Step string
	// Unknown says that the whole message had been sent and no reply came:
	// the peer may have taken it. RFC 1047 §2
	Unknown bool
	Err     error
}

// Error says what was under way and what happened.
func (l *Lost) Error() string {
	if l.Unknown {
		return fmt.Sprintf("connection lost after the message, which may have been taken: %v", l.Err)
	}
	return fmt.Sprintf("connection lost in %s: %v", l.Step, l.Err)
}

// Unwrap gives the cause.
func (l *Lost) Unwrap() error { return l.Err }

func isLost(err error) bool {
	_, ok := errors.AsType[*Lost](err)
	return ok
}

// Temporary is always true: another connection may do better.
func (l *Lost) Temporary() bool { return true }

// InReplyTo is the cause of a Refusal that the peer has made: the verb to
// which it was the reply, "greeting", or "message" for the final dot.
type InReplyTo string

// Error names the step.
func (s InReplyTo) Error() string { return "in reply to " + string(s) }

// Heed makes the end of ctx cut short what is under way, from now until the
// connection is closed, so that nothing has to be arranged for the calls that are
// given ctx. It is called once, by whoever owns the Client.
func (c *Client) Heed(ctx context.Context) {
	nc := c.nc
	c.heeded = ctx.Done()
	c.heedless = context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// watch makes the end of ctx cut short what is under way, until the function
// is called.
func (c *Client) watch(ctx context.Context) func() bool {
	if done := ctx.Done(); done == nil || done == c.heeded {
		return func() bool { return true }
	}
	nc := c.nc
	return context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// within gives the next reads and writes their time.
func (c *Client) within(ctx context.Context, timeout time.Duration) {
	_ = c.nc.SetDeadline(time.Now().Add(timeout)) // they fail as well then
	if ctx.Err() != nil {
		// What watch has done must not be undone.
		_ = c.nc.SetDeadline(time.Unix(1, 0))
	}
}

// lost makes the connection unusable and says why.
func (c *Client) lost(ctx context.Context, step string, err error) error {
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	c.broken = &Lost{Step: step, Err: err}
	return c.broken
}

// flush writes what is queued.
func (c *Client) flush(ctx context.Context, step string) error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return c.lost(ctx, step, err)
	}
	return nil
}

// readReply reads one reply, which may take so long if it has not come yet.
func (c *Client) readReply(ctx context.Context, step string, patience time.Duration) (smtp.Reply, error) {
	for waits := false; ; waits = true {
		r, n, err := smtp.ParseReply(c.in)
		if err != nil {
			return smtp.Reply{}, c.lost(ctx, step, err)
		}
		if n > 0 {
			c.in = append(c.in[:0], c.in[n:]...)
			if c.log.Enabled(ctx, slog.LevelDebug) {
				c.log.Debug("smtp peer replied", "step", step, obs.Reply, r.String())
			}
			if r.Code == 421 {
				// It hangs up. RFC 5321 §3.8
				c.broken = &Lost{Step: step, Err: refusal(r, step)}
			}
			return r, nil
		}
		if cap(c.in)-len(c.in) < 512 {
			c.in = append(make([]byte, 0, 2*cap(c.in)), c.in...)
		}
		if !waits {
			c.within(ctx, patience)
		}
		k, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+k]
		if err != nil && k == 0 {
			return smtp.Reply{}, c.lost(ctx, step, err)
		}
	}
}

// expect reads one reply of the wanted class.
func (c *Client) expect(ctx context.Context, step string, class int, patience time.Duration) (smtp.Reply, error) {
	r, err := c.readReply(ctx, step, patience)
	if err != nil {
		return r, err
	}
	return r, c.judge(ctx, r, step, class)
}

// judge turns a reply of another class than the wanted one into an error.
// RFC 5321 §4.2.1, §4.3.2: a client looks at the first digit.
func (c *Client) judge(ctx context.Context, r smtp.Reply, step string, class int) error {
	switch r.Code / 100 {
	case class:
		return nil
	case 4, 5:
		return refusal(r, step)
	}
	return c.lost(ctx, step, fmt.Errorf("unexpected reply %q", r.String()))
}

func refusal(r smtp.Reply, step string) *smtp.Refusal {
	return &smtp.Refusal{Code: r.Code, Enhanced: r.Enhanced, Text: r.Text, Err: InReplyTo(step)}
}

// command sends one command and reads its reply.
func (c *Client) command(ctx context.Context, step, line string, timeout time.Duration, class int) (smtp.Reply, error) {
	if c.broken != nil {
		return smtp.Reply{}, c.broken
	}
	defer c.watch(ctx)()
	c.within(ctx, timeout)
	c.out = append(append(c.out, line...), '\r', '\n')
	c.logSent(ctx, step, line)
	if err := c.flush(ctx, step); err != nil {
		return smtp.Reply{}, err
	}
	return c.expect(ctx, step, class, timeout)
}

func (c *Client) logSent(ctx context.Context, step, line string) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	if step == "AUTH" {
		line = "AUTH ***"
	}
	c.log.Debug("smtp command to peer", "line", line)
}
