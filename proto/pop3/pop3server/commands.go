package pop3server

import (
	"waxwing/proto/pop3"
)

// A state is a set of states of the session, or one of them. UPDATE is no
// state of its own here: QUIT passes through it. RFC 1939 §3
type state uint8

const (
	authorization state = 1 << iota
	transaction

	anyState = authorization | transaction
)

// A command is one row of the table: where it is allowed, and what it does.
type command struct {
	in  state
	run func(*conn, pop3.Command)
}

var commands = map[pop3.Keyword]command{
	pop3.User: {in: authorization, run: (*conn).giveUser},
	pop3.Pass: {in: authorization, run: (*conn).givePass},
	pop3.Auth: {in: authorization, run: (*conn).authenticate},
	pop3.Apop: {in: authorization, run: (*conn).declineAPOP},
	pop3.Stls: {in: authorization, run: (*conn).beginTLS},
	pop3.Utf8: {in: authorization, run: (*conn).enableUTF8}, // RFC 6856 §2
	pop3.Capa: {in: anyState, run: (*conn).capabilities},
	pop3.Lang: {in: anyState, run: (*conn).chooseLanguage}, // RFC 6856 §3.1
	pop3.Quit: {in: anyState, run: (*conn).quit},
	pop3.Stat: {in: transaction, run: (*conn).stat},
	pop3.List: {in: transaction, run: (*conn).list},
	pop3.Uidl: {in: transaction, run: (*conn).uidl},
	pop3.Retr: {in: transaction, run: (*conn).retrieve},
	pop3.Top:  {in: transaction, run: (*conn).top},
	pop3.Dele: {in: transaction, run: (*conn).dele},
	pop3.Rset: {in: transaction, run: (*conn).reset},
	pop3.Noop: {in: transaction, run: (*conn).noop},
}

// command parses and runs one line.
func (c *conn) command(line string) {
	cmd, err := pop3.Parse(line)
	if err == nil && len(line)+len("\r\n") > pop3.MaxLine && cmd.Keyword != pop3.Auth {
		err = &pop3.Refusal{Phrase: pop3.LineTooLong} // RFC 2449 §4
	}
	if err == nil {
		err = misplaced(c.state, cmd.Keyword)
	}
	if cmd.Keyword != pop3.Pass {
		c.user = "" // PASS follows USER at once. RFC 1939 §7
	}
	if err != nil {
		c.blame(err)
		return
	}
	if c.debug {
		c.info.Log.Debug("command", "command", string(cmd.Keyword), "message", cmd.Message)
	}
	commands[cmd.Keyword].run(c, cmd)
}

// misplaced refuses a command that has no place in a state.
func misplaced(s state, k pop3.Keyword) error {
	switch allowed := commands[k].in; {
	case allowed&s != 0:
		return nil
	case allowed == transaction:
		return &pop3.Refusal{Phrase: pop3.NotBeforeLogin}
	default:
		return &pop3.Refusal{Phrase: pop3.NotAfterLogin}
	}
}

// quit ends the session. In the TRANSACTION state it passes through the UPDATE
// state: the only place where messages are deleted. RFC 1939 §6
func (c *conn) quit(pop3.Command) {
	c.ending = true
	if c.state == authorization {
		c.ok(pop3.Farewell)
		return
	}
	d := c.drop
	if err := d.session.Update(c.work, d.deleted.all(), d.retrieved.without(d.deleted)); err != nil {
		c.refuse(&pop3.Refusal{Code: pop3.SysTemp, Phrase: pop3.NotDeleted, Err: err})
		return
	}
	c.info.Log.Info("session ended", "messages", d.session.Len(), "retrieved", d.retrieved.count, "deleted", d.deleted.count)
	if d.deleted.count > 0 {
		c.ok(pop3.FarewellDeleted, d.deleted.count)
		return
	}
	c.ok(pop3.Farewell)
}

// chooseLanguage is LANG. RFC 6856 §3
func (c *conn) chooseLanguage(cmd pop3.Command) {
	if cmd.Text == "" {
		c.ok(pop3.LanguageList)
		for _, l := range pop3.Languages() {
			c.out.line(l.Tag() + " " + l.Name())
		}
		c.out.line(".")
		return
	}
	l, ok := pop3.FindLanguage(cmd.Text)
	if !ok {
		c.refuse(&pop3.Refusal{Phrase: pop3.UnknownLanguage})
		return
	}
	c.language = l
	c.out.line("+OK " + l.Tag() + " " + l.Text(pop3.LanguageChosen))
}

func (c *conn) noop(pop3.Command) { c.ok(pop3.Nothing) }
