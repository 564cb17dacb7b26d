package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// An smtpLoop is all connections of a load.
type smtpLoop struct {
	load   smtpLoad
	dialog []smtpStep
	addr   unix.SockaddrInet4
	texts  [][]byte
	start  time.Time
	epoll  int
	conns  map[int32]*smtpConn // by file descriptor
	begun  int                 // messages
	took   []time.Duration
	rests  []*smtpConn // wait until they may begin a message, the first in front
	room   []byte      // for what is read
}

// An smtpConn is one connection. It waits for the answer to what it has sent.
type smtpConn struct {
	fd    int
	next  int    // in the dialog
	line  []byte // what has been read of the answer's last line
	send  []byte // what the other side has not taken yet
	whole bool   // there is nothing of that

	message int // its number, and when it was begun
	begun   time.Time
}

// A smtpStep is what is sent once an answer has come that begins with want.
type smtpStep struct {
	want string
	send func(c *smtpConn) error
}

// mailStep is where a message begins.
const mailStep = 1

// steps gives the dialog of a connection. After the last answer but one it
// goes on with the next message, or with QUIT.
func (l *smtpLoop) steps() []smtpStep {
	return []smtpStep{
		{"220", func(c *smtpConn) error { return l.write(c, []byte("EHLO bench.test\r\n")) }},
		mailStep: {"250", l.mail},
		{"250", func(c *smtpConn) error {
			return l.write(c, fmt.Appendf(nil, "RCPT TO:<%s>\r\n", l.load.rcpt(c.message)))
		}},
		{"250", func(c *smtpConn) error { return l.write(c, []byte("DATA\r\n")) }},
		{"354", func(c *smtpConn) error {
			id := fmt.Appendf(nil, "Message-ID: <%d.%d@bench.test>\r\n", c.message, rand.Uint64())
			return l.write(c, id, l.texts[c.message%len(l.texts)], []byte(".\r\n"))
		}},
		{"250", l.taken},
		{"221", l.hangUp},
	}
}

func newSMTPLoop(load smtpLoad) (*smtpLoop, error) {
	at, err := netip.ParseAddrPort(load.addr)
	if err != nil {
		return nil, err
	}
	l := &smtpLoop{load: load, texts: load.texts, conns: map[int32]*smtpConn{}, room: make([]byte, 4<<10)}
	if l.texts == nil {
		l.texts = [][]byte{[]byte(payload(load.size))}
	}
	l.dialog = l.steps()
	l.addr = unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *smtpLoop) close() {
	for _, c := range l.conns {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(l.epoll)
}

// run sends messages until there are enough, and gives how long each took.
func (l *smtpLoop) run() ([]time.Duration, error) {
	l.start = time.Now()
	for range l.load.connections {
		if err := l.dial(); err != nil {
			return nil, err
		}
	}
	events := make([]unix.EpollEvent, 128)
	for len(l.conns) > 0 {
		patience, err := l.wake()
		if err != nil {
			return nil, err
		}
		n, err := unix.EpollWait(l.epoll, events, patience)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n == 0 && len(l.rests) == 0:
			return nil, fmt.Errorf("no answer for a minute, %d messages were taken", len(l.took))
		}
		for _, e := range events[:n] {
			if err := l.serve(l.conns[e.Fd], e.Events); err != nil {
				return nil, err
			}
		}
	}
	return l.took, nil
}

// enough tells whether no message is to be begun any more.
func (l *smtpLoop) enough() bool {
	return l.load.messages > 0 && l.begun >= l.load.messages || l.load.during > 0 && time.Since(l.start) >= l.load.during ||
		l.load.until != nil && l.load.until.Err() != nil
}

// dial begins a connection, if there are more messages to send.
func (l *smtpLoop) dial() error {
	if l.enough() {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.conns[int32(fd)] = &smtpConn{fd: fd, whole: true}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := unix.Connect(fd, &l.addr); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// serve does what can be done on a connection.
func (l *smtpLoop) serve(c *smtpConn, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		if err := l.flush(c); err != nil {
			return err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	n, err := unix.Read(c.fd, l.room)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("read answer: %w", err)
	case n == 0:
		return fmt.Errorf("connection ended, waiting for %s", l.dialog[c.next].want)
	}
	for rest := l.room[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			c.line = append(c.line, rest...)
			return nil
		}
		line := rest[:end]
		if len(c.line) > 0 {
			c.line = append(c.line, line...)
			line = c.line
		}
		rest = rest[end:]
		if err := l.answer(c, line); err != nil {
			return err
		}
		c.line = c.line[:0]
	}
	return nil
}

// answer takes a line of an answer, and sends what comes after the last.
func (l *smtpLoop) answer(c *smtpConn, line []byte) error {
	step := l.dialog[c.next]
	if len(line) < 4 || string(line[:3]) != step.want || !c.whole {
		return fmt.Errorf("reply %q, not %s", line, step.want)
	}
	if line[3] != ' ' {
		return nil
	}
	c.next++
	return step.send(c)
}

// wake begins the messages that are due, and gives for how many milliseconds
// there is only to wait for answers.
func (l *smtpLoop) wake() (int, error) {
	for len(l.rests) > 0 {
		c := l.rests[0]
		if rest := l.load.every - time.Since(c.begun); rest > 0 {
			return int(rest/time.Millisecond) + 1, nil
		}
		l.rests = l.rests[1:]
		if err := l.begin(c); err != nil {
			return 0, err
		}
	}
	return 60_000, nil
}

// mail begins a message, as soon as it may.
func (l *smtpLoop) mail(c *smtpConn) error {
	if l.load.every > 0 && !c.begun.IsZero() && time.Since(c.begun) < l.load.every {
		l.rests = append(l.rests, c)
		return nil
	}
	return l.begin(c)
}

// begin begins a message, or ends the connection.
func (l *smtpLoop) begin(c *smtpConn) error {
	if l.enough() {
		c.next = len(l.dialog) - 1
		return l.write(c, []byte("QUIT\r\n"))
	}
	c.message, c.begun = l.begun, time.Now()
	l.begun++
	return l.write(c, []byte("MAIL FROM:<ann@elsewhere.test>\r\n"))
}

// taken counts a message.
func (l *smtpLoop) taken(c *smtpConn) error {
	l.took = append(l.took, time.Since(c.begun))
	if l.load.fresh {
		return l.write(c, []byte("QUIT\r\n"))
	}
	c.next = mailStep + 1
	return l.mail(c)
}

// hangUp ends a connection, and begins another where each has one message.
func (l *smtpLoop) hangUp(c *smtpConn) error {
	delete(l.conns, int32(c.fd))
	if err := unix.Close(c.fd); err != nil {
		return err
	}
	if l.load.fresh {
		return l.dial()
	}
	return nil
}

// write sends the pieces at once.
func (l *smtpLoop) write(c *smtpConn, pieces ...[]byte) error {
	n, err := unix.Writev(c.fd, pieces)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return fmt.Errorf("write: %w", err)
	}
	n = max(n, 0)
	for _, p := range pieces {
		done := min(n, len(p))
		n -= done
		c.send = append(c.send, p[done:]...)
	}
	if c.whole = len(c.send) == 0; c.whole {
		return nil
	}
	return l.watch(c, unix.EPOLLIN|unix.EPOLLOUT)
}

// flush sends more of what the other side has not taken yet.
func (l *smtpLoop) flush(c *smtpConn) error {
	n, err := unix.Write(c.fd, c.send)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return fmt.Errorf("write: %w", err)
	}
	c.send = c.send[max(n, 0):]
	if c.whole = len(c.send) == 0; !c.whole {
		return nil
	}
	c.send = nil
	return l.watch(c, unix.EPOLLIN)
}

func (l *smtpLoop) watch(c *smtpConn, events uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}
