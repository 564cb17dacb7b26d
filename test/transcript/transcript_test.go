package transcript

import (
	"bufio"
	"compress/flate"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, line string
		want          bool
	}{
		{"", "", true},
		{"", "x", false},
		{"250 ok", "250 ok", true},
		{"250 *", "250 ", true},
		{"250 *", "250", false},
		{"250*ok", "250 2.0.0 ok", true},
		{"a*b*c", "a1b2b3c", true},
		{"a*b*c", "a1b2b3", false},
		{"* OK *", "* OK [X] y", true},
		{"* OK *", "a1 OK * OK y", false},
		{"*OK*", "a1 OK y", true},
		{"(*)", "([)", true},
		{"[a-z]", "b", false},
		{"[a-z]", "[a-z]", true},
		{`(\Seen $Junk)`, `(\Seen $Junk)`, true},
		{"$$x", "$x", true},
		{"$a $a", "1 1", true},
		{"$a $a", "1 2", false},
		{"<$a>", "<x y>", false},
		{"<$a>*", "<x> <y>", true},
		{"[UIDNEXT $n]*", "[UIDNEXT 12] ok", true},
		{"$a", "", false},
		{"caf\xff*", "caf\xff\xfe", true},
	} {
		if have := match(test.pattern, test.line, captures{}); have != test.want {
			t.Errorf("match(%q, %q) = %v", test.pattern, test.line, have)
		}
	}
	c := captures{}
	if !match("* $n EXISTS (uid $uid)*", "* 12 EXISTS (uid 7) x", c) || c["n"] != "12" || c["uid"] != "7" {
		t.Errorf("captured %v", c)
	}
	if match("$n $other", "13 x", c) || c["other"] != "" {
		t.Errorf("a failed match changed %v", c)
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{"hello", "X: y", "xC: y", "0C: y", "R: \\q", "R: \\x1", "R: \\{3:a", "R: \\", "W: soon", "S: a\nO: late", "U: ssh", ": x"} {
		if _, err := parse("f", text); err == nil {
			t.Errorf("parse(%q) succeeds", text)
		}
	}
}

func TestRun(t *testing.T) {
	Run(t, "testdata/*.talk", func(t *testing.T, o Options) Dial {
		greeting := o["greeting"]
		if greeting == "" {
			greeting = "hello"
		}
		l, certificate := Listen(7), Certificate(t)
		var conns sync.WaitGroup
		conns.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				conns.Go(func() { talk(c, greeting, certificate) })
			}
		})
		t.Cleanup(func() {
			l.Close()
			conns.Wait()
		})
		return l.Dial
	})
}

func TestPlayOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if c, err := l.Accept(); err == nil {
			talk(c, "hello", Certificate(t))
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	path := filepath.Join(t.TempDir(), "x.talk")
	if err := os.WriteFile(path, []byte("S: hello\nC: echo a\nS: echo a\nC: <close>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	Play(t, path, func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}

// A script that does not come true fails at its line and shows the dialog.
func TestFailures(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"S: hello\nC: echo a\nS: echo b", "x.talk:3: want: echo b\nhave: echo a\nthe dialog so far:\n  1S: hello\n  1C: echo a\n  1S: echo a"},
		{"S: hello\nC: echo a", "after the last step connection 1 says: echo a"},
		{"S: hello\nC: quit\nS: more", "have: the connection is closed (EOF)"},
		{"S: hello\nC: echo\nS: <closed>", "want: <closed>\nhave: echo"},
		{"S: <silence>", "want: silence\nhave: hello"},
		{"S: hello\nC: $uid", "$uid has no value yet"},
		{"S: $w\nC: echo 2\nS: echo $w", "want: echo $w   (echo hello)\nhave: echo 2"},
	} {
		s, err := parse("x.talk", test.text)
		if err != nil {
			t.Fatal(err)
		}
		f := &failing{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := &player{t: f, script: s, dial: Pipe(f, func(c net.Conn) { talk(c, "hello", tls.Certificate{}) }), settle: func() { time.Sleep(10 * time.Millisecond) }}
			p.play()
		}()
		<-done
		f.end()
		if !strings.Contains(f.said, test.want) {
			t.Errorf("%q fails with:\n%s\nwant: %s", test.text, f.said, test.want)
		}
	}
}

// failing records a failure in place of failing.
type failing struct {
	testing.TB
	said     string
	cleanups []func()
}

func (f *failing) Helper()           {}
func (f *failing) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (f *failing) end() {
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
}

// talk is a small server with all that the harness has to meet.
func talk(c net.Conn, greeting string, certificate tls.Certificate) {
	defer c.Close()
	fmt.Fprintf(c, "%s\r\n", greeting)
	in, out := bufio.NewReader(c), func(s string) { io.WriteString(c, s) }
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err, ok := err.(net.Error); ok && err.Timeout() {
			out("too slow\r\n")
		}
		if err != nil {
			return
		}
		word, arg, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		switch word {
		case "quit":
			return
		case "many":
			n, _ := strconv.Atoi(arg)
			for i := range n {
				out(fmt.Sprintf("line %d of %d\r\n", i+1, n))
			}
		case "bare":
			out("bare\n")
		case "deflate":
			out("go on\r\n")
			w, _ := flate.NewWriter(c, 1)
			in, out = bufio.NewReader(flate.NewReader(in)), func(s string) { io.WriteString(w, s); w.Flush() }
		case "tls":
			out("go on\r\n")
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
			in, out = bufio.NewReader(c), func(s string) { io.WriteString(c, s) }
		default:
			out(line)
		}
	}
}
