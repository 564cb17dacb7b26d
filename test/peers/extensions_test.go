//go:build peers

package peers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/test/system"
)

// submit sends a message of alice's with parameters of MAIL and RCPT.
const submitScript = `
import smtplib, ssl, sys
tls = ssl.create_default_context(cafile="@CA@")
def submit(to, subject, mail=[], rcpt=[], body="Grüße\r\n.punkt\r\n", size=0):
    text = "From: Alice <alice@example.test>\r\nSubject: " + subject + "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body
    text += ("x" * 70 + "\r\n") * (size // 72)
    with smtplib.SMTP_SSL("127.0.0.1", @465@, context=tls) as s:
        s.login("alice@example.test", "waxwing")
        s.sendmail("alice@example.test", to, text.encode(), ["BODY=8BITMIME"] + mail, rcpt)
`

func (b bench) python(script string) string {
	b.Helper()
	return b.run("python3", b.file("submit.py", b.fill(submitScript+script)))
}

func (b bench) inboxOfAlice(n int) string {
	b.Helper()
	get := func(i int) (string, error) {
		return b.try("", "curl", "-sS", "--cacert", b.CA(), "--user", system.Alice+":"+system.Password,
			fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;MAILINDEX=%d", b.Port(993), i))
	}
	b.eventually(fmt.Sprintf("message %d at alice's", n), func() bool { _, err := get(n); return err == nil })
	text, err := get(n)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// nextPostfix is a Postfix that takes carol's mail, sends notifications back
// to us, and hides extensions.
func nextPostfix(t *testing.T, port, back int, hidden string) *system.Postfix {
	t.Helper()
	postfix := system.NewPostfix(t, "myhostname = mail.postfix.test\n"+system.VirtualUsers("postfix.test", "carol")+
		fmt.Sprintf("transport_maps = inline:{example.test=smtp:[127.0.0.1]:%d}\nsmtpd_discard_ehlo_keywords = %s\n", back, hidden))
	// Where it listens was told to us before it was made.
	name := filepath.Join(postfix.Dir, "etc", "master.cf")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), fmt.Sprintf("127.0.0.1:%d", postfix.Port), fmt.Sprintf("127.0.0.1:%d", port), 1))
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	postfix.Port = port
	postfix.Start()
	return postfix
}

var postfixZone = map[string]string{"postfix.test": "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n"}

// Postfix with all that it offers: it gets what was asked for, tells of the
// delivery itself, and large mail in chunks.
func TestExtensionsToPostfix(t *testing.T) {
	port := system.FreePort(t)
	b := newBench(t, "--resolver", system.StartKnot(t, postfixZone), "--smtp-out-port", fmt.Sprint(port))
	postfix := nextPostfix(t, port, b.Port(25), "starttls")
	b.python(`
submit("carol@postfix.test", "with dsn", ["RET=HDRS", "ENVID=QQ314159"], ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;old+2Bcarol@postfix.test"])
submit("carol@postfix.test", "large", size=3000000)
`)
	got := b.inboxOfAlice(1)
	b.contains(got, "Reporting-MTA: dns; mail.postfix.test", "Original-Envelope-Id: QQ314159", "rfc822;old+carol@postfix.test", "Action: delivered")
	b.eventually("two messages at carol's", func() bool { return len(postfix.Mail("postfix.test", "carol")) == 2 })
	for _, text := range postfix.Mail("postfix.test", "carol") {
		b.contains(text, "Content-Transfer-Encoding: 8bit", "\nGrüße\n.punkt\n")
	}
	b.Stop() // Postfix counts when the connection ends
	b.eventually("twelve chunks", func() bool { return strings.Contains(postfix.Log(), "bdat=12 ") })
}

// Postfix without them: we tell of the relay, and convert.
func TestNoExtensionsToPostfix(t *testing.T) {
	port := system.FreePort(t)
	b := newBench(t, "--resolver", system.StartKnot(t, postfixZone), "--smtp-out-port", fmt.Sprint(port))
	postfix := nextPostfix(t, port, b.Port(25), "starttls, dsn, 8bitmime, chunking, smtputf8, pipelining, size, enhancedstatuscodes")
	b.python(`
submit("carol@postfix.test", "no dsn", ["RET=HDRS", "ENVID=QQ314159"], ["NOTIFY=SUCCESS"])
submit("jürgen@postfix.test", "no smtputf8", ["SMTPUTF8"])
submit("carol@postfix.test", "large", size=3000000)
`)
	got := b.inboxOfAlice(1) + b.inboxOfAlice(2)
	b.contains(got, "Reporting-MTA: dns; mail.example.test", "Original-Envelope-Id: QQ314159", "Action: relayed", "Remote-MTA: dns; mail.postfix.test",
		"Status: 5.6.7", "utf-8; j")
	b.eventually("two messages at carol's", func() bool { return len(postfix.Mail("postfix.test", "carol")) == 2 })
	for _, text := range postfix.Mail("postfix.test", "carol") {
		b.contains(text, "Content-Transfer-Encoding: quoted-printable", "\nGr=C3=BC=C3=9Fe\n.punkt\n")
	}
}

// Postfix hands mail to us by LMTP, and learns of each recipient.
func TestLMTPFromPostfix(t *testing.T) {
	b := newBench(t)
	postfix := system.NewPostfix(t, fmt.Sprintf("myhostname = mail.postfix.test\nrelay_domains = example.test\n"+
		"transport_maps = inline:{example.test=lmtp:inet:127.0.0.1:%d}\nlmtp_destination_recipient_limit = 10\n", b.Port(24)))
	postfix.Start()
	b.run("swaks", "--server", postfix.Addr(), "--from", "bob@example.test", "--to", "alice@example.test,nobody@example.test", "--h-Subject", "by LMTP", "--body", "Grüße\n.\n..x")
	b.contains(b.inboxOfAlice(1), "Subject: by LMTP", "with LMTP", "\nGrüße")
	b.eventually("the bounce at bob's", func() bool { return strings.Contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 1") })
	b.contains(postfix.Log(), "to=<alice@example.test>, relay=127.0.0.1", "status=sent (250 2.0.0 <alice@example.test> has it", "status=bounced (host 127.0.0.1")
}

// A domain's mail goes to Dovecot's LMTP; and swaks speaks for others.
func TestLMTPToDovecot(t *testing.T) {
	dovecot := system.StartDovecot(t, "maildir:~/Maildir")
	dir := t.TempDir()
	ports := freePorts(t, 1)
	config := fmt.Sprintf("hostname = \"mx.example.test\"\n[listen]\nmx = [%q]\n"+
		"submission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n[tls]\nsource = \"own-ca\"\n"+
		"[door]\ngreylist = \"off\"\n[dns]\nmode = \"stub\"\nresolver = %q\n[relay]\nretry = \"1s\"\n[[relay.routes]]\ndomain = \"dovecot.test\"\nto = \"unix:%s\"\n[proxy]\nxclient = [\"127.0.0.1\"]\n",
		ports[0], system.StartKnot(t, map[string]string{"elsewhere.test": "client A 192.0.2.77\n"}), dovecot.LMTP)
	file := filepath.Join(dir, "waxwing.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, system.Binary(t), "serve", "--config", file)
	system.WaitListening(t, ports[0])
	b := bench{T: t, Waxwing: &system.Waxwing{Dir: dir}, dir: dir}
	out := b.run("swaks", "--server", ports[0], "--from", "ann@elsewhere.test", "--to", "bob@dovecot.test,carol@dovecot.test",
		"--h-Subject", "for Dovecot", "--body", "Grüße\n.\n..x", "--xclient-addr", "192.0.2.77", "--xclient-name", "client.elsewhere.test")
	b.contains(out, "XCLIENT")
	found := func() string {
		var text string
		_ = filepath.WalkDir(filepath.Join(dovecot.Dir, "mail"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(path, "/new/") {
				b, err := os.ReadFile(path)
				if !errors.Is(err, fs.ErrNotExist) {
					text += string(b)
				}
			}
			return nil
		})
		return text
	}
	b.eventually("two messages in Dovecot", func() bool { return strings.Count(found(), "Subject: for Dovecot") == 2 })
	b.contains(found(), "[192.0.2.77]", "\nGrüße", "\n..x")
}
