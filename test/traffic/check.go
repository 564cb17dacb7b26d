package traffic

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Check compares what is there with what was said: all that had been
// acknowledged up to the moment before, and nothing that was asked for after
// the moment later. In between the server, or its disk, stopped. away gives the
// numbers of what is on its way or has arrived elsewhere, and how often.
func (l *Ledger) Check(tb testing.TB, s Server, before, later int64, away map[string]int) {
	tb.Helper()
	for _, text := range l.Wrong() {
		tb.Error(text)
	}
	there := map[string]bool{}
	for _, who := range []struct {
		name, login string
		mailboxes   []string
	}{{"alice", s.Alice, []string{work, far}}, {"bob", s.Bob, []string{inbox}}} {
		s.Alice = who.login
		c, err := s.login()
		if err != nil {
			tb.Fatalf("login of %s: %v", who.login, err)
		}
		for _, mailbox := range who.mailboxes {
			if err := l.look(tb, c, who.name+" "+mailbox, mailbox, before, later, there); err != nil {
				tb.Errorf("%s of %s: %v", mailbox, who.name, err)
			}
		}
		c.Close()
	}
	for number := range away {
		there[at(elsewhere, number)] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for place, c := range l.letters {
		if strings.HasPrefix(place, elsewhere) && away == nil {
			continue
		}
		if c.come.surely(before) && !c.leave.could(later) && !there[place] {
			tb.Errorf("%s was acknowledged and is lost", place)
		}
	}
}

// look reads a mailbox and notes in there what it holds.
func (l *Ledger) look(tb testing.TB, c *conn, name, mailbox string, before, later int64, there map[string]bool) error {
	all, _, err := c.command("SELECT " + mailbox)
	if err != nil {
		return err
	}
	validity, exists := "", 0
	for _, one := range all {
		if _, v, ok := strings.Cut(one.line, "[UIDVALIDITY "); ok {
			validity, _, _ = strings.Cut(v, "]")
		}
		if n, ok := strings.CutSuffix(one.line, " EXISTS"); ok {
			exists, _ = strconv.Atoi(strings.TrimPrefix(n, "* "))
		}
	}
	if exists == 0 {
		return nil
	}
	all, _, err = c.command("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")
	if err != nil {
		return err
	}
	n := 0
	for _, one := range all {
		if len(one.literals) == 0 {
			continue
		}
		n++
		number, sum := Identify(one.literals[0])
		_, uid, _ := strings.Cut(one.line, "UID ")
		uid, _, _ = strings.Cut(uid, " ")
		l.judge(tb, at(name, number), name+" "+validity+" "+uid, number, sum,
			strings.Contains(one.line, `\Flagged`), before, later, there)
	}
	if n != exists {
		return fmt.Errorf("%d messages exist, %d can be read", exists, n)
	}
	return nil
}

// judge looks at one message that is there.
func (l *Ledger) judge(tb testing.TB, place, uid, number, sum string, flagged bool, before, later int64, there map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.letters[place]
	switch {
	case there[place]:
		tb.Errorf("%s is there twice", place)
	case c == nil || !c.come.could(later):
		tb.Errorf("%s is there, and nobody has sent it", place)
	case sum != l.sums[number]:
		tb.Errorf("%s is damaged", place)
	case c.leave.surely(before):
		tb.Errorf("%s was deleted and is there again", place)
	case c.mark.surely(before) && !flagged:
		tb.Errorf("%s was flagged and is not", place)
	}
	there[place] = true
	if s, ok := l.sightings[uid]; ok && s.at <= before && s.number != number {
		tb.Errorf("UID %s is message %s and was %s", uid, number, s.number)
	}
}

// Settle forgets what was said after a moment, by a server that is no more:
// the next server's clients go on from there.
func (l *Ledger) Settle(before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, s := range l.sightings {
		if s.at > before {
			delete(l.sightings, key)
		}
	}
	for _, c := range l.letters {
		for _, a := range []*act{&c.come, &c.leave, &c.mark} {
			if a.told > before {
				a.told = 0 // it may have happened
			}
		}
	}
}

// Numbers tells how often which message is in a mailbox.
func (s Server) Numbers(login, mailbox string) (map[string]int, error) {
	s.Alice = login
	c, err := s.login()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, _, err := c.command("EXAMINE " + mailbox); err != nil {
		return nil, err
	}
	all, _, err := c.command("UID FETCH 1:* BODY.PEEK[HEADER]")
	numbers := map[string]int{}
	for _, one := range all {
		for _, header := range one.literals {
			number, _ := Identify(header)
			numbers[number]++
		}
	}
	return numbers, err
}
