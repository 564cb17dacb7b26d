package pop3server

import (
	"errors"

	"waxwing/obs"
	"waxwing/proto/pop3"
	"waxwing/proto/sasl"
)

// giveUser is USER. It never tells whether there is such a user. RFC 1939 §7
func (c *conn) giveUser(cmd pop3.Command) {
	if !c.plaintextAllowed() {
		c.blame(&pop3.Refusal{Phrase: pop3.NeedTLS})
		return
	}
	c.user = cmd.Text
	c.ok(pop3.NameTaken)
}

// givePass is PASS. RFC 1939 §7
func (c *conn) givePass(cmd pop3.Command) {
	user := c.user
	c.user = ""
	if user == "" {
		c.blame(&pop3.Refusal{Phrase: pop3.NeedUser})
		return
	}
	who, err := c.server.options.Auth.Password(c.work, c.channel().Peer, "", user, cmd.Text)
	if err != nil {
		c.loginFailed(err)
		return
	}
	who.Mechanism = "USER"
	c.open(who)
}

// authenticate is AUTH. Without an argument it lists the mechanisms, as old
// clients ask before CAPA. RFC 5034 §4
func (c *conn) authenticate(cmd pop3.Command) {
	switch {
	case c.server.options.Auth == nil:
		c.blame(&pop3.Refusal{Phrase: pop3.UnknownMechanism})
	case cmd.Text == "":
		c.ok(pop3.MechanismList)
		for _, m := range c.mechanisms() {
			c.out.line(m)
		}
		c.out.line(".")
	default:
		who, err := c.exchange(cmd)
		if err != nil {
			c.loginFailed(err)
			return
		}
		c.open(who)
	}
}

// exchange runs a SASL exchange to its end.
func (c *conn) exchange(cmd pop3.Command) (sasl.Identity, error) {
	talk, err := sasl.Start(cmd.Text, c.channel(), c.server.options.Auth)
	if err != nil {
		return sasl.Identity{}, err
	}
	response, err := sasl.DecodeInitial(cmd.Initial)
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = talk.Next(c.work, response)
		if err != nil {
			break
		}
		if done && challenge == nil {
			return talk.Identity(), nil
		}
		// An empty challenge is a plus and a space. RFC 5034 §4
		c.out.line("+ " + sasl.EncodeChallenge(challenge))
		var line string
		if line, err = c.readLine(sasl.MaxLine); err != nil {
			return sasl.Identity{}, &unheard{err}
		}
		if response, err = sasl.DecodeResponse(line); err == nil && done {
			// +OK carries no data, so that it went out as a challenge and has
			// been answered by an empty response. RFC 5034 §4
			return talk.Identity(), nil
		}
	}
	return sasl.Identity{}, err
}

// unheard says why the client's response has not come.
type unheard struct{ err error }

func (u *unheard) Error() string { return "no response: " + u.err.Error() }

// open opens the maildrop of who has logged in. Without it the client stays in
// the AUTHORIZATION state. RFC 1939 §4
func (c *conn) open(who sasl.Identity) {
	log := c.info.Log
	c.info.Log = log.With(obs.Account, who.Account, obs.Login, who.Login)
	s, err := c.server.newSession(c.work, c.info, who)
	if err != nil {
		c.refuse(err)
		c.info.Log = log
		return
	}
	c.drop, c.state, c.faults = newMaildrop(s), transaction, 0
	c.info.Log.Info("logged in", "mechanism", who.Mechanism, "tls", c.info.TLS != nil, "messages", s.Len())
	c.ok(pop3.Maildrop, c.drop.count, int64(c.drop.size))
}

// loginFailed answers a login that has not succeeded.
func (c *conn) loginFailed(err error) {
	if lost, ok := errors.AsType[*unheard](err); ok {
		c.ending = !c.goOn(lost.err) || c.ending
		return
	}
	refusal := &pop3.Refusal{}
	guilty := true
	switch {
	case errors.Is(err, sasl.ErrCredentials):
		refusal.Code, refusal.Phrase = pop3.AuthFailed, pop3.BadCredentials // RFC 3206 §5
	case errors.Is(err, sasl.ErrThrottled):
		refusal.Code, refusal.Phrase = pop3.SysTemp, pop3.TooManyLogins
	case errors.Is(err, sasl.ErrMalformed):
		refusal.Phrase = pop3.BadResponse
	case errors.Is(err, sasl.ErrAborted):
		refusal.Phrase = pop3.Aborted
	case errors.Is(err, sasl.ErrUnknownMechanism):
		refusal.Phrase = pop3.UnknownMechanism
	case errors.Is(err, sasl.ErrEncryptionRequired):
		refusal.Phrase = pop3.NeedTLS
	default:
		refusal.Code, refusal.Phrase, refusal.Err = pop3.SysTemp, pop3.LoginUnavailable, err
		guilty = false
	}
	if guilty {
		// Who it was, and why it failed, is for the backend to log: people
		// type passwords into the field for the user.
		c.info.Log.Debug("login failed", obs.Err, err)
		c.failures++
	}
	if c.failures >= c.server.options.MaxLogins {
		c.ending = true
	}
	c.refuse(refusal)
}

// beginTLS is STLS. RFC 2595 §4
func (c *conn) beginTLS(pop3.Command) {
	switch {
	case c.server.options.TLS == nil:
		c.blame(&pop3.Refusal{Phrase: pop3.NoTLS})
		return
	case c.info.TLS != nil:
		c.blame(&pop3.Refusal{Phrase: pop3.TLSActive})
		return
	case c.utf8:
		c.blame(&pop3.Refusal{Phrase: pop3.TLSAfterUTF8}) // RFC 6856 §2.1
		return
	}
	c.ok(pop3.BeginTLS)
	err := c.out.flush()
	if err == nil {
		err = c.startTLS()
	}
	if err != nil {
		c.info.Log.Info("tls handshake failed", obs.Err, err)
		c.ending = true
	}
}

// enableUTF8 is UTF8. RFC 6856 §2.1
func (c *conn) enableUTF8(pop3.Command) {
	c.utf8 = true
	c.ok(pop3.UTF8On)
}

// declineAPOP answers APOP, which the greeting does not offer. RFC 1939 §7
func (c *conn) declineAPOP(pop3.Command) {
	c.blame(&pop3.Refusal{Phrase: pop3.NoAPOP})
}
