package traffic

import (
	"strings"
)

// fetch takes some messages out of bob's maildrop. RFC 1939 §6: they are gone
// when QUIT says so, and none of them may be gone before it was sent.
func (s Server) fetch(l *Ledger, stop <-chan struct{}) {
	c, err := dial(s.POP3)
	if err != nil {
		return
	}
	defer c.Close()
	ask := func(text string) bool {
		if text != "" && c.say(text) != nil {
			return false
		}
		got, err := c.line()
		switch {
		case err != nil:
		case strings.HasPrefix(got, "+OK"):
			return true
		case strings.HasPrefix(got, "-ERR [SYS/TEMP]"), strings.HasPrefix(got, "-ERR [IN-USE]"): // RFC 3206 §4
			l.count(Pop, false)
		default:
			l.blame("%q is answered with %q", text, got)
		}
		return false
	}
	if !ask("") || !ask("USER "+s.Bob) || !ask("PASS "+s.Password) || !ask("LIST") {
		return
	}
	list, err := c.dots()
	if err != nil {
		return
	}
	var places []string
	for i, line := range strings.Split(strings.TrimSpace(list), "\r\n") {
		if i%4 != 0 || line == "" || len(places) == 8 {
			continue // the others stay
		}
		n, _, _ := strings.Cut(line, " ")
		if !ask("TOP " + n + " 0") {
			return
		}
		header, err := c.dots()
		if err != nil {
			return
		}
		number, _ := Identify(header)
		if !ask("DELE " + n) {
			return
		}
		places = append(places, at("bob "+inbox, number))
	}
	l.ask(going, places...)
	if !ask("QUIT") {
		return
	}
	l.told(going, places...)
	l.count(Pop, true)
}
