//go:build bench

package bench

import (
	"fmt"
	"io"
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
// the beginning of its APPEND to the first EXISTS, and to the last.
func TestWake(t *testing.T) {
	ours, _ := waxwing(t)
	theirs, _ := dovecot(t, "mdbox:~/mdbox")
	t.Logf("| server, %d sessions on one mailbox | first EXISTS | last EXISTS |", wakeSessions)
	t.Log("|---|---|---|")
	for _, p := range []peer{ours, theirs} {
		heard := make(chan time.Time, wakeSessions)
		for i := range wakeSessions {
			c, err := dialIMAP(p.imap, user(0), password, 4<<10)
			if err != nil {
				t.Fatalf("%s: connection %d: %v", p.name, i, err)
			}
			defer c.close()
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
						heard <- time.Now()
					}
				}
			}()
		}
		sender := p.dial(t, 0)
		defer sender.close()
		var first, last []time.Duration
		for i := range 20 {
			p.settle()
			start := time.Now()
			if _, err := fmt.Fprintf(sender.conn, "w%d APPEND INBOX {6+}\r\na: b\r\n\r\n", i); err != nil {
				t.Fatal(err)
			}
			first = append(first, (<-heard).Sub(start))
			for range wakeSessions - 1 {
				<-heard
			}
			last = append(last, time.Since(start))
			if _, err := io.ReadAtLeast(sender.r, make([]byte, 256), 1); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(first)
		slices.Sort(last)
		t.Logf("| %s | %.1f ms | %.1f ms |", p.name, ms(first[len(first)/2]), ms(last[len(last)/2]))
	}
}
