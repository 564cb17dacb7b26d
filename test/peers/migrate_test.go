//go:build peers

package peers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// waxwing runs a command of the program on the running server.
func (b bench) waxwing(args ...string) string {
	b.Helper()
	return b.run(system.Binary(b.T), slices.Concat(args[:1], []string{"--dir", b.Dir}, args[1:])...)
}

// folders are mailboxes of the old server, as they are called there and here.
var folders = []struct{ raw, name string }{
	{"INBOX", "INBOX"}, {"Sent Items", "Sent"}, {"Lists", "Lists"}, {"Lists/Go Nuts &AOQA9gD8-", "Lists/Go Nuts äöü"},
	{"&ZeVnLIqe-", "日本語"}, {"Empty", "Empty"},
}

// oldMail fills an account of a Dovecot and subscribes to what is in it.
func oldMail(s *session, each int) {
	for i, f := range folders {
		if f.raw != "INBOX" {
			s.do("CREATE %q", f.raw)
		}
		s.do("SUBSCRIBE %q", f.raw)
		if f.raw == "Empty" {
			s.do("UNSUBSCRIBE %q", f.raw)
			continue
		}
		flags := []string{"", `\Seen`, `\Seen \Answered`, `\Flagged`, `\Seen $Forwarded Work`, `\Draft`, `\Deleted`}
		for n := range each {
			text := fmt.Sprintf("From: ann@elsewhere.test\r\nMessage-ID: <%d.%d@elsewhere.test>\r\nSubject: %d of %d\r\n\r\nGrüße\r\n.\r\nFrom here on\r\n>From there\r\n%s",
				i, n, n, i, strings.Repeat("0123456789\r\n", n*7))
			date := time.Unix(int64(1_000_000_000+i*10_000_000+n*1000), 0).UTC().Format("02-Jan-2006 15:04:05 -0700")
			fmt.Fprintf(s.conn, "a%d APPEND %q (%s) %q {%d+}\r\n%s\r\n", n, f.raw, flags[n%len(flags)], date, len(text), text)
		}
		s.do("NOOP") // all in one go: comes behind the answers
	}
}

// everything tells of all messages of an account by mailbox: flags, date and
// the hash of the octets.
func everything(s *session, names map[string]string) map[string][]string {
	s.t.Helper()
	all := map[string][]string{}
	for raw, name := range names {
		_, tagged := s.do("EXAMINE %q", raw)
		if !strings.HasPrefix(tagged, "OK") {
			s.t.Errorf("%s: %s", raw, tagged)
			continue
		}
		all[name] = []string{}
		untagged, _ := s.do("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])")
		for _, u := range untagged {
			if bytes.Contains(u, []byte(" FETCH (")) {
				all[name] = append(all[name], summary(u))
			}
		}
		slices.Sort(all[name])
	}
	return all
}

var (
	flagsItem = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	dateItem  = regexp.MustCompile(`INTERNALDATE "([^"]*)"`)
)

// summary gives what matters of a FETCH, in one spelling.
func summary(u []byte) string {
	flags := strings.Fields(string(flagsItem.FindSubmatch(u)[1]))
	flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` })
	slices.Sort(flags)
	date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", string(dateItem.FindSubmatch(u)[1]))
	if err != nil {
		return err.Error()
	}
	i := bytes.Index(u, []byte("}\r\n"))
	n := 0
	fmt.Sscanf(string(u[bytes.LastIndexByte(u[:i], '{')+1:]), "%d}", &n)
	sum := sha256.Sum256(u[i+3 : i+3+n])
	return fmt.Sprint(flags, date.Unix(), n, hex.EncodeToString(sum[:8]))
}

func same(t *testing.T, what string, got, want map[string][]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %s: %d messages, want %d; first %.200q, want %.200q", what, name, len(got[name]), len(want[name]),
				fmt.Sprint(got[name]), fmt.Sprint(want[name]))
		}
	}
}

// Everything moves from a Dovecot: mailboxes, flags, keywords, dates, octets.
// Again changes nothing, except what has changed there.
func TestImportFromDovecot(t *testing.T) {
	b := newBench(t)
	dovecot := system.StartDovecot(t, "maildir:~/Maildir")
	theirs := login(t, dovecot.IMAP, "ann", "x")
	oldMail(theirs, 100)
	theirNames, ourNames := map[string]string{}, map[string]string{}
	for _, f := range folders {
		theirNames[f.raw] = f.name
		ourNames[f.raw] = f.name
	}
	delete(ourNames, "Sent Items")
	ourNames["Sent"] = "Sent"
	want := everything(theirs, theirNames)

	from := "imap://ann@" + dovecot.IMAP
	password := b.file("password", "x\n")
	args := []string{"import", "--account", system.Bob, "--insecure", "--password-file", password, from}
	if out := b.waxwing(append(slices.Clone(args), "--dry-run")...); !strings.Contains(out, "would import   500 messages") {
		t.Errorf("dry run: %s", out)
	}

	// The first one is interrupted, wherever it is.
	cut := exec.Command(system.Binary(t), append([]string{"import", "--dir", b.Dir}, args[1:]...)...)
	if err := cut.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond)
	_ = cut.Process.Kill()
	_ = cut.Wait()

	t.Log(b.waxwing(args...))
	ours := login(t, b.Addr(143), "bob", system.Password)
	same(t, "imported", everything(ours, ourNames), want)
	untagged, _ := ours.do(`LSUB "" "*"`)
	subscribed := string(bytes.Join(untagged, nil))
	b.contains(subscribed, "Lists/Go Nuts &AOQA9gD8-", "&ZeVnLIqe-")
	if strings.Contains(subscribed, "Empty") {
		t.Errorf("subscribed to Empty: %s", subscribed)
	}

	b.contains(b.waxwing(args...), "imported       0 messages", "already there  500")
	same(t, "again", everything(ours, ourNames), want)

	// Changes there come over, and what has been done here stays.
	ours.do("SELECT INBOX")
	ours.do(`STORE 5 +FLAGS (\Flagged)`)
	theirs.do("SELECT INBOX")
	theirs.do(`STORE 1:10 +FLAGS (\Seen New)`)
	theirs.do(`STORE 20 +FLAGS (\Deleted)`)
	theirs.do("APPEND INBOX {24+}\r\nSubject: new\r\n\r\nhello\r\n\r\n")
	theirs.do("UID EXPUNGE 21:*")
	out := b.waxwing(append(slices.Clone(args), "--mailbox", "INBOX")...)
	b.contains(out, "imported       1 messages", "flags changed")
	ours.do("NOOP") // a session sees what has changed when it is told of it
	untagged, _ = ours.do("FETCH 5 (FLAGS)")
	fifth := slices.IndexFunc(untagged, func(u []byte) bool { return bytes.HasPrefix(u, []byte("* 5 FETCH")) })
	b.contains(string(untagged[fifth]), `\Flagged`, `\Seen`, "New")
	theirs.do("EXPUNGE")
	out = b.waxwing(append(slices.Clone(args), "--mailbox", "INBOX", "--delete")...)
	b.contains(out, "deleted")
}

// What is exported as a Maildir is read by Dovecot, and by Python's mailbox; as
// mbox, by Python's; and comes back as it was.
func TestExport(t *testing.T) {
	b := newBench(t)
	dovecot := system.StartDovecot(t, "maildir:~/Maildir")
	ours := login(t, b.Addr(143), "bob", system.Password)
	names := map[string]string{}
	for _, f := range folders {
		if f.raw != "Sent Items" {
			names[f.raw] = f.name
		}
	}
	names["v1.2/A ~b"] = "v1.2/A ~b" // a dot begins a level in Maildir++
	oldMail(ours, 30)
	ours.do("CREATE %q", "v1.2/A ~b")
	ours.do("APPEND %q {19+}\r\nSubject: a\n\nb\r\nc\r\n", "v1.2/A ~b") // not all line ends are CRLF
	want := everything(ours, names)

	out := filepath.Join(dovecot.Dir, "mail", "bob", "Maildir")
	t.Log(b.waxwing("export", "--account", system.Bob, "--to", out))
	b.run("chown", "-R", "mail:mail", filepath.Join(dovecot.Dir, "mail", "bob"))
	theirs := login(t, dovecot.IMAP, "bob", "x")
	plain, plainNames := maps.Clone(want), maps.Clone(names)
	delete(plain, "v1.2/A ~b")
	delete(plainNames, "v1.2/A ~b")
	same(t, "Dovecot", everything(theirs, plainNames), plain)
	untagged, _ := theirs.do(`LSUB "" "*"`)
	b.contains(string(bytes.Join(untagged, nil)), "Lists/Go Nuts &AOQA9gD8-", "&ZeVnLIqe-")

	b.contains(b.waxwing("export", "--account", system.Bob, "--to", out), "exported       0 messages")
	b.waxwing("export", "--account", system.Bob, "--to", filepath.Join(b.dir, "mboxes"), "--format", "mbox")
	python := `
import mailbox, sys
print(len(mailbox.Maildir(sys.argv[1], factory=None)), len(mailbox.mbox(sys.argv[2])),
  sum("A" in m.get_flags() for m in mailbox.mbox(sys.argv[2])), sum("R" in m.get_flags() for m in mailbox.Maildir(sys.argv[1])))
`
	if got := b.run("python3", "-c", python, out, filepath.Join(b.dir, "mboxes", "INBOX.mbox")); got != "30 30 4 4\n" {
		t.Errorf("Python finds %s", got)
	}

	for _, tt := range []struct{ into, from string }{{"From Maildir", out}, {"From mbox", filepath.Join(b.dir, "mboxes")}} {
		t.Log(b.waxwing("import", "--account", system.Alice, "--into", tt.into, tt.from))
		alice := login(t, b.Addr(143), "alice", system.Password)
		back := map[string]string{}
		for raw, name := range names {
			back[tt.into+"/"+raw] = name
		}
		same(t, tt.into, everything(alice, back), want)
	}
}

// A Thunderbird profile's folders, and between two servers of ours, with TLS.
func TestImportThunderbirdAndWaxwing(t *testing.T) {
	b := newBench(t)
	message := func(subject, status string) string {
		return "From - Thu Jan 05 10:11:12 2006\nX-Mozilla-Status: " + status + "\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: work\nSubject: " +
			subject + "\nMessage-ID: <" + subject + "@x.test>\n\ntext\n\n"
	}
	for name, text := range map[string]string{
		"Inbox": message("one", "0001") + message("gone", "0009"), "Inbox.msf": "// <!-- <mdb:mork:z v=\"1.4\"/> -->", "Sent": message("sent", "0001"),
		"Trash": "", "Trash.msf": "", "Inbox.sbd/Projects": message("two", "0003"), "Inbox.sbd/Projects.sbd/Möwe": message("three", "1000"),
		"msgFilterRules.dat": "version=\"9\"",
	} {
		b.file("tb/"+name, text)
	}
	out := b.waxwing("import", "--account", system.Bob, filepath.Join(b.dir, "tb"))
	b.contains(out, "imported       4 messages")
	b.contains(b.imap("INBOX%2FProjects", "FETCH 1 (FLAGS INTERNALDATE)"), `\Seen`, `\Answered`, "work", " 5-Jan-2006 10:11:12 +0000")
	b.contains(b.imap("INBOX%2FProjects%2FM&APY-we", "FETCH 1 (FLAGS)"), "$Forwarded")
	b.contains(b.waxwing("import", "--account", system.Bob, filepath.Join(b.dir, "tb")), "imported       0 messages", "already there  4")

	other := newBench(t)
	password := b.file("password", system.Password)
	args := []string{"import", "--account", system.Alice, "--ca", b.CA(), "--password-file", password}
	from := fmt.Sprintf("imaps://bob@127.0.0.1:%d", b.Port(993))
	b.contains(other.waxwing(append(args, from)...), "imported       4 messages")
	b.contains(other.waxwing(append(args, fmt.Sprintf("imap://bob@127.0.0.1:%d", b.Port(143)))...), "imported       0 messages")

	text, err := other.try("", system.Binary(t), "import", "--dir", other.Dir, "--account", system.Alice, "--password-file", password,
		strings.Replace(from, "127.0.0.1", "localhost", 1))
	if err == nil || !strings.Contains(text, "certificate") {
		t.Errorf("a certificate for another name: %s", text)
	}
}
