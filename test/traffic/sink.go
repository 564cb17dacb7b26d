package traffic

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Sink is a mail host that takes everything, slowly, and keeps account.
type Sink struct {
	listener net.Listener

	mu    sync.Mutex
	taken map[string][]Taking // by message number; guarded by mu
}

// A Taking is one time that the sink has taken a message.
type Taking struct {
	Sum  string // hash of the body
	Last bool   // nothing followed on the connection, not even QUIT
}

// NewSink opens one, until the test ends.
func NewSink(t testing.TB) *Sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{listener: l, taken: map[string][]Taking{}}
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

// Port is where it listens.
func (s *Sink) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// serve takes messages from one connection until it ends.
func (s *Sink) serve(conn net.Conn) {
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
func (s *Sink) take(text string) string {
	number, sum := Identify(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[number] = append(s.taken[number], Taking{Sum: sum, Last: true})
	return number
}

// follow notes that something came on the connection behind a message.
func (s *Sink) follow(number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.taken[number]
	all[len(all)-1].Last = false
}

// Takings gives what has been taken so far.
func (s *Sink) Takings() map[string][]Taking {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]Taking, len(s.taken))
	for number, t := range s.taken {
		all[number] = append([]Taking(nil), t...)
	}
	return all
}
