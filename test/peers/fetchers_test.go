//go:build peers

package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mbsync keeps a Maildir and an account alike, both ways; a second run has
// nothing to do.
func TestMbsync(t *testing.T) {
	b := newBench(t)
	b.send("one", "two", "three")
	rc := b.file("mbsyncrc", b.fill(`
IMAPAccount waxwing
Host 127.0.0.1
Port @993@
User bob@example.test
Pass waxwing
SSLType IMAPS
CertificateFile @CA@

IMAPStore far
Account waxwing

MaildirStore near
Path @DIR@/mail/
Inbox @DIR@/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Remove Both
SyncState *
`))
	if err := os.MkdirAll(filepath.Join(b.dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	inbox := filepath.Join(b.dir, "mail", "INBOX")
	sync := func() string { return b.run("mbsync", "-V", "-c", rc, "-a") }
	sync()
	if n := countFiles(t, inbox); n != 3 {
		t.Fatalf("%d messages after the first run, want 3", n)
	}
	idle := func() {
		t.Helper()
		modseq := b.imap("INBOX", "STATUS INBOX (UIDNEXT MESSAGES UNSEEN)")
		if out := sync(); strings.Contains(out, "+1") || strings.Contains(out, "*1") {
			t.Errorf("a second run has something to do:\n%s", out)
		}
		if after := b.imap("INBOX", "STATUS INBOX (UIDNEXT MESSAGES UNSEEN)"); after != modseq {
			t.Errorf("a second run changed %q to %q", modseq, after)
		}
	}
	idle()

	// Changes on both sides: a new message, a flag and a deletion here, a
	// new message, a flag and a folder there.
	b.file("mail/INBOX/new/1700000000.1.here", "From: me@example.test\nSubject: from here\n\nlocal\n")
	files, err := filepath.Glob(inbox + "/*/*U=1*")
	if err != nil || len(files) != 1 {
		t.Fatalf("the file of message 1: %v, %v", files, err)
	}
	seen := strings.TrimSuffix(strings.Replace(files[0], "/new/", "/cur/", 1), ":2,") + ":2,FS"
	if err := os.Rename(files[0], seen); err != nil {
		t.Fatal(err)
	}
	files, _ = filepath.Glob(inbox + "/*/*U=2*")
	if len(files) != 1 || os.Remove(files[0]) != nil {
		t.Fatalf("the file of message 2: %v", files)
	}
	b.imap("INBOX", `STORE 3 +FLAGS (\Answered)`)
	b.send("four")
	b.imap("", "CREATE Work")
	b.imap("INBOX", "COPY 3 Work")
	sync()
	sync()
	b.contains(b.imap("INBOX", "FETCH 1:* (FLAGS ENVELOPE)"), `\Flagged`, "from here", "four")
	b.contains(b.imap("INBOX", "SEARCH SUBJECT two"), "* SEARCH\r\n")
	if n := countFiles(t, inbox); n != 4 {
		t.Errorf("%d messages at home, want 4", n)
	}
	if n := countFiles(t, filepath.Join(b.dir, "mail", "Work")); n != 1 {
		t.Errorf("%d messages in Work at home, want 1", n)
	}
	if files, _ := filepath.Glob(inbox + "/cur/*U=3*:2,*R*"); len(files) != 1 {
		t.Errorf("the answered flag did not come home: %v", files)
	}
	idle()
}

// offlineimap does the same in its own way.
func TestOfflineimap(t *testing.T) {
	b := newBench(t)
	b.send("one", "two")
	b.imap("", `CREATE "Gr&APwA3w-e"`)
	b.imap("INBOX", `COPY 1 "Gr&APwA3w-e"`)
	rc := b.file("offlineimaprc", b.fill(`
[general]
accounts = a
metadata = @DIR@/meta
ui = quiet
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = @DIR@/offline
[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = @993@
remoteuser = bob@example.test
remotepass = waxwing
sslcacertfile = @CA@
ssl_version = tls1_2
`))
	run := func() string { return b.run("offlineimap", "-o", "-c", rc) }
	run()
	if n := countFiles(t, filepath.Join(b.dir, "offline", "INBOX")); n != 2 {
		t.Errorf("%d messages after the first run, want 2", n)
	}
	b.file("offline/INBOX/new/1700000000.1.here", "From: me@example.test\nSubject: from here\n\nlocal\n")
	b.send("three")
	run()
	run()
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 4")
	if n := countFiles(t, filepath.Join(b.dir, "offline", "INBOX")); n != 4 {
		t.Errorf("%d messages at home, want 4", n)
	}
}

// fetchmail takes mail away by POP3 and by IMAP.
func TestFetchmail(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct{ proto, port string }{{"pop3", "995"}, {"imap", "993"}} {
		b.send("for " + tt.proto)
		rc := b.file("fetchmailrc", b.fill(`
poll 127.0.0.1 protocol `+tt.proto+` port @`+tt.port+`@
  user "bob@example.test" password "waxwing" ssl sslcertck sslcertfile "@CA@" nokeep
  mda "cat >> @DIR@/`+tt.proto+`.mbox"
`))
		if out, err := b.try("", "fetchmail", "-f", rc, "--nodetach", "-v", "--pidfile", filepath.Join(b.dir, "pid")); err != nil {
			t.Fatalf("fetchmail by %s: %v\n%s", tt.proto, err, out)
		}
		b.contains(readFile(t, filepath.Join(b.dir, tt.proto+".mbox")), "Subject: for "+tt.proto, "\n..Two dots.\n")
		b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 0")
	}
}

// getmail keeps what is on the server and takes each message once, by UIDL
// and by UID.
func TestGetmail(t *testing.T) {
	b := newBench(t)
	b.send("one", "two")
	for _, kind := range []struct{ name, port string }{{"SimplePOP3SSLRetriever", "995"}, {"SimpleIMAPSSLRetriever", "993"}} {
		b.file(kind.name+"/getmailrc", b.fill(`
[retriever]
type = `+kind.name+`
server = 127.0.0.1
port = @`+kind.port+`@
username = bob@example.test
password = waxwing
ca_certs = @CA@
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >> @DIR@/`+kind.name+`.mbox; echo >> @DIR@/`+kind.name+`.count")
allow_root_commands = true
[options]
read_all = false
delete = false
`))
		get := func() { b.run("getmail", "--getmaildir", filepath.Join(b.dir, kind.name)) }
		get()
		get()
		if n := len(readFile(t, filepath.Join(b.dir, kind.name+".count"))); n != 2 {
			t.Errorf("%s: %d messages after two runs, want 2", kind.name, n)
		}
		b.contains(readFile(t, filepath.Join(b.dir, kind.name+".mbox")), "Subject: one\n", "Subject: two\n", "\n..Two dots.\nGrüße\n")
	}
}
