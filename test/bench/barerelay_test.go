//go:build bench

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A bareRelay does a relay's duty and nothing else: it takes messages in by
// SMTP, says 250 once a group of them is synced to one file, sends them on over
// twenty connections, and syncs that they are gone before a connection is used
// again. It has no limits, no deadlines, no log, no trace and no index, looks at
// nothing but the verbs, sends on the very octets that it has read with a
// Received field before them, and could not go on after a crash. What it costs is
// what sockets, a file and Go's goroutines cost: no relay in Go is below it.
type bareRelay struct {
	sink    string
	journal bareJournal
	work    chan []byte  // messages as they go out: with stuffed dots, and the last one
	left    atomic.Int64 // messages that have not gone out yet
}

// bareConnections is how many connections there are to the next host: as many as
// Waxwing has at most.
const bareConnections = 20

// A bareJournal is a file whose writers share their syncs.
type bareJournal struct {
	disk sync.Mutex // held while a group is written
	file *os.File
	size int64 // written
	room int64 // made

	mu   sync.Mutex
	open *bareGroup // guarded by mu
}

type bareGroup struct {
	octets []byte
	done   chan struct{}
	err    error
}

// bareRoom is how much room is made on the disk at once, so that a sync has no
// more to write than the data.
const bareRoom = 64 << 20

// append returns when b is durable. Whoever is first in a group writes it, and
// lets others come first that can.
func (j *bareJournal) append(b []byte) error {
	j.mu.Lock()
	g, first := j.open, len(j.open.octets) == 0
	g.octets = append(g.octets, b...)
	j.mu.Unlock()
	if !first {
		<-g.done
		return g.err
	}
	runtime.Gosched()
	j.disk.Lock()
	j.mu.Lock()
	j.open = &bareGroup{done: make(chan struct{})}
	j.mu.Unlock()
	g.err = j.write(g.octets)
	j.disk.Unlock()
	close(g.done)
	return g.err
}

func (j *bareJournal) write(b []byte) error {
	if j.size += int64(len(b)); j.size > j.room {
		if err := unix.Fallocate(int(j.file.Fd()), 0, j.room, bareRoom); err != nil {
			return err
		}
		j.room += bareRoom
	}
	if _, err := j.file.Write(b); err != nil {
		return err
	}
	return unix.Fdatasync(int(j.file.Fd()))
}

// A bareConn is a connection with what has been read of it.
type bareConn struct {
	net.Conn
	in []byte
}

// until gives what comes up to and with end.
func (c *bareConn) until(end string) ([]byte, error) {
	for from := 0; ; {
		if i := bytes.Index(c.in[from:], []byte(end)); i >= 0 {
			piece := c.in[:from+i+len(end)]
			c.in = c.in[len(piece):]
			return piece, nil
		}
		from = max(0, len(c.in)-len(end)+1)
		if cap(c.in)-len(c.in) < 4<<10 {
			c.in = append(make([]byte, 0, 16<<10), c.in...)
		}
		n, err := c.Read(c.in[len(c.in):cap(c.in)])
		if c.in = c.in[:len(c.in)+n]; err != nil {
			return nil, err
		}
	}
}

// say writes something and reads so many lines of reply.
func (c *bareConn) say(b []byte, replies int) error {
	if _, err := c.Write(b); err != nil {
		return err
	}
	for replies > 0 {
		line, err := c.until("\r\n")
		switch {
		case err != nil:
			return err
		case line[0] != '2' && line[0] != '3':
			return fmt.Errorf("reply %q", line)
		case line[3] == ' ':
			replies--
		}
	}
	return nil
}

// take speaks with a client.
func (r *bareRelay) take(nc net.Conn) error {
	defer nc.Close()
	c := &bareConn{Conn: nc}
	reply := "220 bare\r\n"
	var from, to string
	for {
		if _, err := io.WriteString(c, reply); err != nil {
			return err
		}
		line, err := c.until("\r\n")
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("MAIL")):
			from, reply = string(line), "250 ok\r\n"
		case bytes.HasPrefix(line, []byte("RCPT")):
			to, reply = string(line), "250 ok\r\n"
		case bytes.HasPrefix(line, []byte("DATA")):
			if err := r.message(c, from+to); err != nil {
				return err
			}
			reply = "250 taken\r\n"
		case bytes.HasPrefix(line, []byte("NOOP")):
			reply = fmt.Sprintf("250 %d\r\n", r.left.Load())
		case bytes.HasPrefix(line, []byte("QUIT")):
			_, err := io.WriteString(c, "221 bye\r\n")
			return err
		default:
			reply = "250 ok\r\n"
		}
	}
}

// message takes the message itself, and hands it on when it is durable.
func (r *bareRelay) message(c *bareConn, envelope string) error {
	if _, err := io.WriteString(c, "354 go\r\n"); err != nil {
		return err
	}
	text, err := c.until("\r\n.\r\n")
	if err != nil {
		return err
	}
	all := make([]byte, 0, len(envelope)+128+len(text))
	all = append(all, envelope...)
	all = append(all, "DATA\r\nReceived: from bench.test ([127.0.0.1])\r\n\tby bare with ESMTP; Sat, 21 Nov 2026 10:00:00 +0000\r\n"...)
	all = append(all, text...)
	if err := r.journal.append(all); err != nil {
		return err
	}
	r.left.Add(1)
	r.work <- all
	return nil
}

// send sends messages over one connection.
func (r *bareRelay) send() error {
	nc, err := net.Dial("tcp", r.sink)
	if err != nil {
		return err
	}
	defer nc.Close()
	c := &bareConn{Conn: nc}
	if err := c.say(nil, 1); err != nil {
		return err
	}
	if err := c.say([]byte("EHLO bare\r\n"), 1); err != nil {
		return err
	}
	for all := range r.work {
		envelope := bytes.Index(all, []byte("DATA\r\n")) + len("DATA\r\n")
		if err := c.say(all[:envelope], 3); err != nil {
			return err
		}
		if err := c.say(all[envelope:], 1); err != nil {
			return err
		}
		if err := r.journal.append([]byte("gone 00000000000000\n")); err != nil {
			return err
		}
		r.left.Add(-1)
	}
	return nil
}

// bareSink tells this program to be the bare relay, and where mail goes.
const bareSink = "WAXWING_BARE_SINK"

// TestBareRelay is the bare relay, when it is told so.
func TestBareRelay(t *testing.T) {
	sink := os.Getenv(bareSink)
	if sink == "" {
		t.Skip("only for TestRelay")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	r := &bareRelay{sink: sink, work: make(chan []byte, 100_000)}
	r.journal.file, r.journal.open = file, &bareGroup{done: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", l.Addr())
	for range bareConnections {
		go func() {
			if err := r.send(); err != nil {
				panic(err)
			}
		}()
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if err := r.take(c); err != nil && !errors.Is(err, io.EOF) {
				panic(err)
			}
		}()
	}
}

// startBareRelay starts this program again as the bare relay. Its collector has
// as much room as Waxwing's while there is much to do.
func startBareRelay(t *testing.T, sink string) (p peer, empty func() bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBareRelay$", "-test.v")
	cmd.Env = append(os.Environ(), bareSink+"="+sink, "GOGC=1000")
	addr := listening(t, cmd)
	empty = func() bool {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer nc.Close()
		c := &bareConn{Conn: nc}
		if err := c.say(nil, 1); err != nil {
			return false
		}
		if _, err := io.WriteString(c, "NOOP\r\n"); err != nil {
			return false
		}
		line, err := c.until("\r\n")
		return err == nil && strings.TrimSpace(string(line)) == "250 0"
	}
	return peer{name: "bare Go", smtp: addr, pids: func() []int { return []int{cmd.Process.Pid} }}, empty
}
