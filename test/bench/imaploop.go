package bench

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// An imapLoop is sessions that send one command after the other, each once
// the one before it has been answered. All of them are one loop over epoll, as
// an smtpLoad is: the server has nearly all of the processors that it shares
// with its client.
type imapLoop struct {
	epoll    int
	sessions []*loopSession
	room     []byte // for what is read
	taken    int    // commands that were answered with OK

	// command adds the nth command of a session, without its tag, to dst; nil
	// when there is no other. It may have literals that the server does not
	// have to ask for, but no answer may.
	command func(dst []byte, session, n int) []byte
}

// A loopSession is one connection.
type loopSession struct {
	fd     int
	number int
	sent   int    // commands
	out    []byte // the last of them, with its tag
	tag    []byte // its tag and a space
	left   []byte // what the server has not taken of it
	line   []byte // the beginning of a line of its answer
}

// newIMAPLoop takes over clients that have nothing under way.
func newIMAPLoop(clients []*imapClient) (*imapLoop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &imapLoop{epoll: epoll, room: make([]byte, 16<<10)}
	for i, c := range clients {
		fd, err := c.detach()
		if err == nil {
			l.sessions = append(l.sessions, &loopSession{fd: fd, number: i})
			err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
		}
		if err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// detach gives the client's socket, which the caller closes, and ends the client.
func (c *imapClient) detach() (fd int, err error) {
	defer c.close()
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return 0, e
	}
	return fd, err
}

func (l *imapLoop) close() {
	for _, s := range l.sessions {
		_ = unix.Close(s.fd)
	}
	_ = unix.Close(l.epoll)
}

// run gives commands until there are no more, and how many were answered a
// second.
func (l *imapLoop) run(command func(dst []byte, session, n int) []byte) (perSecond float64, err error) {
	l.command, l.taken = command, 0
	start, busy := time.Now(), 0
	for _, s := range l.sessions {
		more, err := l.next(s)
		if err != nil {
			return 0, err
		}
		if more {
			busy++
		}
	}
	events := make([]unix.EpollEvent, 64)
	for busy > 0 {
		n, err := unix.EpollWait(l.epoll, events, 60_000)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, fmt.Errorf("no answer for a minute, %d commands were answered", l.taken)
		}
		for _, e := range events[:n] {
			done, err := l.serve(l.sessions[e.Fd], e.Events)
			if err != nil {
				return 0, err
			}
			if done {
				busy--
			}
		}
	}
	return float64(l.taken) / time.Since(start).Seconds(), nil
}

// next sends a session's next command, if there is one.
func (l *imapLoop) next(s *loopSession) (more bool, err error) {
	s.tag = append(strconv.AppendInt(append(s.tag[:0], 'x'), int64(s.sent), 10), ' ')
	s.out = append(s.out[:0], s.tag...)
	out := l.command(s.out, s.number, s.sent)
	if out == nil {
		return false, nil
	}
	s.sent++
	s.out = append(out, '\r', '\n')
	s.left = s.out
	return true, l.write(s)
}

// write sends what the server takes just now.
func (l *imapLoop) write(s *loopSession) error {
	waited := len(s.left) < len(s.out)
	n, err := unix.Write(s.fd, s.left)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return fmt.Errorf("write: %w", err)
	}
	s.left = s.left[max(n, 0):]
	waits := len(s.left) > 0
	if waits == waited {
		return nil
	}
	events := uint32(unix.EPOLLIN)
	if waits {
		events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events, Fd: int32(s.number)})
}

// serve does what can be done for a session, and tells whether it is done.
func (l *imapLoop) serve(s *loopSession, events uint32) (done bool, err error) {
	if events&unix.EPOLLOUT != 0 {
		if err := l.write(s); err != nil {
			return false, err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return false, nil
	}
	n, err := unix.Read(s.fd, l.room)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read: %w", err)
	case n == 0:
		return false, fmt.Errorf("connection ended, waiting for %s", s.tag)
	}
	for rest := l.room[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			s.line = append(s.line, rest...)
			return false, nil
		}
		line := rest[:end]
		if len(s.line) > 0 {
			line = append(s.line, line...)
			s.line = line[:0]
		}
		rest = rest[end:]
		answer, tagged := bytes.CutPrefix(line, s.tag)
		if !tagged {
			continue
		}
		if !bytes.HasPrefix(answer, []byte("OK")) {
			return false, fmt.Errorf("%.80s: %s", s.out, answer)
		}
		l.taken++
		more, err := l.next(s)
		return !more, err
	}
	return false, nil
}

// storing gives sessions of as many users, each with INBOX selected.
func storing(addr string, user func(i int) string, password string, sessions int) (*imapLoop, error) {
	clients := make([]*imapClient, sessions)
	for i := range clients {
		c, err := dialIMAP(addr, user(i), password, 256<<10)
		if err != nil {
			return nil, err
		}
		for _, command := range []string{"SELECT INBOX", "STORE 1:* -FLAGS.SILENT ($Bench)"} { // so that each STORE changes something
			if _, err := c.do(command); err != nil {
				return nil, err
			}
		}
		clients[i] = c
	}
	return newIMAPLoop(clients)
}

// appendStore writes the nth of commands that set and clear a keyword, message by
// message.
func appendStore(dst []byte, n, messages int) []byte {
	dst = strconv.AppendInt(append(dst, "STORE "...), int64(n%messages+1), 10)
	return append(append(append(dst, ' '), "+-"[n/messages%2]), "FLAGS.SILENT ($Bench)"...)
}
