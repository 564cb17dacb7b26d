// Package bench measures Waxwing and its peers side by side, from the outside
// and with the same client, in one run. "make bench" prints the figures that
// docs/performance.md keeps. The benchmarks of this package run the server in
// their own process instead, so that its profile can be taken:
//
//	go test -run '^$' -bench Delivery -cpuprofile cpu.out ./test/bench/
package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An smtpLoad is mail sent over some connections at once, for a while. Its
// client is on the same cores as the server that it measures, so it does as
// little as it can.
type smtpLoad struct {
	addr        string
	connections int
	during      time.Duration // no message is begun later; zero for no end
	messages    int           // no more than this; zero for no end
	size        int           // octets of a message
	rcpt        func(i int) string
	fresh       bool // each message on a connection of its own
}

// A rate is what a load came to.
type rate struct {
	messages int           // that were answered with 250
	elapsed  time.Duration // until the last answer
	median   time.Duration // of MAIL to the answer to the final dot
	p99      time.Duration
}

func (r rate) perSecond() float64 { return float64(r.messages) / r.elapsed.Seconds() }

// run sends the load in lock step (no pipelining), each connection one
// message after the other, and returns when all have been answered.
func (l smtpLoad) run() (rate, error) {
	text := []byte(payload(l.size))
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
			mine, err := l.connection(start, &next, text)
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
	return rate{len(took), elapsed, took[len(took)/2], took[len(took)*99/100]}, nil
}

// connection sends one message after the other, and gives how long each took.
func (l smtpLoad) connection(start time.Time, next *atomic.Int64, text []byte) (took []time.Duration, err error) {
	var c *smtpClient
	defer func() {
		if c != nil {
			_ = c.conn.Close()
		}
	}()
	for {
		i := int(next.Add(1)) - 1
		if l.messages > 0 && i >= l.messages || l.during > 0 && time.Since(start) >= l.during {
			if c == nil {
				return took, nil
			}
			return took, c.ask("221", []byte("QUIT\r\n"))
		}
		if c == nil {
			if c, err = l.dial(); err != nil {
				return took, err
			}
		}
		begun := time.Now()
		if err := c.message(i, l.rcpt(i), text); err != nil {
			return took, err
		}
		took = append(took, time.Since(begun))
		if l.fresh {
			if err := c.ask("221", []byte("QUIT\r\n")); err != nil {
				return took, err
			}
			_ = c.conn.Close()
			c = nil
		}
	}
}

// dial connects and says EHLO.
func (l smtpLoad) dial() (*smtpClient, error) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	c := &smtpClient{conn: conn, r: bufio.NewReader(conn)}
	if err := c.expect("220"); err != nil {
		return c, err
	}
	return c, c.ask("250", []byte("EHLO bench.test\r\n"))
}

// An smtpClient is as little SMTP as a load needs.
type smtpClient struct {
	conn net.Conn
	r    *bufio.Reader
	line []byte
}

// message sends a message and waits for the reply to its final dot.
func (c *smtpClient) message(i int, rcpt string, text []byte) error {
	if err := c.ask("250", []byte("MAIL FROM:<ann@elsewhere.test>\r\n")); err != nil {
		return err
	}
	c.line = fmt.Appendf(c.line[:0], "RCPT TO:<%s>\r\n", rcpt)
	if err := c.ask("250", c.line); err != nil {
		return err
	}
	if err := c.ask("354", []byte("DATA\r\n")); err != nil {
		return err
	}
	c.line = fmt.Appendf(c.line[:0], "Message-ID: <%d.%d@bench.test>\r\n", i, rand.Uint64())
	return c.ask("250", c.line, text, []byte(".\r\n"))
}

// ask sends the pieces at once and reads a reply, which must begin with want.
func (c *smtpClient) ask(want string, pieces ...[]byte) error {
	b := net.Buffers(pieces)
	if _, err := b.WriteTo(c.conn); err != nil {
		return err
	}
	return c.expect(want)
}

func (c *smtpClient) expect(want string) error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || !bytes.HasPrefix(line, []byte(want)) {
			return fmt.Errorf("reply %q, not %s", line, want)
		}
		if line[3] == ' ' {
			return nil
		}
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
