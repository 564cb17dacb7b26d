// Package traffic is the people and the other servers of a mail system that
// something happens to: they deliver, submit, append, mark, copy, move and
// delete, all at once, and a Ledger remembers what they were told. Afterwards
// it looks at what is there: all that was acknowledged, once and whole, and
// no UID that a client has seen names another message.
//
// Everybody speaks over the network, so the server can be one in this process
// or the built program.
package traffic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// A Server is where to find the services.
type Server struct {
	MX, Submission, IMAP, POP3 string // addresses
	Alice, Bob, Password       string
	Elsewhere                  string // an address that mail is relayed to
}

// Kinds of what clients do; Ledger.Done counts them.
const (
	Deliver = "deliver"
	Submit  = "submit"
	Append  = "append"
	Mark    = "mark"
	Copy    = "copy"
	Move    = "move"
	Expunge = "expunge"
	Pop     = "pop"
)

// Kinds are all of them.
var Kinds = []string{Deliver, Submit, Append, Mark, Copy, Move, Expunge, Pop}

// Mailboxes that the clients use.
const (
	inbox = "INBOX"
	work  = "Work"
	far   = "Copies"
)

// Run lets everybody do their work until stop is closed. Whoever loses the
// connection tries again.
func Run(s Server, l *Ledger, stop <-chan struct{}) {
	var busy sync.WaitGroup
	defer busy.Wait()
	people := []func(){
		func() { s.deliver(l, stop) }, func() { s.deliver(l, stop) }, func() { s.deliver(l, stop) },
		func() { s.read(l, stop) }, func() { s.read(l, stop) },
		func() { s.fetch(l, stop) },
	}
	if s.Elsewhere != "" {
		people = append(people, func() { s.submit(l, stop) })
	}
	for _, person := range people {
		busy.Go(func() {
			for !ended(stop) {
				person()
				rest(stop, 20*time.Millisecond)
			}
		})
	}
}

func ended(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func rest(stop <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-stop:
	case <-t.C:
	}
}

// letter makes a message with its number; every sixth is too large to be kept
// in the engine, and some have more octets than one value.
func letter(from, number string) string {
	var lines int
	switch rand.IntN(6) {
	case 0:
		lines = 1800 + rand.IntN(200)
	case 1:
		lines = 1000
	default:
		lines = 5 + rand.IntN(60)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\nSubject: traffic\r\nX-Number: %s\r\n\r\n", from, number)
	for range lines {
		fmt.Fprintf(&b, "%016x%016x%016x%016x\r\n", rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64())
	}
	return b.String()
}
