package traffic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"sync"
)

// A Ledger knows what was asked of the server and what it has said.
type Ledger struct {
	mu        sync.Mutex // guards what follows
	clock     int64      // moments: each is one more
	numbers   int
	sums      map[string]string  // message number -> hash of its body
	letters   map[string]*copies // mailbox and number -> a copy of a message
	sightings map[string]sighting
	done      map[string]int
	refused   map[string]int
	wrong     []string
}

// An act is something that was asked for at one moment and acknowledged at
// another, if it was.
type act struct{ asked, told int64 }

// surely tells whether it had happened at a moment, could whether it may have.
func (a act) surely(before int64) bool { return a.told != 0 && a.told <= before }
func (a act) could(before int64) bool  { return a.asked != 0 && a.asked <= before }

// copies is one message in one mailbox.
type copies struct{ come, leave, mark act }

// A sighting is that a client was told the UID of a message.
type sighting struct {
	number string
	at     int64
}

// NewLedger gives an empty one.
func NewLedger() *Ledger {
	return &Ledger{
		sums: map[string]string{}, letters: map[string]*copies{}, sightings: map[string]sighting{},
		done: map[string]int{}, refused: map[string]int{},
	}
}

// Moment gives the present one.
func (l *Ledger) Moment() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tick()
}

func (l *Ledger) tick() int64 {
	l.clock++
	return l.clock
}

// Done gives how many times something was acknowledged, Refused how often it
// was put off, by kind.
func (l *Ledger) Done() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.done)
}

// Refused gives how often something was put off, by kind.
func (l *Ledger) Refused() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.refused)
}

// Wrong gives the answers that no server should give.
func (l *Ledger) Wrong() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.wrong...)
}

// blame notes a wrong answer.
func (l *Ledger) blame(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// write makes a new message.
func (l *Ledger) write(from string) (number, text string) {
	l.mu.Lock()
	l.numbers++
	number = fmt.Sprintf("n%d", l.numbers)
	l.mu.Unlock()
	text = letter(from, number)
	_, sum := Identify(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums[number] = sum
	return number, text
}

func at(mailbox, number string) string { return mailbox + " " + number }

// ask notes what is asked for: that messages come, go or are marked.
func (l *Ledger) ask(field func(*copies) *act, places ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	for _, place := range places {
		c := l.letters[place]
		if c == nil {
			c = new(copies)
			l.letters[place] = c
		}
		if a := field(c); a.asked == 0 {
			a.asked = now
		}
	}
}

// told notes that it was acknowledged.
func (l *Ledger) told(field func(*copies) *act, places ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	for _, place := range places {
		if a := field(l.letters[place]); a.told == 0 {
			a.told = now
		}
	}
}

func coming(c *copies) *act  { return &c.come }
func going(c *copies) *act   { return &c.leave }
func marking(c *copies) *act { return &c.mark }

// count notes an acknowledgement or a refusal of a kind.
func (l *Ledger) count(kind string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.done[kind]++
	} else {
		l.refused[kind]++
	}
}

// saw notes that a client was told which message has a UID; it must be the
// same one always.
func (l *Ledger) saw(mailbox, validity, uid, number string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := mailbox + " " + validity + " " + uid
	if s, ok := l.sightings[key]; ok {
		if s.number != number {
			l.wrong = append(l.wrong, fmt.Sprintf("%s is message %s and was %s", key, number, s.number))
		}
		return
	}
	l.sightings[key] = sighting{number, l.tick()}
}

// Identify gives a message's number and the hash of its body. Its lines may
// end in LF alone.
func Identify(text string) (number, sum string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	header, body, _ := strings.Cut(text, "\n\n")
	for line := range strings.SplitSeq(header, "\n") {
		if v, ok := strings.CutPrefix(line, "X-Number: "); ok {
			number = v
		}
	}
	hash := sha256.Sum256([]byte(strings.ReplaceAll(body, "\n", "\r\n")))
	return number, hex.EncodeToString(hash[:])
}
