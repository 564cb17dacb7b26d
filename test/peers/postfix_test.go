//go:build peers

package peers

import (
	"fmt"
	"strings"
	"testing"

	"waxwing/test/system"
)

// Postfix relays to us, over verified TLS.
func TestPostfixRelaysToUs(t *testing.T) {
	b := newBench(t)
	postfix := system.NewPostfix(t, fmt.Sprintf(`myhostname = mail.postfix.test
relay_domains = example.test
transport_maps = inline:{example.test=smtp:[127.0.0.1]:%d}
smtp_tls_security_level = verify
smtp_tls_verify_cert_match = localhost, 127.0.0.1, mx.example.test
smtp_tls_CAfile = %s
smtp_tls_loglevel = 1
`, b.Port(25), b.CA()))
	postfix.Start()
	for i := range 3 {
		b.run("swaks", "--server", "127.0.0.1", "--port", fmt.Sprint(postfix.Port), "--from", "ann@postfix.test",
			"--to", "bob@example.test,alice@example.test", "--h-Subject", fmt.Sprintf("from Postfix %d", i), "--body", "Grüße\n.\n..x")
	}
	b.eventually("Postfix's three messages at bob's", func() bool {
		return strings.Contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 3")
	})
	b.contains(b.imap("INBOX", "SEARCH HEADER Received mail.postfix.test"), "* SEARCH 1 2 3")
	b.contains(postfix.Log(), "Verified TLS connection established to 127.0.0.1")
	// A recipient who is not there comes back to the sender by Postfix.
	b.run("swaks", "--server", "127.0.0.1", "--port", fmt.Sprint(postfix.Port), "--from", "bob@example.test",
		"--to", "nobody@example.test")
	b.eventually("the bounce for nobody@", func() bool {
		return strings.Contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 4")
	})
	b.contains(b.imap("INBOX", "SEARCH BODY 5.1.1"), "* SEARCH 4")
}

// We relay to Postfix: found by its MX in a real name server, over STARTTLS;
// tried again while it is down; bounced when it refuses.
func TestWeRelayToPostfix(t *testing.T) {
	postfix := system.NewPostfix(t, "myhostname = mail.postfix.test\n"+
		system.VirtualUsers("postfix.test", "carol", "dave")+
		"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/ssl/certs/ssl-cert-snakeoil.pem\nsmtpd_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key\nsmtpd_tls_received_header = yes\n")
	resolver := system.StartKnot(t, map[string]string{
		"postfix.test": "@ MX 10 mail\n@ MX 5 dead\nmail A 127.0.0.1\ndead A 127.0.0.254\nns A 127.0.0.1\n",
		"nomail.test":  "@ MX 0 .\nns A 127.0.0.1\n",
	})
	b := newBench(t, "--resolver", resolver, "--smtp-out-port", fmt.Sprint(postfix.Port), "--retry", "1s")
	submit := func(subject string, to ...string) {
		t.Helper()
		args := []string{"-sS", "--ssl-reqd", "--cacert", b.CA(), "--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(587)),
			"--user", "bob:" + system.Password, "--mail-from", system.Bob,
			"-T", b.file("m.eml", strings.Replace(message(subject), "From: Alice <alice@", "From: Bob <bob@", 1))}
		for _, rcpt := range to {
			args = append(args, "--mail-rcpt", rcpt)
		}
		b.run("curl", args...)
	}
	arrived := func(user string, n int) func() bool {
		return func() bool { return len(postfix.Mail("postfix.test", user)) == n }
	}

	// Postfix is down: what is sent waits, and survives a kill.
	submit("while you were out", "carol@postfix.test", "dave@postfix.test")
	b.Kill()
	b.Waxwing.Run()
	postfix.Start()
	b.eventually("the first message at carol's", arrived("carol", 1))
	b.eventually("the first message at dave's", arrived("dave", 1))
	got := postfix.Mail("postfix.test", "carol")[0]
	b.contains(got, "Subject: while you were out\n", "Message-ID: <", "Date: ", "using TLSv1.3", "\n.A line with a dot.\n..Two dots.\nGrüße\n")

	// A user whom Postfix does not know: one is delivered, one comes back.
	submit("half", "carol@postfix.test", "nobody@postfix.test")
	b.eventually("the second message at carol's", arrived("carol", 2))
	b.eventually("the bounce at bob's", func() bool {
		return strings.Contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 1")
	})
	bounce := b.run("curl", "-sS", "--cacert", b.CA(), "--user", "bob:waxwing", fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;MAILINDEX=1", b.Port(993)))
	b.contains(bounce, "Return-Path: <>", "multipart/report", "report-type=delivery-status", "nobody@postfix.test", "5.1.1", "Action: failed", "Subject: half")

	// Domains that take no mail, or are not there.
	submit("null", "x@nomail.test")
	submit("nowhere", "x@nowhere.postfix.test")
	b.eventually("two more bounces", func() bool {
		return strings.Contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 3")
	})
	b.contains(b.imap("INBOX", "SEARCH BODY 5.1.10"), "* SEARCH 2")

	// Nothing is left, and nothing came twice.
	b.eventually("an empty queue", func() bool {
		return strings.TrimSpace(b.run(system.Binary(t), "queue", "list", "--dir", b.Dir, "--json")) == "[]"
	})
	if n := len(postfix.Mail("postfix.test", "carol")); n != 2 {
		t.Errorf("carol has %d messages, want 2", n)
	}
}
