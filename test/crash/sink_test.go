//go:build crash

package crash

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// A sink is a mail host that takes everything, slowly, and keeps account.
type sink struct {
	listener net.Listener

	mu    sync.Mutex
	taken map[string][]taking // by message number; guarded by mu
}

// A taking is one time that the sink has taken a message.
type taking struct {
	sum  string // hash of the body
	last bool   // nothing followed on the connection, not even QUIT
}

func newSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{listener: l, taken: map[string][]taking{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				serving.Go(func() { s.serve(conn) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return s
}

func (s *sink) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// serve takes messages from one connection until it ends.
func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	c := textproto.NewConn(conn)
	number := ""
	if c.PrintfLine("220 sink.test") != nil {
		return
	}
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		if number != "" { // something has followed
			s.follow(number)
			number = ""
		}
		reply := "250 ok"
		switch {
		case strings.EqualFold(line, "DATA"):
			if c.PrintfLine("354 go on") != nil {
				return
			}
			text, err := io.ReadAll(c.DotReader())
			if err != nil {
				return
			}
			number = s.take(string(text))
			time.Sleep(3 * time.Millisecond)
		case strings.EqualFold(line, "QUIT"):
			reply = "221 bye"
		}
		if c.PrintfLine("%s", reply) != nil || reply == "221 bye" {
			return
		}
	}
}

// take notes a message and gives its number.
func (s *sink) take(text string) string {
	number, sum := identify(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[number] = append(s.taken[number], taking{sum: sum, last: true})
	return number
}

// follow notes that something came on the connection behind a message.
func (s *sink) follow(number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.taken[number]
	all[len(all)-1].last = false
}

// takings gives what has been taken so far.
func (s *sink) takings() map[string][]taking {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]taking, len(s.taken))
	for number, t := range s.taken {
		all[number] = append([]taking(nil), t...)
	}
	return all
}

// identify gives a message's number and the hash of its body; lines end in LF.
func identify(text string) (number, sum string) {
	header, body, _ := strings.Cut(text, "\n\n")
	for s := bufio.NewScanner(strings.NewReader(header)); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "X-Number: "); ok {
			number = v
		}
	}
	hash := sha256.Sum256([]byte(strings.ReplaceAll(body, "\n", "\r\n")))
	return number, hex.EncodeToString(hash[:])
}
