//go:build peers

package peers

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// Everything moves to a live Dovecot: mailboxes, flags, keywords, dates,
// octets; wherever an export is interrupted, nothing is there twice
// afterwards, and again only brings what is new.
func TestExportToDovecot(t *testing.T) {
	b := newBench(t)
	dovecot := system.StartDovecot(t, "maildir:~/Maildir")
	ours := login(t, b.Addr(143), "bob", system.Password)
	oldMail(ours, 60)
	// Of the same date and size: one twice, without and with a Message-ID, and two.
	ours.do("CREATE Twins")
	for _, id := range []string{"", "", "Message-ID: <a@x.test>\r\n", "Message-ID: <a@x.test>\r\n", "Message-ID: <b@x.test>\r\n"} {
		text := id + "Subject: same\r\n\r\nx\r\n"
		ours.do("APPEND Twins \"17-Jul-1996 02:44:25 -0700\" {%d+}\r\n%s", len(text), text)
	}
	ours.do("CREATE %q", "v1.2/A ~b") // which this server does not want
	ours.do("APPEND %q {20+}\r\nSubject: a\r\n\r\nb\r\nc\r\n", "v1.2/A ~b")
	// This server adds to lines that do not end in CRLF.
	ours.do("CREATE Changed")
	ours.do("APPEND Changed {11+}\r\nFrom: a\n\nb\n")
	ours.do("APPEND Changed {11+}\r\nFrom: b\n\nb\n")
	ourNames, theirNames := map[string]string{"Twins": "Twins"}, map[string]string{"Twins": "Twins"}
	for _, f := range folders {
		ourNames[f.raw], theirNames[f.raw] = f.name, f.name
	}
	ourNames["v1.2/A ~b"], theirNames["v1_2/A _b"] = "v", "v"
	want := everything(ours, ourNames)

	args := []string{"export", "--account", system.Bob, "--to", "imap://bob@" + dovecot.IMAP, "--insecure", "--password-file", b.file("password", "x\n")}
	for _, after := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond} {
		cut := exec.Command(system.Binary(t), slices.Concat([]string{"export", "--dir", b.Dir}, args[1:])...)
		if err := cut.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		_ = cut.Process.Kill()
		_ = cut.Wait()
		for strings.Contains(b.run("doveadm", "-c", filepath.Join(dovecot.Dir, "dovecot.conf"), "who"), "bob") {
			time.Sleep(10 * time.Millisecond) // the server is not done with it
		}
	}
	t.Log(b.waxwing(args...))
	theirs := login(t, dovecot.IMAP, "bob", "x")
	same(t, "exported", everything(theirs, theirNames), want)
	total := 2
	for _, list := range want {
		total += len(list)
	}
	again := fmt.Sprintf("already there  %d\n", total)
	b.contains(b.waxwing(args...), "exported       0 messages", again)
	same(t, "again", everything(theirs, theirNames), want)

	// What is new comes over, and flags; those that were set there stay.
	theirs.do("SELECT INBOX")
	theirs.do(`STORE 5 +FLAGS.SILENT (\Flagged Theirs)`)
	ours.do("SELECT INBOX")
	ours.do(`STORE 1:10 +FLAGS.SILENT (\Seen New)`)
	ours.do("APPEND INBOX {23+}\r\nSubject: new\r\n\r\nhello\r\n")
	b.contains(b.waxwing(args...), "exported       1 messages", again, "flags changed  10")
	ours.do(`STORE 5 +FLAGS.SILENT (\Flagged Theirs)`)
	same(t, "changed", everything(theirs, theirNames), everything(ours, ourNames))
}

// Between two servers of ours, with TLS, compression, and UTF-8 in headers.
func TestExportToWaxwing(t *testing.T) {
	b, other := newBench(t), newBench(t)
	ours := login(t, b.Addr(143), "bob", system.Password)
	oldMail(ours, 20)
	b.waxwing("import", "--account", system.Bob, b.file("in.mbox", "From ann@x.test Thu Jan  5 10:11:12 2006\nSubject: Grüße\nMessage-ID: <utf8@x.test>\n\n"+strings.Repeat("ä\n", 100_000)))
	names := map[string]string{}
	for _, f := range folders {
		names[f.raw] = f.name
	}
	want := everything(ours, names)
	args := []string{"export", "--account", system.Bob, "--ca", other.CA(), "--password-file", b.file("password", system.Password), "--to"}
	t.Log(b.waxwing(append(args, fmt.Sprintf("imaps://alice@127.0.0.1:%d", other.Port(993)))...))
	theirs := login(t, other.Addr(143), "alice", system.Password)
	same(t, "exported", everything(theirs, names), want)
	b.contains(b.waxwing(append(args, fmt.Sprintf("imap://alice@127.0.0.1:%d", other.Port(143)))...), "exported       0 messages")
	same(t, "again", everything(theirs, names), want)
}
