//go:build peers

package peers

import (
	"fmt"
	"strings"
	"testing"

	"waxwing/test/system"
)

// swaks tries the doors one by one, as people debug mail servers.
func TestSwaks(t *testing.T) {
	b := newBench(t)
	swaks := func(args ...string) (string, error) {
		return b.try("", "swaks", append([]string{"--server", "127.0.0.1", "--helo", "client.test", "--tls-ca-path", b.CA()}, args...)...)
	}
	port := func(n int) []string { return []string{"--port", fmt.Sprint(b.Port(n))} }
	login := []string{"--auth-user", system.Alice, "--auth-password", system.Password}
	from := []string{"--from", system.Alice, "--to", system.Bob}
	for _, tt := range []struct {
		what string
		args [][]string
		says string
	}{
		{"port 25", [][]string{port(25), from}, "250 2.0.0"},
		{"port 25 with TLS", [][]string{port(25), from, {"--tls", "--tls-verify"}}, "250 2.0.0"},
		{"PLAIN on 587", [][]string{port(587), from, login, {"--tls", "--auth", "PLAIN"}}, "250 2.0.0"},
		{"LOGIN on 587", [][]string{port(587), from, login, {"--tls", "--auth", "LOGIN"}}, "250 2.0.0"},
		{"PLAIN on 465", [][]string{port(465), from, login, {"--tls-on-connect", "--auth", "PLAIN"}}, "250 2.0.0"},
		{"PIPELINING", [][]string{port(25), from, {"--pipeline"}}, "250 2.0.0"},
		{"an attachment", [][]string{port(25), from, {"--attach", "@/bin/true"}}, "250 2.0.0"},
		{"the null sender", [][]string{port(25), {"--from", "<>", "--to", system.Bob}}, "250 2.0.0"},
		{"postmaster", [][]string{port(25), {"--from", "a@elsewhere.test", "--to", "postmaster@example.test"}}, "250 2.0.0"},
		{"user+detail", [][]string{port(25), {"--from", "a@elsewhere.test", "--to", "bob+lists@example.test"}}, "250 2.0.0"},
		{"a wrong password", [][]string{port(465), from, {"--tls-on-connect", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "x"}}, "535 5.7.8"},
		{"a stranger's relay", [][]string{port(25), {"--from", "a@elsewhere.test", "--to", "b@far.test"}}, "550 5.7.1"},
		{"no such user", [][]string{port(25), {"--from", "a@elsewhere.test", "--to", "nobody@example.test"}}, "550 5.1.1"},
	} {
		var args []string
		for _, a := range tt.args {
			args = append(args, a...)
		}
		out, err := swaks(args...)
		refused := strings.HasPrefix(tt.says, "5")
		if !strings.Contains(out, tt.says) || (err != nil) != refused {
			t.Errorf("%s: %v, want %s in:\n%s", tt.what, err, tt.says, out)
		}
	}
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 9") // postmaster's is alice's
}

// msmtp, the sendmail of many laptops.
func TestMsmtp(t *testing.T) {
	b := newBench(t)
	rc := b.file("msmtprc", b.fill(`
defaults
tls on
tls_trust_file @CA@
auth on
user alice@example.test
password waxwing
from alice@example.test
host 127.0.0.1
account starttls
port @587@
account tls
port @465@
tls_starttls off
account scram
port @587@
auth scram-sha-256
`))
	for _, account := range []string{"starttls", "tls", "scram"} {
		if out, err := b.try(message("by "+account), "msmtp", "-C", rc, "-a", account, system.Bob); err != nil {
			t.Errorf("%s: %v\n%s", account, err, out)
		}
	}
	for _, account := range []string{"starttls", "tls", "scram"} {
		b.contains(b.imap("INBOX", "SEARCH SUBJECT \"by "+account+"\""), "* SEARCH ")
	}
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 3")
	b.contains(b.run("msmtp", "-C", rc, "-a", "starttls", "--serverinfo"), "SIZE", "PIPELINING", "AUTH")
}

// openssl s_client checks the certificate on every port, with STARTTLS in all
// three protocols, and that old versions of TLS are gone.
func TestOpenSSL(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		port     int
		starttls string
	}{
		{25, "smtp"}, {587, "smtp"}, {143, "imap"}, {110, "pop3"}, {465, ""}, {993, ""}, {995, ""},
	} {
		args := []string{"s_client", "-connect", b.Addr(tt.port), "-CAfile", b.CA(), "-verify_return_error", "-verify_ip", "127.0.0.1", "-brief"}
		if tt.starttls != "" {
			args = append(args, "-starttls", tt.starttls)
		}
		out, err := b.try("", "openssl", args...)
		if err != nil || !strings.Contains(out, "TLSv1.3") || !strings.Contains(out, "Verification: OK") {
			t.Errorf("port %d: %v\n%s", tt.port, err, out)
		}
		if out, err := b.try("", "openssl", append(args, "-tls1_1")...); err == nil {
			t.Errorf("port %d takes TLS 1.1:\n%s", tt.port, out)
		}
	}
}
