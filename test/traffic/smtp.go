package traffic

import (
	"encoding/base64"
	"strings"
)

// elsewhere is the mailbox of what was submitted, in the Ledger.
const elsewhere = "elsewhere"

func (s Server) deliver(l *Ledger, stop <-chan struct{}) {
	s.send(l, stop, Deliver, s.MX, "a@far.test", s.Bob, "bob "+inbox, "")
}

func (s Server) submit(l *Ledger, stop <-chan struct{}) {
	login := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+s.Bob+"\x00"+s.Password))
	s.send(l, stop, Submit, s.Submission, s.Bob, s.Elsewhere, elsewhere, login)
}

// send sends messages over one connection until something is refused.
func (s Server) send(l *Ledger, stop <-chan struct{}, kind, addr, from, to, mailbox, login string) {
	c, err := dial(addr)
	if err != nil {
		return
	}
	defer c.Close()
	if _, err := c.reply(); err != nil {
		return
	}
	ask := func(text, want string) bool {
		if text != "" && c.say(text) != nil {
			return false
		}
		got, err := c.reply()
		switch {
		case err != nil:
			return false
		case strings.HasPrefix(got, want):
			return true
		case strings.HasPrefix(got, "421 "), strings.HasPrefix(got, "451 4.3.0"), strings.HasPrefix(got, "452 4.3.1"), strings.HasPrefix(got, "454 4.7.0"):
			l.count(kind, false)
		default:
			l.blame("%.60q is answered with %q", text, got)
		}
		return false
	}
	if !ask("EHLO far.test", "250") || login != "" && !ask(login, "235") {
		return
	}
	for !ended(stop) {
		number, text := l.write(from)
		if !ask("MAIL FROM:<"+from+">", "250") || !ask("RCPT TO:<"+to+">", "250") || !ask("DATA", "354") {
			return
		}
		place := at(mailbox, number)
		l.ask(coming, place)
		if !ask(text+".", "250") {
			return
		}
		l.told(coming, place)
		l.count(kind, true)
	}
}
