//go:build bench

package bench

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
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
	a, b := ours.appends(t, 1, 50, text), theirs.appends(t, 1, 50, text)
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
	bare := startBareStore(t)
	t.Log("| STORE one by one, sessions | Waxwing a second | processor time, the client's besides | Dovecot mdbox | processor time | bare Go | processor time | Waxwing to Dovecot | to Dovecot's single session |")
	t.Log("|---|---|---|---|---|---|---|---|---|")
	single := 0.0
	for _, n := range []int{1, 16} {
		a, b, c := ours.stores(t, n, messages), theirs.stores(t, n, messages), bare.stores(t, n, messages)
		if n == 1 {
			single = b.perSecond
		}
		t.Logf("| %d | %.0f | %.1f + %.1f µs | %.0f | %.1f + %.1f µs | %.0f | %.1f + %.1f µs | %.1f | %.1f |", n, a.perSecond, a.server, a.client,
			b.perSecond, b.server, b.client, c.perSecond, c.server, c.client, a.perSecond/b.perSecond, a.perSecond/single)
	}
}

// A storeRate is what setting flags came to, with the processor time of each in
// microseconds.
type storeRate struct{ perSecond, server, client float64 }

// stores sets flags of so many users, one by one.
func (p peer) stores(t *testing.T, sessions, messages int) storeRate {
	t.Helper()
	p.settle()
	l, err := storing(p.imap, user, password, sessions)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	defer l.close()
	start, server, client := time.Now(), p.ticks(), processorTime()
	perSecond, err := l.run(func(dst []byte, _, n int) []byte {
		if time.Since(start) >= imapLoadTime {
			return nil
		}
		return appendStore(dst, n, messages)
	})
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	each := 1 / (perSecond * time.Since(start).Seconds())
	return storeRate{perSecond, float64(p.ticks()-server) * 10_000 * each, float64((processorTime() - client).Microseconds()) * each}
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
