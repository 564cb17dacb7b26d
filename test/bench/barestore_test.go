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
	"testing"
)

// A bareStore does what a server has to do for a flag and nothing else: it reads
// a line, writes as many octets to one file as Waxwing does, syncs them in
// groups, and says OK. It knows no mailbox and no user, sets no deadline, and
// could tell nobody what it has written. What it costs is what sockets, a file
// and Go's goroutines cost: no server in Go is below it.
type bareStore struct{ journal bareJournal }

// bareChange is how many octets a change is, about as many as one of Waxwing's.
const bareChange = 512

func newBareStore(dir string) (*bareStore, error) {
	file, err := os.Create(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, err
	}
	return &bareStore{bareJournal{file: file, open: &bareGroup{done: make(chan struct{})}}}, nil
}

// serve takes connections until the listener is closed.
func (s *bareStore) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if err := s.answer(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				panic(err)
			}
		}()
	}
}

// answer speaks with a client.
func (s *bareStore) answer(nc net.Conn) error {
	defer nc.Close()
	if _, err := io.WriteString(nc, "* OK bare\r\n"); err != nil {
		return err
	}
	c, change := &bareConn{Conn: nc}, make([]byte, bareChange)
	var out []byte
	for {
		line, err := c.until("\r\n")
		if err != nil {
			return err
		}
		tag, rest, _ := bytes.Cut(line, []byte(" "))
		if bytes.HasPrefix(rest, []byte("STORE")) {
			copy(change, rest)
			if err := s.journal.append(change); err != nil {
				return err
			}
		}
		out = append(append(out[:0], tag...), " OK completed\r\n"...)
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
}

// BenchmarkBareStore is BenchmarkStore with it.
func BenchmarkBareStore(b *testing.B) {
	for _, sessions := range []int{1, 16} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			s, err := newBareStore(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go s.serve(l)
			benchmarkStores(b, l.Addr().String(), user, sessions)
		})
	}
}

// bareDir tells this program to be the bare store, and where its file is.
const bareDir = "WAXWING_BARE_STORE"

// TestBareStore is the bare store, when it is told so.
func TestBareStore(t *testing.T) {
	dir := os.Getenv(bareDir)
	if dir == "" {
		t.Skip("only for TestMultiAppendAndStore")
	}
	s, err := newBareStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", l.Addr())
	s.serve(l)
}

// startBareStore starts this program again as the bare store. Its collector has
// as much room as Waxwing's while there is much to do.
func startBareStore(t *testing.T) peer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBareStore$", "-test.v")
	cmd.Env = append(os.Environ(), bareDir+"="+t.TempDir(), "GOGC=1000")
	addr := listening(t, cmd)
	return peer{name: "bare Go", imap: addr, pids: func() []int { return []int{cmd.Process.Pid} }}
}
