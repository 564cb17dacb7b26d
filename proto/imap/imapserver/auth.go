package imapserver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"waxwing/obs"
	"waxwing/proto/imap"
	"waxwing/proto/sasl"
)

// plaintextAllowed tells whether a password may be shown on this connection.
func (c *conn) plaintextAllowed() bool {
	o := &c.server.options
	return c.info.TLS != nil || o.PlaintextAuth || o.PlaintextOnLoopback && c.info.Addr().IsLoopback()
}

// channel tells SASL what it may know of the connection.
func (c *conn) channel() sasl.Channel {
	return sasl.Channel{
		Peer:             sasl.Peer{Addr: c.info.Addr(), Service: c.server.options.service(), TLS: c.info.TLS != nil},
		TLS:              c.info.TLS,
		Certificate:      c.certificate,
		PlaintextAllowed: c.plaintextAllowed(),
		Tokens:           c.server.options.Tokens,
	}
}

// login is LOGIN. RFC 9051 §6.2.3
func (c *conn) login(ctx context.Context, cmd imap.Login) (reply, error) {
	if !c.plaintextAllowed() {
		return reply{}, c.loginFailed(sasl.ErrEncryptionRequired)
	}
	who, err := c.server.options.Auth.Password(ctx, c.channel().Peer, "", cmd.User, cmd.Password)
	if err != nil {
		return reply{}, c.loginFailed(err)
	}
	who.Mechanism = "LOGIN"
	return c.enter(ctx, who)
}

// authenticate is AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959
func (c *conn) authenticate(ctx context.Context, cmd imap.Authenticate) (reply, error) {
	talk, err := sasl.Start(cmd.Mechanism, c.channel(), c.server.options.Auth)
	if err != nil {
		return reply{}, c.loginFailed(err)
	}
	response := cmd.Initial
	for {
		challenge, done, err := talk.Next(ctx, response)
		if err != nil {
			return reply{}, c.loginFailed(err)
		}
		if done && challenge == nil {
			return c.enter(ctx, talk.Identity())
		}
		c.out.line("+ %s", sasl.EncodeChallenge(challenge))
		line, err := c.in.line(nil, sasl.MaxLine, time.Until(c.deadline))
		if err != nil {
			return reply{}, lost(err)
		}
		if response, err = sasl.DecodeResponse(string(line)); err != nil {
			return reply{}, c.loginFailed(err)
		}
		if done {
			// The tagged OK carries no data, so that it went out as a
			// challenge, and has been answered. RFC 4422 §3.6
			return c.enter(ctx, talk.Identity())
		}
	}
}

// enter opens the account of who has logged in.
func (c *conn) enter(ctx context.Context, who sasl.Identity) (reply, error) {
	if !c.server.enter(who.Account) {
		return reply{}, &imap.Refusal{Code: imap.CodeLimit, Text: "Too many connections to this account"}
	}
	log := c.info.Log
	c.info.Log = log.With(obs.Account, who.Account, obs.Login, who.Login)
	account, err := c.server.newAccount(ctx, c.info, who)
	if err != nil {
		c.info.Log = log
		c.server.exit(who.Account)
		return reply{}, err
	}
	c.account, c.who, c.state, c.faults = account, who.Account, authenticated, 0
	c.info.Log.Info("logged in", "mechanism", who.Mechanism, "tls", c.info.TLS != nil)
	return reply{code: "CAPABILITY " + c.capability(), text: "Logged in"}, nil
}

// loginFailed says what a failure means to the client. RFC 5530 §3
func (c *conn) loginFailed(err error) error {
	refusal := &imap.Refusal{}
	switch {
	case errors.Is(err, sasl.ErrCredentials):
		refusal.Code, refusal.Text = imap.CodeAuthenticationFailed, "Invalid credentials"
	case errors.Is(err, sasl.ErrThrottled):
		refusal.Code, refusal.Text = imap.CodeUnavailable, "Too many failed logins, try again later"
	case errors.Is(err, sasl.ErrEncryptionRequired):
		refusal.Code, refusal.Text = imap.CodePrivacyRequired, "Use TLS first"
	case errors.Is(err, sasl.ErrUnknownMechanism):
		refusal.Code, refusal.Text = imap.CodeCannot, "Unsupported authentication mechanism"
	case errors.Is(err, sasl.ErrMalformed):
		return &imap.SyntaxError{Text: "Malformed authentication message"}
	case errors.Is(err, sasl.ErrAborted):
		return &imap.SyntaxError{Text: "Authentication aborted"} // RFC 9051 §6.2.2: BAD
	default:
		refusal.Code, refusal.Text, refusal.Err = imap.CodeUnavailable, "Authentication is not possible now", err
		return refusal
	}
	level := slog.LevelInfo
	if errors.Is(err, sasl.ErrCredentials) || errors.Is(err, sasl.ErrThrottled) {
		level = slog.LevelDebug // the backend has said who it was
	}
	c.info.Log.Log(c.work, level, "login failed", obs.Err, err)
	if c.failures++; c.failures >= c.server.options.MaxLogins {
		c.bye("", "Too many failed logins")
	}
	return refusal
}

// beginTLS is STARTTLS. RFC 9051 §6.2.1
func (c *conn) beginTLS(context.Context, imap.Bare) (reply, error) {
	switch {
	case c.server.options.TLS == nil:
		return reply{}, &imap.SyntaxError{Text: "TLS is not available"}
	case c.info.TLS != nil:
		return reply{}, &imap.SyntaxError{Text: "TLS is active already"}
	}
	return reply{text: "Begin TLS negotiation now", then: c.startTLS}, nil
}

// startTLS runs the handshake. What the client sent before it is forgotten:
// it may be somebody else's. RFC 9051 §11.1
func (c *conn) startTLS() error {
	c.in.discard()
	if err := c.raw.SetDeadline(earlier(c.deadline, time.Now().Add(time.Minute))); err != nil {
		return err
	}
	t, leaf, err := c.server.secure.Handshake(c.work, c.raw)
	if err != nil {
		c.info.Log.Info("tls handshake failed", obs.Err, err)
		return errSaid // there is no way to say more
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	state := t.ConnectionState()
	c.info.TLS, c.certificate = &state, leaf
	c.in.over(t)
	c.out.over(t)
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
