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
	"time"

	"waxwing/store/kv/pebblekv"
	"waxwing/store/sealkeys"
	"waxwing/test/system"
)

// returning is a Postfix that takes mail for gone.test and finds out later that
// it cannot deliver it: it returns a bounce to the envelope's sender. Mail for
// sender.test it delivers to ann; mail for example.test it brings to us.
func returning(t *testing.T, back string) *system.Postfix {
	t.Helper()
	_, port, err := net.SplitHostPort(back)
	if err != nil {
		t.Fatal(err)
	}
	postfix := system.NewPostfix(t, "myhostname = mail.postfix.test\nrelay_domains = example.test\n"+
		system.VirtualUsers("sender.test", "ann")+"virtual_mailbox_domains = sender.test, gone.test\n"+
		"smtpd_reject_unlisted_recipient = no\ntransport_maps = inline:{ { example.test = smtp:[127.0.0.1]:"+port+" } }\n")
	postfix.Start()
	return postfix
}

// tagged prepares a server whose users' senders have had tags for ten days, so
// that bounces without one are refused by now.
func tagged(t *testing.T, dir string) {
	t.Helper()
	store := filepath.Join(dir, "data", "store")
	if err := os.MkdirAll(filepath.Dir(store), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := pebblekv.Open(store, pebblekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sealkeys.New(db).Tag(t.Context(), time.Now().Add(-10*24*time.Hour), []string{"example.test"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// What we forward comes back by the rewritten sender, to the one who wrote;
// what our users send has a tag and tells the recipient, comes back to them,
// and bounces of what others send in their names do not. All of it with the
// bounces of a Postfix.
func TestBouncesOfPostfix(t *testing.T) {
	dir := t.TempDir()
	tagged(t, dir)
	back := freePorts(t, 1)[0] // what Postfix is told before we listen there
	postfix := returning(t, back)
	resolver := system.StartKnot(t, map[string]string{
		"gone.test":   "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n",
		"sender.test": "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n",
	})
	s := serveAt(t, dir, back, fmt.Sprintf("[dns]\nmode = \"stub\"\nresolver = %q\n[relay]\nport = %d\nretry = \"1s\"\n"+
		"[envelope]\ntag_senders = [\"example.test\"]\nverp = [\"example.test\"]\n", resolver, postfix.Port))
	s.administer("alias", "add", "away@example.test", "carol@gone.test")

	// SRS: ann's mail to the alias goes on, and its bounce to ann.
	s.run("swaks", "--server", s.mx, "--from", "ann@sender.test", "--to", "away@example.test", "--h-Subject", "forwarded")
	s.eventually("the bounce at ann's", func() bool { return len(postfix.Mail("sender.test", "ann")) == 1 })
	s.contains(postfix.Mail("sender.test", "ann")[0], "Subject: forwarded", "Reporting-MTA: dns; mail.postfix.test", "unknown user")
	sent := regexp.MustCompile(`from=<(SRS0=[^>]+@example\.test)>`).FindStringSubmatch(postfix.Log())
	if sent == nil {
		t.Fatal("the sender was not rewritten")
	}
	s.traced(sent[1], "received", "queued", "sent", "done")
	// A forged one is refused.
	out, err := s.try("", "swaks", "--server", s.mx, "--from", "<>", "--to", "SRS0=aaaaaa"+sent[1][strings.Index(sent[1], "=")+7:])
	if err == nil || !strings.Contains(out, "550 5.1.1") {
		t.Errorf("a forged sender: %v\n%s", err, out)
	}

	// BATV and VERP: alice's own mail.
	s.submit("--to", "carol@gone.test,dave@gone.test", "--h-Subject", "sent")
	s.eventually("two bounces at alice's", func() bool { return len(s.inbox(system.Alice)) == 2 })
	all := strings.Join(s.inbox(system.Alice), "\n")
	s.contains(all, "Delivered-To: alice+carol=gone.test@example.test", "Delivered-To: alice+dave=gone.test@example.test", "Final-Recipient: rfc822; dave@gone.test")
	if n := len(regexp.MustCompile(`from=<prvs=[0-9]{4}[0-9a-f]{6}=alice\+(carol|dave)=gone\.test@example\.test>`).FindAllString(postfix.Log(), -1)); n < 2 {
		t.Errorf("%d senders with tags that tell the recipient", n)
	}
	// Somebody sends in bob's name by Postfix, whose bounce is not taken.
	s.run("swaks", "--server", postfix.Addr(), "--from", system.Bob, "--to", "carol@gone.test", "--h-Subject", "forged")
	s.eventually("the refusal of bob's bounce", func() bool {
		return strings.Contains(postfix.Log(), "550 5.7.1 this is a bounce of a message that was not sent from here")
	})
	if n := len(s.inbox(system.Bob)); n != 0 {
		t.Errorf("bob has %d bounces", n)
	}
	s.traced(system.Bob, "550 5.7.1 this is a bounce")
}

// A program asks for variable senders with XVERP, as it does of Postfix.
func TestXVERP(t *testing.T) {
	back := freePorts(t, 1)[0]
	postfix := returning(t, back)
	resolver := system.StartKnot(t, map[string]string{"gone.test": "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n"})
	s := serveAt(t, t.TempDir(), back, fmt.Sprintf("[dns]\nmode = \"stub\"\nresolver = %q\n[relay]\nport = %d\nretry = \"1s\"\n", resolver, postfix.Port))
	script := s.file("xverp.py", fmt.Sprintf(`
import smtplib, ssl
host, port = %q.split(":")
with smtplib.SMTP(host, int(port)) as c:
    tls = ssl.create_default_context(cafile=%q)
    tls.check_hostname = False
    c.starttls(context=tls)
    c.ehlo()
    assert c.has_extn("xverp"), c.esmtp_features
    c.login("alice@example.test", "waxwing-waxwing")
    c.sendmail("alice@example.test", ["carol@gone.test", "dave@gone.test"], "Subject: news\r\n\r\nnews\r\n", ["XVERP=-="])
`, s.submission, filepath.Join(s.Dir, "data", "ca.pem")))
	if out, err := s.try("", "python3", script); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, who := range []string{"carol", "dave"} {
		s.eventually("the sender for "+who, func() bool { return strings.Contains(postfix.Log(), "from=<alice-"+who+"=gone.test@example.test>") })
	}
}

// A smarthost is a Postfix that wants TLS and a login, which Dovecot's
// authentication checks.
func TestSmarthost(t *testing.T) {
	auth := dovecotAuth(t, "relay-user:{PLAIN}a secret\n")
	postfix := system.NewPostfix(t, "myhostname = smart.postfix.test\n"+system.VirtualUsers("far.test", "carol")+
		"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = /etc/ssl/certs/ssl-cert-snakeoil.pem\nsmtpd_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key\n"+
		"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = "+auth+"\nsmtpd_sasl_security_options = noanonymous\n"+
		"smtpd_relay_restrictions = permit_sasl_authenticated, reject\nsmtpd_recipient_restrictions = permit_sasl_authenticated, reject\n")
	postfix.Start()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	write(t, secret, "wrong\n")
	s := serve(t, dir, fmt.Sprintf("[relay]\nretry = \"1s\"\n[[relay.routes]]\nto = \"smtp:%s\"\nuser = \"relay-user\"\npassword_file = %q\ntls = \"require\"\n",
		postfix.Addr(), secret))
	s.submit("--to", "carol@far.test", "--h-Subject", "by the smarthost")
	// With the wrong password it waits, and tells why.
	s.traced("carol@far.test", "deferred", "535 5.7.8")
	// The password is put right and the file read again, while it runs.
	write(t, secret, "a secret\n")
	s.reload()
	s.eventually("the message at carol's", func() bool { return len(postfix.Mail("far.test", "carol")) == 1 })
	s.contains(postfix.Log(), "sasl_method=PLAIN, sasl_username=relay-user")
	s.traced("carol@far.test", "sent", "TLS 1.3", "done")
}

// dovecotAuth runs Dovecot for its authentication alone, with these users, and
// gives the path of its socket.
func dovecotAuth(t *testing.T, users string) string {
	t.Helper()
	dir := shortDir(t)
	file := write(t, filepath.Join(dir, "users"), users)
	conf := write(t, filepath.Join(dir, "dovecot.conf"), fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols =
ssl = no
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = %[2]s
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/nonexistent
}
service auth {
  unix_listener %[1]s/auth {
    mode = 0666
  }
}
`, dir, file))
	socket := filepath.Join(dir, "auth")
	daemon(t, "unix", socket, "dovecot", "-F", "-c", conf)
	return socket
}
