package imap

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/store/mailbox"
)

// tool gives the path of a program, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	return path
}

// Python's imaplib gets along with us.
func TestImaplib(t *testing.T) {
	python := tool(t, "python3")
	host, port, err := net.SplitHostPort(newHouse(t, mailbox.Options{}).listen())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/session.py", host, port).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "fine" {
		t.Fatalf("%v\n%s", err, out)
	}
}

// So does curl.
func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	h := newHouse(t, mailbox.Options{})
	h.append(short(1), short(2))
	at := "imap://" + h.listen()
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(curl, append([]string{"-sS", "--max-time", "20", "-u", "alice:waxwing"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := run(at + "/INBOX;MAILINDEX=2"); out != short(2) {
		t.Errorf("fetched %q", out)
	}
	if out := run(at+"/INBOX", "-X", "SEARCH SUBJECT \"message 1\""); !strings.Contains(out, "* SEARCH 1") {
		t.Errorf("searched %q", out)
	}
	if out := run(at + "/"); strings.Count(out, "* LIST") != 6 {
		t.Errorf("listed %q", out)
	}
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte(short(3)), 0o600); err != nil {
		t.Fatal(err)
	}
	run("-T", file, at+"/Sent")
	if out := run(at + "/Sent;UID=1/;SECTION=TEXT"); out != "body of 3\r\n" {
		t.Errorf("fetched %q", out)
	}
}

// mbsync keeps a Maildir and an account alike, both ways.
func TestMbsync(t *testing.T) {
	mbsync := tool(t, "mbsync")
	h := newHouse(t, mailbox.Options{})
	for i := range 30 {
		h.append(short(i))
	}
	addr := h.listen()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "mbsyncrc")
	text := "IMAPStore far\nHost " + host + "\nPort " + port + "\nUser alice\nPass waxwing\nSSLType None\nAuthMechs LOGIN\n\n" +
		"MaildirStore near\nPath " + dir + "/mail/\nInbox " + dir + "/mail/INBOX\nSubFolders Verbatim\n\n" +
		"Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		cmd := exec.Command(mbsync, "-c", config, "-a")
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mbsync: %v\n%s", err, out)
		}
	}
	messages := func(folder string) []string {
		var all []string
		for _, sub := range []string{"cur", "new"} {
			found, err := filepath.Glob(filepath.Join(dir, "mail", folder, sub, "*"))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
		return all
	}
	sync()
	inbox := messages("INBOX")
	if len(inbox) != 30 {
		t.Fatalf("%d messages came, want 30", len(inbox))
	}
	// A new message here, one gone here, and one gone there.
	if err := os.WriteFile(filepath.Join(dir, "mail/Sent/cur/1.a:2,S"), []byte(strings.ReplaceAll(short(99), "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(inbox[0]); err != nil {
		t.Fatal(err)
	}
	c := h.dial(addr)
	c.ok("SELECT INBOX")
	c.ok(`STORE 30 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	sync()
	if n := len(messages("INBOX")); n != 28 {
		t.Errorf("%d messages here, want 28", n)
	}
	c.ok("SELECT INBOX")
	if out := strings.Join(c.ok("SEARCH RETURN (COUNT) ALL"), "\n"); !strings.Contains(out, "COUNT 28") {
		t.Errorf("there are %s, want 28", out)
	}
	c.ok("SELECT Sent")
	if out := strings.Join(c.ok("FETCH 1 (FLAGS BODY.PEEK[TEXT])"), "\n"); !strings.Contains(out, `\Seen`) || !strings.Contains(out, "body of 99") {
		t.Errorf("sent: %s", out)
	}
}
