//go:build peers

package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/test/system"
)

// Alpine reads, searches, flags, saves to another folder, deletes, expunges
// and answers. It is the client of those who wrote IMAP.
func TestAlpine(t *testing.T) {
	b := newBench(t)
	b.send("one", "two", "three")
	rc := b.file("pinerc", b.fill(`
inbox-path={localhost:@993@/ssl/user=bob@example.test}INBOX
folder-collections={localhost:@993@/ssl/user=bob@example.test}[]
default-fcc=Sent
smtp-server=localhost:@587@/tls/user=bob@example.test
personal-name=Bob
customized-hdrs=From: Bob <bob@example.test>
user-domain=example.test
feature-list=quit-without-confirm,expunge-without-confirm,expunge-without-confirm-everywhere,enable-flag-cmd,
	
	enable-aggregate-command-set,disable-password-file-saving,disable-password-caching
last-version-used=9.99
`))
	s := b.screen("alpine", "-p", rc, "-I", "i")
	s.wait("ENTER PASSWORD")
	s.typed(system.Password)
	s.keys("Enter")
	s.wait("three")

	s.keys("w") // where is
	s.wait("Word to search for")
	s.typed("two")
	s.keys("Enter")
	s.wait("Message 2 of 3")
	s.keys("Enter") // read it
	s.wait("..Two dots.")
	s.keys("i")
	s.wait("FldrList")
	s.keys("*")
	s.wait("Important")
	s.keys("*")
	s.wait("*     2 ")
	s.keys("s") // save: copy, and mark as deleted
	s.wait("SAVE Msg #2")
	s.typed("Archive")
	s.keys("Enter")
	s.wait("* D   2 ")
	s.keys("x") // expunge
	s.wait("Message 2 of 2")

	s.keys(`\;`) // select: the server searches
	s.wait("SELECT criteria")
	s.keys("t")
	s.wait("All msg text")
	s.keys("b")
	s.wait("BODYTEXT")
	s.typed("TWO dots")
	s.keys("Enter")
	s.wait("X N   1 ")

	s.keys("r")
	s.wait("Include original")
	s.keys("y")
	s.wait("all recipients")
	s.keys("n")
	s.wait("> ..Two dots.")
	s.keys("C-x")
	s.wait("Send message?")
	s.keys("y")
	s.wait("ENTER PASSWORD")
	s.typed(system.Password)
	s.keys("Enter")
	s.wait("MESSAGE INDEX")

	b.contains(b.imap("Archive", "FETCH 1 (FLAGS ENVELOPE)"), `\Flagged`, `"two"`)
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 2")
	b.eventually("the answer is filed", func() bool { return strings.Contains(b.imap("INBOX", "FETCH 2 (FLAGS)"), `\Answered`) })
	b.contains(b.imap("Sent", "FETCH 1 (ENVELOPE)"), `"Re: three"`)
}

// A screen is a terminal in which a program runs: tmux makes it.
type screen struct {
	bench
	socket string
}

// screen starts a program on a screen of 120 columns and 40 lines.
func (b bench) screen(name string, args ...string) *screen {
	b.Helper()
	s := &screen{b, filepath.Join(b.dir, "tmux")}
	s.tmux(append([]string{"-f", "/dev/null", "new-session", "-d", "-s", "main", "-x", "120", "-y", "40", "env", "TERM=screen", "HOME=" + b.dir, "SSL_CERT_FILE=" + b.CA(), name}, args...)...)
	b.Cleanup(func() {
		if b.Failed() {
			b.Logf("on %s's screen:\n%s", name, s.text())
		}
		cmd := exec.Command("tmux", "-S", s.socket, "kill-server")
		_ = cmd.Run()
	})
	return s
}

func (s *screen) tmux(args ...string) string {
	s.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, _ := cmd.CombinedOutput() // when the program has ended there is no server
	return string(out)
}

// text is what the screen shows.
func (s *screen) text() string {
	s.Helper()
	return s.tmux("capture-pane", "-p", "-t", "main")
}

// keys presses keys by their names.
func (s *screen) keys(names ...string) {
	s.Helper()
	s.tmux(append([]string{"send-keys", "-t", "main"}, names...)...)
}

// typed types text as it is.
func (s *screen) typed(text string) {
	s.Helper()
	s.tmux("send-keys", "-t", "main", "-l", text)
}

// wait waits until the screen shows text.
func (s *screen) wait(text string) {
	s.Helper()
	s.eventually(text+" is on the screen", func() bool { return strings.Contains(s.text(), text) })
}
