// Package bench measures Waxwing and its peers side by side, from the outside
// and with the same client, in one run. "make bench" prints the figures that
// docs/performance.md keeps. The benchmarks of this package run the server in
// their own process instead, so that its profile can be taken:
//
//	go test -run '^$' -bench Delivery -cpuprofile cpu.out ./test/bench/
package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// An smtpLoad is mail sent over some connections at once, for a while. Its
// client is on the same cores as the server that it measures, so it does as
// little as it can: one loop over epoll, as Postfix's smtp-source is.
type smtpLoad struct {
	addr        string
	connections int
	during      time.Duration // no message is begun later; zero for no end
	messages    int           // no more than this; zero for no end
	size        int           // octets of a message
	rcpt        func(i int) string
	fresh       bool // each message on a connection of its own

	texts [][]byte        // messages to be sent in turn, in place of one of size
	until context.Context // no message is begun after its end; nil for no end
	every time.Duration   // how often a connection begins a message at most
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
	loop, err := newSMTPLoop(l)
	if err != nil {
		return rate{}, err
	}
	defer loop.close()
	took, err := loop.run()
	if err != nil {
		return rate{}, err
	}
	elapsed := time.Since(loop.start)
	slices.Sort(took)
	return rate{len(took), elapsed, took[len(took)/2], took[len(took)*99/100]}, nil
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
