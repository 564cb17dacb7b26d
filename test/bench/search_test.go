//go:build bench

package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// halfHave is a word of every other message, and half stands for eight of its
// letters, others each time: for a search of which nothing is known yet.
const (
	halfHave = "everyotherletter"
	half     = "$half"
)

// roundTime is how long a command is repeated, five times at most.
const roundTime = 3 * time.Second

// SEARCH, SORT and THREAD on a mailbox of 20,000 messages of 8 KiB, all
// different, a third of them answers.
func TestSearch(t *testing.T) {
	commands := []string{
		"SEARCH SUBJECT nothinglikeit", "SEARCH SUBJECT " + searchWord(40), "SEARCH FROM " + searchWord(41),
		"SEARCH HEADER X-Mailer nothinglikeit",
		"SEARCH BODY xyzzyplugh", "SEARCH TEXT xyzzyplugh", "SEARCH FUZZY TEXT xyzzyplugh",
		"SEARCH BODY " + half, "SEARCH TEXT " + half, "SEARCH BODY everyother", "SEARCH TEXT everyother",
		"SORT (SUBJECT) US-ASCII ALL", "SORT (REVERSE DATE) US-ASCII ALL", "SORT (ARRIVAL) US-ASCII ALL", "SORT (FROM) US-ASCII ALL",
		"THREAD REFERENCES US-ASCII ALL", "THREAD REFS US-ASCII ALL", "THREAD ORDEREDSUBJECT US-ASCII ALL",
	}
	var names []string
	first, best := map[string][]time.Duration{}, map[string][]time.Duration{}
	measure := func(p peer) {
		p.fillLetters(t)
		names = append(names, p.name)
		p.settle()
		c := p.dial(t, 0)
		defer c.close()
		if _, err := c.do("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
		spent := map[string]time.Duration{}
		for round := range 6 {
			for _, command := range commands {
				if round > 1 && spent[command] > roundTime {
					continue
				}
				start := time.Now()
				if _, err := c.do(strings.Replace(command, half, halfHave[round:round+8], 1)); err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
				took := time.Since(start)
				spent[command] += took
				switch b := best[command]; {
				case round == 0:
					first[command] = append(first[command], took)
				case round == 1:
					best[command] = append(b, took)
				default:
					b[len(b)-1] = min(b[len(b)-1], took)
				}
			}
		}
	}
	ours, _ := waxwing(t)
	measure(ours)
	for _, location := range []string{"mdbox:~/mdbox", "maildir:~/Maildir"} {
		theirs, _ := dovecot(t, location)
		measure(theirs)
	}
	t.Logf("| command | %s, first | warm | %s, first | warm | %s, first | warm | warm, against the better one |", names[0], names[1], names[2])
	t.Log("|---|---|---|---|---|---|---|---|")
	for _, c := range commands {
		f, b := first[c], best[c]
		t.Logf("| `%s` | %.1f ms | %.1f ms | %.1f ms | %.1f ms | %.1f ms | %.1f ms | %.1f |", c, ms(f[0]), ms(b[0]), ms(f[1]), ms(b[1]), ms(f[2]), ms(b[2]),
			float64(min(b[1], b[2]))/float64(b[0]))
	}
}

// fillLetters gives the first user a mailbox, over several connections.
func (p peer) fillLetters(t *testing.T) {
	t.Helper()
	const connections = 8
	err := together(connections, func(i int) error {
		c, err := dialIMAP(p.imap, user(0), password, 64<<10)
		if err != nil {
			return err
		}
		defer c.close()
		for n := i; n < mailboxMessages; n += connections {
			message := letter(n, 8<<10)
			if _, err := c.send(fmt.Sprintf("APPEND INBOX {%d+}", len(message)), []byte(message)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// searchWord gives one of 30,000 words; the low ones are used most.
func searchWord(n int) string {
	const letters = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuuccmmwwffggyyppbbvkjxqz"
	r := rand.New(rand.NewPCG(7, uint64(n)))
	w := make([]byte, 3+r.IntN(8))
	for i := range w {
		w[i] = letters[r.IntN(len(letters))]
	}
	return string(w)
}

// letter makes the n-th message: its words as uneven as people's, every other
// one with the word halfHave, one with "xyzzyplugh".
func letter(n, size int) string {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	word := func() string {
		x := r.Float64()
		return searchWord(int(x * x * x * x * 30_000))
	}
	random := func(n int) string {
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		s := make([]byte, n)
		for i := range s {
			s[i] = digits[r.IntN(64)]
		}
		return string(s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Received: from mx%d.elsewhere.test by mx.example.test with ESMTPS id %s\r\n", n%9, random(16))
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=elsewhere.test; s=key; h=from:to:subject;\r\n bh=%s; b=%s\r\n", random(44), random(172))
	subject := word() + " " + word() + " " + word()
	if n%3 == 2 {
		parent := r.IntN(n)
		fmt.Fprintf(&b, "In-Reply-To: <letter.%d@bench.test>\r\nReferences: <letter.%d@bench.test>\r\n", parent, parent)
		subject = "Re: " + subject
	}
	sent := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(365*24)) * time.Hour)
	fmt.Fprintf(&b, "Message-ID: <letter.%d@bench.test>\r\nDate: %s\r\n", n, sent.Format(time.RFC1123Z))
	fmt.Fprintf(&b, "From: %s %s <%s@elsewhere.test>\r\nTo: bob@example.test\r\nSubject: %s\r\n", word(), word(), word(), subject)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nX-Mailer: bench\r\n\r\n")
	special := ""
	if n%2 == 1 {
		special = halfHave
	}
	if n == mailboxMessages/3 {
		special += " xyzzyplugh"
	}
	at := b.Len() + r.IntN(size-b.Len()-100)
	for line := 0; b.Len() < size; {
		w := word()
		if special != "" && b.Len() > at {
			w, special = special, ""
		}
		if line += len(w) + 1; line > 72 {
			b.WriteString("\r\n")
			line = 0
		}
		b.WriteString(w + " ")
	}
	return b.String() + "\r\n"
}
