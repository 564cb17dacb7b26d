package smtpserver

import (
	"context"
	"errors"

	"waxwing/obs"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
)

// maxFailedLogins is how many logins may fail on one connection. Whoever
// comes back on another is the backend's to throttle.
const maxFailedLogins = 5

// Replies of RFC 4954 §4 and §6.
var (
	authOnce       = refuse(503, 5, 5, 1, "You have logged in already")
	authNotOffered = refuse(502, 5, 5, 1, "AUTH is not offered")
	authNeedsTLS   = refuse(538, 5, 7, 11, "Encryption required: STARTTLS comes first")
	authTooLong    = refuse(500, 5, 5, 6, "Authentication exchange line is too long")
	authFailed     = refuse(535, 5, 7, 8, "Authentication credentials invalid")
	authTemporary  = refuse(454, 4, 7, 0, "Temporary authentication failure")
	authMalformed  = refuse(501, 5, 5, 2, "Malformed authentication message")
	authAborted    = refuse(501, 5, 7, 0, "Authentication aborted")
	authUnknown    = refuse(504, 5, 5, 4, "Authentication mechanism not offered")
)

// channel is what mechanisms may know of the connection.
func (c *conn) channel() sasl.Channel {
	return sasl.Channel{
		Peer:             sasl.Peer{Addr: c.info.Addr(), Service: c.options.Service, TLS: c.state.tls},
		TLS:              c.info.TLS,
		Certificate:      c.leaf,
		PlaintextAllowed: c.options.PlaintextAuth,
		Tokens:           c.options.Tokens,
		// QUIRK: mutt and neomutt with GNU SASL (Debian 12) choose
		// SCRAM-SHA-256-PLUS wherever it is listed, cannot do it, and when
		// sending give up instead of trying the next one.
		HideBinding: true,
	}
}

// mechanisms lists what can be used here and now.
func (c *conn) mechanisms() []string {
	if !c.state.offered.Has(smtp.AUTH) || !c.mayAuth() {
		return nil
	}
	return sasl.Mechanisms(c.channel())
}

func (c *conn) mayAuth() bool { return c.state.tls || c.options.PlaintextAuth }

// auth is one SASL exchange. RFC 4954 §4
func (c *conn) auth(ctx context.Context, cmd smtp.Command) {
	switch {
	case !c.state.offered.Has(smtp.AUTH):
		c.refuse(authNotOffered)
		return
	case c.state.authenticated:
		c.refuse(authOnce)
		return
	case !c.mayAuth():
		c.refuse(authNeedsTLS)
		return
	}
	conversation, err := c.converse(ctx, cmd.(smtp.Auth))
	if err != nil {
		c.authRefused(err)
		return
	}
	who := conversation.Identity()
	if err := c.session.Authenticated(ctx, who); err != nil {
		c.refuse(err)
		return
	}
	c.state.authenticated = true
	c.info.Identity = &who
	c.log = c.log.With(obs.Account, who.Account.String())
	c.info.Log = c.log
	c.log.Info("logged in", obs.Login, who.Login.String(), "mechanism", who.Mechanism)
	c.reply(ok(235, 7, 0, "Authentication succeeded"))
}

// converse carries messages between the client and the mechanism until it
// has succeeded.
func (c *conn) converse(ctx context.Context, a smtp.Auth) (sasl.Conversation, error) {
	conversation, err := sasl.Start(a.Mechanism, c.channel(), c.options.Auth)
	if err != nil {
		return nil, err
	}
	response, err := sasl.DecodeInitial(a.Initial)
	if err != nil {
		return nil, err
	}
	for {
		challenge, done, err := conversation.Next(ctx, response)
		if err != nil {
			return nil, err
		}
		if done && challenge == nil {
			return conversation, nil
		}
		if response, err = c.challenge(challenge); err != nil {
			return nil, err
		}
		if done {
			// What came with success is answered with nothing.
			// RFC 4954 §4
			if len(response) > 0 {
				return nil, sasl.ErrMalformed
			}
			return conversation, nil
		}
	}
}

// challenge sends a challenge and reads what the client says to it. Neither
// is logged.
func (c *conn) challenge(challenge []byte) ([]byte, error) {
	c.out = append(c.out, "334 "...)
	c.out = append(c.out, sasl.EncodeChallenge(challenge)...)
	c.out = append(c.out, '\r', '\n')
	c.deadline = c.commandDeadline()
	line, err := c.in.line(smtp.MaxAuthLine)
	if err != nil {
		return nil, readError{err}
	}
	return sasl.DecodeResponse(string(line))
}

// A readError is trouble with the connection and not with the login.
type readError struct{ error }

// Unwrap gives the trouble.
func (e readError) Unwrap() error { return e.error }

// authRefused says why the exchange has failed. RFC 4954 §4, §6
func (c *conn) authRefused(err error) {
	var read readError
	switch {
	case errors.Is(err, errLineTooLong):
		c.refuse(authTooLong)
	case errors.As(err, &read):
		c.readFailed(read.error)
	case errors.Is(err, sasl.ErrUnknownMechanism):
		c.refuse(authUnknown)
	case errors.Is(err, sasl.ErrEncryptionRequired):
		c.refuse(authNeedsTLS)
	case errors.Is(err, sasl.ErrAborted):
		c.refuse(authAborted)
	case errors.Is(err, sasl.ErrMalformed):
		c.refuse(authMalformed)
	case errors.Is(err, sasl.ErrCredentials):
		c.log.Debug("login failed") // the backend has said who it was
		c.refuse(authFailed)
		if c.failedLogins++; c.failedLogins >= maxFailedLogins && !c.quit {
			c.hangUp(refuse(421, 4, 7, 0, "Too many failed logins"))
		}
	case errors.Is(err, sasl.ErrThrottled):
		c.log.Debug("login throttled")
		c.refuse(authTemporary)
	default:
		c.log.Error("login could not be checked", obs.Err, err)
		c.refuse(authTemporary)
	}
}
