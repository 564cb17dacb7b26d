// Package bench measures Waxwing and its peers side by side, from the outside
// and with the same client, in one run. "make bench" prints the figures that
// docs/performance.md keeps.
package bench

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An smtpLoad is a number of messages sent over some connections at once.
type smtpLoad struct {
	addr        string
	connections int
	messages    int
	size        int // octets of a message
	rcpt        func(i int) string
}

// A rate is what a load came to.
type rate struct {
	perSecond float64
	median    time.Duration // of MAIL to the answer to the final dot
	p99       time.Duration
}

// run sends the load in lock step (no pipelining), each connection one
// message after the other, and returns when all have been answered.
func (l smtpLoad) run() (rate, error) {
	text := payload(l.size)
	var (
		next    atomic.Int64
		wg      sync.WaitGroup
		mu      sync.Mutex // guards took, failure
		took    []time.Duration
		failure error
	)
	start := time.Now()
	for range l.connections {
		wg.Go(func() {
			mine, err := l.connection(&next, text)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil && failure == nil {
				failure = err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if failure != nil {
		return rate{}, failure
	}
	slices.Sort(took)
	return rate{
		perSecond: float64(len(took)) / elapsed.Seconds(),
		median:    took[len(took)/2],
		p99:       took[len(took)*99/100],
	}, nil
}

func (l smtpLoad) connection(next *atomic.Int64, text string) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	ask := func(want int, line string) error {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				return err
			}
		}
		_, _, err := c.ReadResponse(want)
		return err
	}
	if err := ask(220, ""); err != nil {
		return nil, err
	}
	if err := ask(250, "EHLO bench.test"); err != nil {
		return nil, err
	}
	var took []time.Duration
	for {
		i := int(next.Add(1)) - 1
		if i >= l.messages {
			return took, ask(221, "QUIT")
		}
		start := time.Now()
		if err := ask(250, "MAIL FROM:<ann@elsewhere.test>"); err != nil {
			return took, err
		}
		if err := ask(250, "RCPT TO:<"+l.rcpt(i)+">"); err != nil {
			return took, err
		}
		if err := ask(354, "DATA"); err != nil {
			return took, err
		}
		if err := ask(250, fmt.Sprintf("Message-ID: <%d.%d@bench.test>\r\n%s.", i, rand.Uint64(), text)); err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
}

// payload makes a message of about the size: a header as mail has it and
// lines of text.
func payload(size int) string {
	var b strings.Builder
	b.WriteString("From: Ann Example <ann@elsewhere.test>\r\nTo: Bob Example <bob@example.test>\r\n" +
		"Subject: Minutes of the meeting on Tuesday\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"X-Mailer: bench\r\nList-Id: <bench.elsewhere.test>\r\n\r\n")
	words := []string{"the", "quick", "meeting", "about", "waxwings", "was", "moved", "to", "another", "room", "because", "of", "berries"}
	line := 0
	for b.Len() < size {
		w := words[rand.IntN(len(words))]
		b.WriteString(w)
		if line += len(w) + 1; line > 66 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString("\r\n")
	return b.String()
}
