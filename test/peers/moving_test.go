//go:build peers

package peers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"waxwing/test/system"
)

// mbsync moves a whole account from Dovecot to us, and from us to another
// Dovecot: all mailboxes and messages come, octet by octet, with their flags
// and dates, and a second run has nothing to do.
func TestMbsyncMoves(t *testing.T) {
	script, err := filepath.Abs("testdata/account.py")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	from := system.StartDovecot(t, "maildir:~/Maildir")
	to := system.StartDovecot(t, "mdbox:~/mdbox")
	ours := fmt.Sprint(b.Port(143))
	account := func(what, port, user string) string {
		b.Helper()
		return b.run("python3", script, what, port, user, system.Password)
	}
	account("fill", portOf(t, from.IMAP), "bob")
	was := account("tell", portOf(t, from.IMAP), "bob")
	if n := strings.Count(was, "\n"); n < 85 {
		t.Fatalf("only %d lines:\n%s", n, was)
	}

	b.mbsync("in", portOf(t, from.IMAP), "bob", ours, system.Bob)
	lacks(t, "after moving in", was, account("tell", ours, system.Bob))

	here := account("tell", ours, system.Bob)
	b.mbsync("out", ours, system.Bob, portOf(t, to.IMAP), "bob")
	lacks(t, "after moving out", here, account("tell", portOf(t, to.IMAP), "bob"))
}

// mbsync copies an account to another server, and sees to it that a second run
// does nothing.
func (b bench) mbsync(name, farPort, farUser, nearPort, nearUser string) {
	b.Helper()
	rc := b.file(name+"rc", fmt.Sprintf(`
IMAPAccount far
Host 127.0.0.1
Port %s
User %s
Pass %s
SSLType None
AuthMechs LOGIN

IMAPStore far
Account far

IMAPAccount near
Host 127.0.0.1
Port %s
User %s
Pass %[3]s
SSLType None
AuthMechs LOGIN

IMAPStore near
Account near

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Sync Pull
CopyArrivalDate yes
SyncState %s/
`, farPort, farUser, system.Password, nearPort, nearUser, filepath.Join(b.dir, name+"state")))
	if err := os.Mkdir(filepath.Join(b.dir, name+"state"), 0o700); err != nil {
		b.Fatal(err)
	}
	b.run("mbsync", "-V", "-c", rc, "-a")
	if out := b.run("mbsync", "-V", "-c", rc, "-a"); busy.MatchString(out) {
		b.Errorf("a second run has something to do:\n%s", out)
	}
}

// busy is what mbsync says of messages that it adds, changes or removes.
var busy = regexp.MustCompile(`[+*#][1-9]`)

// lacks tells which lines of a list are missing in another.
func lacks(t *testing.T, when, want, have string) {
	t.Helper()
	there := map[string]int{}
	for line := range strings.SplitSeq(have, "\n") {
		there[line]++
	}
	missing := 0
	for line := range strings.SplitSeq(want, "\n") {
		if there[line]--; there[line] < 0 {
			if missing++; missing <= 10 {
				t.Errorf("%s there is no %s", when, line)
			}
		}
	}
	if missing > 10 {
		t.Errorf("and %d more are missing; there is:\n%.2000s", missing-10, have)
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
