//go:build bench

package bench

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// MULTIAPPEND of 50 messages of 8 KiB, durable; and flags set one by one, each
// answered before the next, by one session and by 16 of as many users.
func TestMultiAppendAndStore(t *testing.T) {
	const messages = 2000
	ours, _ := waxwing(t)
	theirs, _ := dovecot(t, "mdbox:~/mdbox")
	text := payload(8 << 10)
	t.Log("| what | Waxwing | Dovecot mdbox | ratio |")
	t.Log("|---|---|---|---|")
	a, b := ours.multiAppends(t, 50, text), theirs.multiAppends(t, 50, text)
	t.Logf("| MULTIAPPEND of 50 | %.0f msg/s | %.0f msg/s | %.1f |", a, b, a/b)
	for _, p := range []peer{ours, theirs} {
		for i := range 16 {
			c := p.dial(t, i)
			if n, err := c.messages("INBOX"); err != nil || n < messages {
				for ; n < messages && err == nil; n += 50 {
					err = c.multiAppend(n, 50, payload(512))
				}
				if err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
			}
			c.close()
		}
	}
	for _, n := range []int{1, 16} {
		a, b := ours.stores(t, n, messages), theirs.stores(t, n, messages)
		t.Logf("| STORE one by one, %d sessions | %.0f a second | %.0f a second | %.1f |", n, a, b, a/b)
	}
}

// multiAppends gives messages per second of one connection.
func (p peer) multiAppends(t *testing.T, n int, text string) float64 {
	t.Helper()
	p.settle()
	c := p.dial(t, 20)
	defer c.close()
	done, start := 0, time.Now()
	for time.Since(start) < imapLoadTime {
		if err := c.multiAppend(done, n, text); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		done += n
	}
	return float64(done) / time.Since(start).Seconds()
}

// stores gives flags set per second.
func (p peer) stores(t *testing.T, n, messages int) float64 {
	t.Helper()
	p.settle()
	clients := make([]*imapClient, n)
	for i := range clients {
		clients[i] = p.dial(t, i)
		defer clients[i].close()
		if _, err := clients[i].do("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	total, start := 0, time.Now()
	err := together(n, func(i int) error {
		k := 0
		for ; time.Since(start) < imapLoadTime; k++ {
			sign := "+-"[k/messages%2 : k/messages%2+1]
			if _, err := clients[i].do(fmt.Sprintf("STORE %d %sFLAGS.SILENT ($Bench)", k%messages+1, sign)); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		total += k
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return float64(total) / time.Since(start).Seconds()
}

// wakeSessions leaves room for the one that appends: an account may have a
// thousand sessions.
const wakeSessions = 999

// How soon a thousand sessions in IDLE on one mailbox hear of a message: from
// MAIL FROM, or the beginning of an APPEND, to the first EXISTS, and to the last.
func TestWake(t *testing.T) {
	ours, _ := waxwing(t)
	theirs, _ := dovecot(t, "mdbox:~/mdbox")
	t.Logf("| server, %d sessions on one mailbox | first EXISTS | last EXISTS | rounds |", wakeSessions)
	t.Log("|---|---|---|---|")
	listening := ours.listen(t)
	listening.measure(t, ours.name+", MAIL FROM", ours.delivering(t))
	listening.measure(t, ours.name+", APPEND", ours.appending(t))
	theirs.listen(t).measure(t, theirs.name+", APPEND", theirs.appending(t))
}

// A crowd is sessions in IDLE on the first user's INBOX.
type crowd struct {
	peer  peer
	heard chan time.Time // of a message, by each
}

func (p peer) listen(t *testing.T) crowd {
	t.Helper()
	all := crowd{p, make(chan time.Time, wakeSessions)}
	for i := range wakeSessions {
		c, err := dialIMAP(p.imap, user(0), password, 512)
		if err != nil {
			t.Fatalf("%s: connection %d: %v", p.name, i, err)
		}
		t.Cleanup(c.close)
		if _, err := c.do("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
		if err := c.idle(); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				line, err := c.r.ReadString('\n')
				if err != nil {
					return
				}
				if strings.HasSuffix(line, " EXISTS\r\n") {
					all.heard <- time.Now()
				}
			}
		}()
	}
	return all
}

// measure sends messages one after the other, as many as there is time for:
// without enough of inotify Dovecot looks twice a minute.
func (c crowd) measure(t *testing.T, name string, send func(i int) error) {
	t.Helper()
	var first, last []time.Duration
	for began := time.Now(); len(first) < 20 && (len(first) == 0 || time.Since(began) < time.Minute); {
		c.peer.settle()
		start := time.Now()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			if err := send(len(last)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}()
		for i := range wakeSessions {
			select {
			case at := <-c.heard:
				if i == 0 {
					first = append(first, at.Sub(start))
				}
			case <-time.After(3 * time.Minute):
				t.Fatalf("%s: %d sessions have heard nothing", name, wakeSessions-i)
			}
		}
		last = append(last, time.Since(start))
		<-sent
	}
	slices.Sort(first)
	slices.Sort(last)
	t.Logf("| %s | %.1f ms | %.1f ms | %d |", name, ms(first[len(first)/2]), ms(last[len(last)/2]), len(first))
}

// appending gives what puts small messages into the first user's INBOX.
func (p peer) appending(t *testing.T) func(i int) error {
	t.Helper()
	c := p.dial(t, 0)
	t.Cleanup(c.close)
	return func(i int) error { return c.fill(i, 1, "\r\n") }
}

// delivering gives what sends him small messages.
func (p peer) delivering(t *testing.T) func(i int) error {
	t.Helper()
	c, err := textproto.Dial("tcp", p.smtp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	say := func(want int, format string, args ...any) error {
		if err := c.PrintfLine(format, args...); err != nil {
			return err
		}
		_, _, err := c.ReadResponse(want)
		return err
	}
	if err := say(250, "EHLO bench.test"); err != nil {
		t.Fatal(err)
	}
	return func(i int) error {
		for _, step := range []struct {
			want int
			line string
		}{
			{250, "MAIL FROM:<ann@elsewhere.test>"}, {250, "RCPT TO:<" + user(0) + ">"}, {354, "DATA"},
			{250, fmt.Sprintf("Subject: wake up\r\nMessage-ID: <wake.%d@bench.test>\r\n\r\nHello.\r\n.", i)},
		} {
			if err := say(step.want, "%s", step.line); err != nil {
				return err
			}
		}
		return nil
	}
}
