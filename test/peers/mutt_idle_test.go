//go:build peers

package peers

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// mutt and neomutt wait for mail in IDLE, and show it when it comes: they ask
// for nothing meanwhile.
func TestMuttWaits(t *testing.T) {
	for _, program := range []string{"mutt", "neomutt"} {
		t.Run(program, func(t *testing.T) {
			b := newBench(t)
			b.send("first")
			line := tap(t, b.Addr(143))
			rc := b.file("muttrc", b.fill(`
set ssl_starttls=no ssl_force_tls=no
set imap_user=bob@example.test imap_pass=waxwing imap_authenticators=plain
set folder=imap://`+line.addr+`/ spoolfile=+INBOX
set imap_idle=yes timeout=1 imap_keepalive=1700 mail_check=1 sleep_time=0
set quit=yes delete=no move=no confirmcreate=no
`))
			s := b.screen(program, "-n", "-F", rc)
			s.wait("first")
			b.eventually("IDLE", func() bool { return strings.Contains(line.said(), " IDLE\r\n") })
			b.send("second")
			s.wait("second")
			_, after, _ := strings.Cut(line.said(), " IDLE\r\n")
			if strings.Contains(after, "NOOP") {
				t.Errorf("%s asks while it waits:\n%s", program, after)
			}
			s.keys("q")
		})
	}
}

// A tapped line passes on what a client and a server say to each other, and
// keeps what the client has said.
type tapped struct {
	addr string
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// tap makes a line to a server, until the test ends.
func tap(t *testing.T, server string) *tapped {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &tapped{addr: l.Addr().String()}
	var lines sync.WaitGroup
	t.Cleanup(lines.Wait)
	t.Cleanup(func() { _ = l.Close() })
	lines.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			lines.Go(func() { k.carry(t.Context(), near, server) })
		}
	})
	return k
}

// carry passes on until either side hangs up, or the test ends.
func (k *tapped) carry(ctx context.Context, near net.Conn, server string) {
	defer near.Close() //nolint:errcheck // it has been used
	far, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })()
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(near, far)
		_ = near.Close()
	})
	_, _ = io.Copy(io.MultiWriter(k, far), near)
	_ = far.Close()
	answers.Wait()
}

func (k *tapped) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(p)
}

func (k *tapped) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.String()
}
