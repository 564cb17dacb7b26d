//go:build crash

// Package crash kills the program while it takes mail and looks at what is
// left: every message that was answered with 250 is there once and whole.
package crash

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/test/system"
	"waxwing/test/traffic"
)

const senders = 8

// kills is how often the program is killed: $WAXWING_KILLS, ten by default.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("WAXWING_KILLS")); err == nil && n > 0 {
		return n
	}
	return 10
}

// A ledger knows what was sent and what was acknowledged.
type ledger struct {
	mu           sync.Mutex
	sums         map[string]string // message number -> hash of the body
	acknowledged map[string]bool
}

func newLedger() *ledger {
	return &ledger{sums: map[string]string{}, acknowledged: map[string]bool{}}
}

func TestKillDuringDelivery(t *testing.T) {
	w := system.Start(t)
	books := newLedger()
	for round := range kills() {
		var sending sync.WaitGroup
		stop := make(chan struct{})
		for s := range senders {
			sending.Go(func() {
				books.send(w.Addr(25), fmt.Sprintf("%d-%d", round, s), stop, "a@crash.test", system.Bob)
			})
		}
		books.flows(round)
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		w.Kill()
		close(stop)
		sending.Wait()
		w.Run()
	}
	got := collect(t, w.Addr(110))
	lost := 0
	for number := range books.acknowledged {
		if got[number] == nil {
			lost++
			t.Errorf("message %s was answered 250 and is lost", number)
		}
	}
	for number, sums := range got {
		if len(sums) > 1 {
			t.Errorf("message %s is there %d times", number, len(sums))
		}
		if sums[0] != books.sums[number] {
			t.Errorf("message %s is damaged", number)
		}
	}
	t.Logf("%d kills: %d messages acknowledged, %d lost, %d in the mailbox", kills(), len(books.acknowledged), lost, len(got))
	if len(books.acknowledged) == 0 {
		t.Error("nothing was acknowledged: the test proves nothing")
	}
}

// send sends messages over one connection until the server is gone; login is
// what to say first.
func (l *ledger) send(addr, name string, stop <-chan struct{}, from, to string, login ...string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	ask := func(want int, format string, args ...any) bool {
		if format != "" {
			if err := c.PrintfLine(format, args...); err != nil {
				return false
			}
		}
		_, _, err := c.ReadResponse(want)
		return err == nil
	}
	if !ask(220, "") || !ask(250, "EHLO crash.test") {
		return
	}
	for _, line := range login {
		if !ask(235, "%s", line) {
			return
		}
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		number := fmt.Sprintf("%s-%d", name, i)
		body := makeBody(i)
		sum := sha256.Sum256([]byte(body))
		l.mu.Lock()
		l.sums[number] = hex.EncodeToString(sum[:])
		l.mu.Unlock()
		if !ask(250, "MAIL FROM:<%s>", from) || !ask(250, "RCPT TO:<%s>", to) || !ask(354, "DATA") {
			return
		}
		if !ask(250, "From: %s\r\nSubject: crash\r\nX-Number: %s\r\n\r\n%s.", from, number, body) {
			return
		}
		l.mu.Lock()
		l.acknowledged[number] = true
		l.mu.Unlock()
	}
}

// flows waits until something of a round has been acknowledged, so that the kill
// comes while mail flows, however long the first login takes.
func (l *ledger) flows(round int) {
	of := fmt.Sprintf("%d-", round)
	begun := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for number := range l.acknowledged {
			if strings.HasPrefix(number, of) {
				return true
			}
		}
		return false
	}
	for until := time.Now().Add(30 * time.Second); !begun() && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
}

// makeBody gives lines; every tenth message is too large to be kept inline.
func makeBody(i int) string {
	lines := 20 + rand.IntN(60)
	if i%10 == 9 {
		lines = 3000
	}
	var b strings.Builder
	for range lines {
		fmt.Fprintf(&b, "%016x%016x%016x%016x\r\n", rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64())
	}
	return b.String()
}

// collect reads bob's mail by POP3 and gives the hashes of the bodies by
// message number.
func collect(t *testing.T, addr string) map[string][]string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	ask := func(format string, args ...any) string {
		if format != "" {
			if err := c.PrintfLine(format, args...); err != nil {
				t.Fatal(err)
			}
		}
		line, err := c.ReadLine()
		if err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatalf("%s: %q, %v", format, line, err)
		}
		return line
	}
	ask("")
	ask("USER %s", system.Bob)
	ask("PASS %s", system.Password)
	var messages, octets int
	if _, err := fmt.Sscanf(ask("STAT"), "+OK %d %d", &messages, &octets); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for i := 1; i <= messages; i++ {
		ask("RETR %d", i)
		text, err := c.ReadDotBytes()
		if err != nil {
			t.Fatal(err)
		}
		number, sum := traffic.Identify(string(text))
		got[number] = append(got[number], sum)
	}
	return got
}
