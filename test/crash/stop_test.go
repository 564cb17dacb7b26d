//go:build crash

package crash

import (
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// dial opens a connection and gives what exchanges a line for an answer that
// must begin so. An empty line only reads.
func dial(t *testing.T, addr string) (ask func(line, want string) string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	c := textproto.NewConn(conn)
	return func(line, want string) string {
		t.Helper()
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		for want != "" {
			got, err := c.ReadLine()
			if err != nil || !strings.HasPrefix(got, want) {
				t.Fatalf("%q is answered with %q, %v; want %q", line, got, err, want)
			}
			if len(got) < 4 || got[3] != '-' {
				return got
			}
		}
		return ""
	}
}

// SIGTERM lets a transaction come to its end: the message in DATA is taken and
// answered. Who is idle is told. Then the program ends well.
func TestTerminate(t *testing.T) {
	w := system.Start(t)
	busy, idle, reader := dial(t, w.Addr(25)), dial(t, w.Addr(25)), dial(t, w.Addr(143))
	for _, say := range []func(string, string) string{busy, idle} {
		say("", "220 ")
		say("EHLO stop.test", "250")
	}
	reader("", "* OK")
	reader("a LOGIN bob waxwing", "a OK")
	busy("MAIL FROM:<a@stop.test>", "250")
	busy("RCPT TO:<bob@example.test>", "250")
	busy("DATA", "354")
	busy("Subject: half\r\n\r\nthe first half", "")

	w.Terminate()
	idle("", "421 ")
	reader("", "* BYE")
	for n := 0; ; n++ {
		conn, err := net.Dial("tcp", w.Addr(25))
		if err != nil {
			break
		}
		_ = conn.Close()
		if n == 100 {
			t.Fatal("new connections are still taken")
		}
		time.Sleep(50 * time.Millisecond)
	}
	busy("the second half\r\n.", "250 2.0.0")
	if code := w.Wait(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}

	w.Run()
	maildrop := dial(t, w.Addr(110))
	maildrop("", "+OK")
	maildrop("USER bob", "+OK")
	maildrop("PASS waxwing", "+OK")
	maildrop("STAT", "+OK 1 ")
}
