package transcript

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/test/engine"
)

// Patience is how long an S: step waits for its line, and a C: step for the
// server to take what is sent: virtual time under Run, real time under Play.
const Patience = 10 * time.Second

// A Dial opens a new connection to the server under test and gives the
// client's end.
type Dial func() net.Conn

// A Setup makes what a file talks to: called once for each file, inside its
// bubble. It registers with t.Cleanup what ends it; connections are closed
// before that runs.
type Setup func(t *testing.T, o Options) Dial

// Run plays every file that matches the pattern (as in filepath.Glob) as a
// subtest in a bubble of its own. No file is a failure. Where the stores of
// tests are not in memory there are no bubbles, and files in which time passes
// (or that say O: clock virtual) are left out.
func Run(t *testing.T, pattern string, setup Setup) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts at %s (%v)", pattern, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s, err := load(path)
			if err != nil {
				t.Fatal(err)
			}
			if !engine.Virtual() {
				if s.virtual() {
					t.Skip("its time is virtual, and the store is not in memory")
				}
				p := &player{t: t, script: s, dial: setup(t, s.options), settle: func() {}}
				p.play()
				return
			}
			synctest.Test(t, func(t *testing.T) {
				p := &player{t: t, script: s, dial: setup(t, s.options), settle: synctest.Wait}
				p.play()
			})
		})
	}
}

// Play plays one file against a server of any kind, for example over TCP,
// outside of a bubble: W: takes real time.
func Play(t testing.TB, path string, dial Dial) {
	t.Helper()
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, script: s, dial: dial, settle: func() {}}
	p.play()
}

// A Pipe makes a Dial over net.Pipe for servers that are given their
// connections: serve runs in its own goroutine with the server's end, and is
// waited for when the test ends.
func Pipe(t testing.TB, serve func(net.Conn)) Dial {
	return func() net.Conn {
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			serve(server)
		}()
		t.Cleanup(func() {
			_ = client.Close()
			<-ended
		})
		return client
	}
}

// A player is one file being played.
type player struct {
	t      testing.TB
	script *script
	dial   Dial
	settle func() // waits until everybody waits

	conns  map[int]*conn
	kept   captures
	dialog []string
}

func (p *player) play() {
	p.conns, p.kept = map[int]*conn{}, captures{}
	steps := p.script.steps
	if len(steps) == 0 {
		p.t.Fatalf("%s: no steps", p.script.path)
	}
	for i := 0; i < len(steps); {
		st := steps[i]
		taken := 1
		switch st.kind {
		case send:
			taken = p.send(steps[i:])
		case hangUp:
			p.dialog = append(p.dialog, fmt.Sprintf("%dC: <close>", st.conn))
			p.conn(st.conn).close()
		case expect:
			p.expect(st)
		case anyLines:
			taken = p.skip(steps[i:])
		case closed:
			p.closed(st)
		case silence:
			p.silent(st)
		case upgrade:
			p.dialog = append(p.dialog, fmt.Sprintf("%dU: %s", st.conn, st.text))
			if err := p.conn(st.conn).upgrade(st.text, Patience); err != nil {
				p.fail(st, "upgrade to %s: %v", st.text, err)
			}
		case wait:
			p.dialog = append(p.dialog, fmt.Sprintf("W: %v", st.wait))
			time.Sleep(st.wait)
			p.settle()
		}
		i += taken
	}
	p.end()
}

// conn gives a connection, dialling it on first use.
func (p *player) conn(n int) *conn {
	if c := p.conns[n]; c != nil {
		return c
	}
	c := newConn(p.dial())
	p.conns[n] = c
	p.t.Cleanup(c.close)
	return c
}

// send sends the steps that follow each other on one connection as one write
// and returns how many they are.
func (p *player) send(steps []step) int {
	var all strings.Builder
	n := 0
	for ; n < len(steps) && steps[n].kind == send && steps[n].conn == steps[0].conn; n++ {
		text, err := expand(steps[n].text, p.kept)
		if err != nil {
			p.fail(steps[n], "%v", err)
		}
		p.dialog = append(p.dialog, fmt.Sprintf("%dC: %s", steps[n].conn, show(text)))
		all.WriteString(text)
	}
	err := p.conn(steps[0].conn).write(all.String(), Patience)
	if err != nil && !p.closesLater(steps[n:], steps[0].conn) {
		p.fail(steps[0], "cannot send: %v", err)
	}
	return n
}

// closesLater tells whether the script knows that the server hangs up, so
// that it may do so while it is being written to.
func (p *player) closesLater(steps []step, conn int) bool {
	for _, st := range steps {
		if st.kind == closed && st.conn == conn {
			return true
		}
	}
	return false
}

func (p *player) expect(st step) {
	line := p.hear(st)
	if !match(st.text, line, p.kept) {
		p.fail(st, "want: %s\nhave: %s", p.wanted(st.text), show(line))
	}
}

// skip hears lines until one matches the expectation that follows, and
// returns how many steps that was.
func (p *player) skip(steps []step) int {
	if len(steps) < 2 || steps[1].kind != expect || steps[1].conn != steps[0].conn {
		p.fail(steps[0], "<lines> wants an S: step after it on the same connection")
	}
	for !match(steps[1].text, p.hear(steps[1]), p.kept) {
	}
	return 2
}

// hear takes the server's next line or fails the test.
func (p *player) hear(st step) string {
	line, ok, err := p.conn(st.conn).next(Patience)
	switch {
	case ok:
		p.dialog = append(p.dialog, fmt.Sprintf("%dS: %s", st.conn, show(line)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.fail(st, "want: %s\nhave: nothing within %v%s", p.wanted(st.text), Patience, after(line))
	default:
		p.fail(st, "want: %s\nhave: the connection is closed (%v)%s", p.wanted(st.text), err, after(line))
	}
	return line
}

func (p *player) closed(st step) {
	line, ok, err := p.conn(st.conn).next(Patience)
	switch {
	case ok || line != "":
		p.fail(st, "want: <closed>\nhave: %s", show(line))
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.fail(st, "want: <closed>\nhave: an open connection after %v", Patience)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		p.dialog = append(p.dialog, fmt.Sprintf("%dS: <closed> (%v)", st.conn, err))
	default:
		p.dialog = append(p.dialog, fmt.Sprintf("%dS: <closed>", st.conn))
	}
}

func (p *player) silent(st step) {
	c := p.conn(st.conn)
	p.settle()
	if line, ok, err := c.line(); ok || line != "" || err != nil {
		p.fail(st, "want: silence\nhave: %s (%v)", show(line), err)
	}
}

// end checks that nobody has said more than the script knows.
func (p *player) end() {
	p.settle()
	last := p.script.steps[len(p.script.steps)-1]
	for n, c := range p.conns {
		if line, ok, _ := c.line(); ok || line != "" {
			p.fail(last, "after the last step connection %d says: %s", n, show(line))
		}
	}
}

// wanted shows a pattern, with what its names stand for.
func (p *player) wanted(pattern string) string {
	if s, err := expand(pattern, p.kept); err == nil && s != pattern {
		return pattern + "   (" + s + ")"
	}
	return pattern
}

// fail ends the test with what was so far said.
func (p *player) fail(st step, format string, args ...any) {
	p.t.Helper()
	const shown = 60
	dialog := p.dialog
	if len(dialog) > shown {
		dialog = append([]string{"..."}, dialog[len(dialog)-shown:]...)
	}
	p.t.Fatalf("%s:%d: %s\nthe dialog so far:\n  %s",
		p.script.path, st.line, fmt.Sprintf(format, args...), strings.Join(dialog, "\n  "))
}

// show makes octets readable, one line, not too long.
func show(s string) string {
	s = strings.TrimSuffix(s, "\r\n")
	const most = 500
	cut := ""
	if len(s) > most {
		cut = fmt.Sprintf("... (%d octets)", len(s))
		s = s[:most]
	}
	var out strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '\r':
			out.WriteString(`\r`)
		case c == '\n':
			out.WriteString(`\n`)
		case c < ' ' && c != '\t' || c == 0x7f:
			fmt.Fprintf(&out, `\x%02x`, c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String() + cut
}

// after tells of a line that was begun.
func after(line string) string {
	if line == "" {
		return ""
	}
	return ", after the beginning of a line: " + show(line)
}
