//go:build hostile

package hostile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waxwing/test/system"
)

const (
	// served is how often each of the others must have been served during an
	// attack.
	served = 2
	// patience is how long a well-behaved client waits for anything. Only a
	// server that serves nobody makes it wait so long.
	patience = time.Minute
	// slack is how much memory the program may take beside what its clients
	// may cost it: the storage engine's tables and caches, and the 64 MiB of
	// garbage that may pile up while there is much to do (docs/decisions/0086).
	slack = (160 + 64) << 20
	// each is what one client may cost, whatever it does: a read buffer, a
	// message that is staged, what TLS needs.
	each = 384 << 10
)

// attackers is how many attack at once: $WAXWING_ATTACKERS, sixteen by default.
func attackers() int {
	if n, err := strconv.Atoi(os.Getenv("WAXWING_ATTACKERS")); err == nil && n > 0 {
		return n
	}
	return 16
}

// An arena is a running system and those who use it as it is meant.
type arena struct {
	*testing.T
	*system.Waxwing
	clients []*client
	resting int // sockets while nobody is connected
}

// A client is somebody well-behaved.
type client struct {
	name string
	once func(a *arena) error
	done atomic.Int64
}

func newArena(t *testing.T) *arena {
	t.Helper()
	a := &arena{T: t, Waxwing: system.Start(t)}
	a.clients = []*client{
		{name: "sender", once: (*arena).sendMail},
		{name: "submitter", once: (*arena).submitMail},
		{name: "IMAP reader", once: (*arena).readIMAP},
		{name: "POP3 reader", once: (*arena).readPOP3},
	}
	for _, c := range a.clients { // what is slow the first time, such as logins
		if err := c.once(a); err != nil {
			t.Fatalf("%s, before any attack: %v", c.name, err)
		}
	}
	a.resting = a.Sockets()
	return a
}

// serving runs the well-behaved clients, one round after the other, until
// stop is called; stop waits for them.
func (a *arena) serving() (stop func()) {
	over := make(chan struct{})
	var clients sync.WaitGroup
	for _, c := range a.clients {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := c.once(a); err != nil {
					a.Errorf("%s: %v", c.name, err)
					return
				}
				c.done.Add(1)
			}
		})
	}
	return func() {
		close(over)
		clients.Wait()
	}
}

// allServed waits until each client has been served so often from now on. It
// weighs the program meanwhile and gives the most.
func (a *arena) allServed(often int64) (peak int64) {
	a.Helper()
	var from []int64
	for _, c := range a.clients {
		from = append(from, c.done.Load())
	}
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		peak = max(peak, system.Memory(a.PID()))
		waiting := ""
		for i, c := range a.clients {
			if c.done.Load() < from[i]+often {
				waiting = c.name
			}
		}
		switch {
		case waiting == "" || a.Failed():
			return peak
		case time.Now().After(deadline):
			a.Errorf("%s is not served", waiting)
			return peak
		}
	}
}

// deserted waits until all connections have ended: none may be leaked.
func (a *arena) deserted() {
	a.Helper()
	n := 0
	for range 1000 {
		if n = a.Sockets(); n <= a.resting {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	a.Errorf("%d sockets are open, %d before the attack", n, a.resting)
}

// A wire is one connection to the program, seen from outside.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// dial connects to a service from an address of its own.
func (a *arena) dial(ctx context.Context, wellKnown int, from net.IP) (*wire, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}
	c, err := d.DialContext(ctx, "tcp", a.Addr(wellKnown))
	if err != nil {
		return nil, err
	}
	return &wire{c, bufio.NewReader(c)}, nil
}

// say sends text as it is.
func (w *wire) say(text string) error {
	_, err := w.Write([]byte(text))
	return err
}

// hear reads lines up to the last of an answer, which must begin with want:
// in SMTP that is the one without a hyphen; elsewhere the first that begins
// so.
func (w *wire) hear(want string) error {
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", want, err)
		}
		digits := len(want) == 3 && want[0] >= '2' && want[0] <= '5'
		switch {
		case strings.HasPrefix(line, want) && !(digits && strings.HasPrefix(line[3:], "-")):
			return nil
		case strings.HasPrefix(line, want), !digits && strings.HasPrefix(line, "* "):
		default:
			return fmt.Errorf("heard %q, not %q", line, want)
		}
	}
}

// talk says and hears in turn: what to hear first, then what to say, and so
// on.
func (w *wire) talk(turns ...string) error {
	for i, text := range turns {
		var err error
		if i%2 == 0 {
			err = w.hear(text)
		} else {
			err = w.say(text + "\r\n")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// visit has a well-behaved client talk.
func (a *arena) visit(wellKnown int, turns ...string) (err error) {
	w, err := a.dial(a.Context(), wellKnown, net.IPv4(127, 0, 0, 1))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := w.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return w.talk(turns...)
}

const letter = "From: ann@elsewhere.test\r\nTo: bob@example.test\r\nSubject: served\r\n\r\nStill here.\r\n."

func (a *arena) sendMail() error {
	return a.visit(25, "220", "EHLO well.behaved.test", "250", "MAIL FROM:<ann@elsewhere.test>", "250",
		"RCPT TO:<"+system.Bob+">", "250", "DATA", "354", letter, "250", "QUIT", "221")
}

func (a *arena) submitMail() error {
	return a.visit(587, "220", "EHLO well.behaved.test", "250", "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3YXh3aW5n", "235",
		"MAIL FROM:<"+system.Alice+">", "250", "RCPT TO:<"+system.Bob+">", "250", "DATA", "354",
		strings.Replace(letter, "ann@elsewhere.test", system.Alice, 1), "250", "QUIT", "221")
}

func (a *arena) readIMAP() error {
	return a.visit(143, "* OK", "a LOGIN "+system.Bob+" "+system.Password, "a OK", "b SELECT INBOX", "b OK",
		"c LOGOUT", "c OK")
}

func (a *arena) readPOP3() error {
	return a.visit(110, "+OK", "USER "+system.Alice, "+OK", "PASS "+system.Password, "+OK", "STAT", "+OK", "QUIT", "+OK")
}

// delivered gives how many messages bob has.
func (a *arena) delivered() int {
	a.Helper()
	w, err := a.dial(a.Context(), 143, net.IPv4(127, 0, 0, 1))
	if err != nil {
		a.Fatal(err)
	}
	defer w.Close()
	if err := errors.Join(w.SetDeadline(time.Now().Add(patience)),
		w.talk("* OK", "a LOGIN "+system.Bob+" "+system.Password, "a OK"), w.say("b STATUS INBOX (MESSAGES)\r\n")); err != nil {
		a.Fatal(err)
	}
	line, err := w.in.ReadString('\n')
	if err != nil {
		a.Fatal(err)
	}
	n := 0
	if _, err := fmt.Sscanf(line, "* STATUS INBOX (MESSAGES %d)", &n); err != nil {
		a.Fatalf("%q: %v", line, err)
	}
	return n
}
