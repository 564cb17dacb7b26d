package traffic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A reader is one session of alice's.
type reader struct {
	*conn
	l        *Ledger
	validity string            // of Work
	numbers  map[string]string // those in Work, as far as this session knows: UID -> message
}

func (s Server) login() (*conn, error) {
	c, err := dial(s.IMAP)
	if err != nil {
		return nil, err
	}
	if _, err = c.response(); err == nil {
		_, _, err = c.command(fmt.Sprintf("LOGIN %s %s", s.Alice, s.Password))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Prepare makes the mailboxes that the clients use.
func Prepare(s Server) error {
	c, err := s.login()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range []string{work, far} {
		if _, _, err := c.command("CREATE " + name); err != nil {
			return err
		}
	}
	return nil
}

// read works in alice's mailboxes until something is refused.
func (s Server) read(l *Ledger, stop <-chan struct{}) {
	c, err := s.login()
	if err != nil {
		l.mind(err)
		return
	}
	defer c.Close()
	r := &reader{conn: c, l: l, numbers: map[string]string{}}
	all, _, err := c.command("SELECT " + work)
	if err != nil {
		l.mind(err)
		return
	}
	for _, one := range all {
		if _, v, ok := strings.Cut(one.line, "[UIDVALIDITY "); ok {
			r.validity, _, _ = strings.Cut(v, "]")
		}
	}
	for !ended(stop) {
		kind, act := r.next()
		err := act()
		r.l.mind(err)
		if err != nil && !errors.Is(err, errNo) {
			return
		}
		l.count(kind, err == nil)
		if err != nil {
			rest(stop, 5e6)
		}
	}
}

// mind notes a wrong answer.
func (l *Ledger) mind(err error) {
	var wrong *wrongAnswer
	if errors.As(err, &wrong) {
		l.blame("%s", wrong.text)
	}
}

// next chooses what to do.
func (r *reader) next() (kind string, act func() error) {
	if len(r.numbers) < 3 {
		return Append, r.append
	}
	switch rand.IntN(8) {
	case 0:
		return Mark, r.mark
	case 1:
		return Copy, func() error { return r.transfer("COPY") }
	case 2:
		return Move, func() error { return r.transfer("MOVE") }
	case 3:
		return Expunge, r.expunge
	}
	return Append, r.append
}

func (r *reader) append() error {
	number, text := r.l.write("a@far.test")
	if _, _, err := r.command(fmt.Sprintf("APPEND %s {%d}", work, len(text))); err != nil {
		return err
	}
	place := at("alice "+work, number)
	r.l.ask(coming, place)
	if err := r.say(text); err != nil {
		return err
	}
	for {
		one, err := r.response()
		if err != nil {
			return err
		}
		_, code, ok := strings.Cut(one.line, "t OK [APPENDUID ") // RFC 4315 §3
		if !ok {
			switch {
			case strings.HasPrefix(one.line, "t NO [UNAVAILABLE]"):
				return errNo
			case strings.HasPrefix(one.line, "t "), strings.HasPrefix(one.line, "* BYE"):
				return fmt.Errorf("append: %q", one.line)
			}
			continue
		}
		uids, _, _ := strings.Cut(code, "]")
		validity, uid, _ := strings.Cut(uids, " ")
		r.l.told(coming, place)
		r.l.saw("alice "+work, validity, uid, number)
		r.numbers[uid] = number
		return nil
	}
}

// some takes a few messages.
func (r *reader) some() (set string, uids, places []string) {
	for uid := range r.numbers {
		uids = append(uids, uid)
		places = append(places, at("alice "+work, r.numbers[uid]))
		if len(uids) == 3 {
			break
		}
	}
	return strings.Join(uids, ","), uids, places
}

func (r *reader) mark() error {
	set, _, places := r.some()
	r.l.ask(marking, places...)
	_, _, err := r.command("UID STORE " + set + ` +FLAGS (\Flagged $Seen)`)
	if err == nil {
		r.l.told(marking, places...)
	}
	return err
}

// expunge deletes some for good. What it has marked with \Deleted may go at
// any time from then on, by the other session's doing.
func (r *reader) expunge() error {
	set, uids, places := r.some()
	if _, _, err := r.command("UID STORE " + set + ` +FLAGS.SILENT (\Deleted)`); err != nil {
		return err
	}
	r.l.ask(going, places...)
	for _, uid := range uids {
		delete(r.numbers, uid)
	}
	_, _, err := r.command("UID EXPUNGE " + set)
	if err == nil {
		r.l.told(going, places...)
	}
	return err
}

// transfer copies or moves some to the other mailbox, each once only.
func (r *reader) transfer(how string) error {
	set, uids, places := r.some()
	var there []string
	for _, uid := range uids {
		there = append(there, at("alice "+far, r.numbers[uid]))
	}
	numbers := map[string]string{}
	for _, uid := range uids {
		numbers[uid] = r.numbers[uid]
		delete(r.numbers, uid) // so that no other copy is made
	}
	r.l.ask(coming, there...)
	if how == "MOVE" {
		r.l.ask(going, places...)
	}
	all, ok, err := r.command("UID " + how + " " + set + " " + far)
	if err != nil {
		return err
	}
	r.l.told(coming, there...)
	if how == "MOVE" {
		r.l.told(going, places...)
	}
	for _, one := range append(all, response{line: ok}) {
		if _, code, found := strings.Cut(one.line, "[COPYUID "); found { // RFC 4315 §3, RFC 6851 §4.3
			code, _, _ = strings.Cut(code, "]")
			return r.sawCopies(strings.Fields(code), numbers)
		}
	}
	return &wrongAnswer{fmt.Sprintf("%s has no COPYUID: %q", how, ok)}
}

// sawCopies notes what COPYUID tells.
func (r *reader) sawCopies(code []string, numbers map[string]string) error {
	if len(code) != 3 {
		return &wrongAnswer{fmt.Sprintf("COPYUID %q", code)}
	}
	from, to := expand(code[1]), expand(code[2])
	if len(from) != len(to) {
		return &wrongAnswer{fmt.Sprintf("COPYUID %q", code)}
	}
	for i := range from {
		r.l.saw("alice "+far, code[0], to[i], numbers[from[i]])
	}
	return nil
}

// expand lists the UIDs of a set.
func expand(set string) []string {
	var all []string
	for part := range strings.SplitSeq(set, ",") {
		first, last, isRange := strings.Cut(part, ":")
		if !isRange {
			last = first
		}
		lo, err1 := strconv.Atoi(first)
		hi, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || hi-lo > 1000 {
			return nil
		}
		for n := min(lo, hi); n <= max(lo, hi); n++ {
			all = append(all, strconv.Itoa(n))
		}
	}
	return all
}
