//go:build peers

package peers

import (
	"fmt"
	"strings"
	"testing"

	"waxwing/test/system"
)

// curl speaks all three protocols, with STARTTLS and with TLS from the start.
func TestCurl(t *testing.T) {
	b := newBench(t)
	url := func(scheme string, port int, path string) string {
		return fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, b.Port(port), path)
	}
	curl := func(args ...string) string {
		return b.run("curl", append([]string{"-sS", "--cacert", b.CA()}, args...)...)
	}
	user := []string{"--user", system.Alice + ":" + system.Password}
	toBob := []string{"--mail-from", system.Alice, "--mail-rcpt", system.Bob}
	for _, door := range []struct {
		subject, url string
		args         []string
	}{
		{"in by 25", url("smtp", 25, ""), nil},
		{"in by 25 with STARTTLS", url("smtp", 25, ""), []string{"--ssl-reqd"}},
		{"in by 587", url("smtp", 587, ""), append(user, "--ssl-reqd")},
		{"in by 465", url("smtps", 465, ""), user},
		{"with PLAIN", url("smtps", 465, ""), append(user, "--login-options", "AUTH=PLAIN")},
		{"with LOGIN", url("smtps", 465, ""), append(user, "--login-options", "AUTH=LOGIN")},
	} {
		args := append([]string{"--url", door.url, "-T", b.file("m.eml", message(door.subject))}, toBob...)
		curl(append(args, door.args...)...)
	}
	bob := []string{"--user", "bob:" + system.Password}
	for _, door := range []struct {
		url  string
		args []string
	}{
		{url("imap", 143, "/INBOX;MAILINDEX=1"), []string{"--ssl-reqd"}},
		{url("imaps", 993, "/INBOX;MAILINDEX=1"), nil},
		{url("pop3", 110, "/1"), []string{"--ssl-reqd"}},
		{url("pop3s", 995, "/1"), nil},
	} {
		got := curl(append(append(bob, door.url), door.args...)...)
		b.contains(got, "Subject: in by 25\r\n", "Return-Path: <alice@example.test>\r\n", "Delivered-To: bob@example.test\r\n",
			"Received: from", "\r\n.A line with a dot.\r\n..Two dots.\r\nGrüße\r\n")
		if !strings.HasSuffix(got, "Grüße\r\n") {
			t.Errorf("%s: the message ends in %q", door.url, got[max(0, len(got)-20):])
		}
	}
	if list := curl(append(bob, url("pop3s", 995, "/"))...); strings.Count(list, "\r\n") != 6 {
		t.Errorf("POP3 lists %q, want six messages", list)
	}
	b.contains(b.imap("INBOX", "SEARCH SUBJECT STARTTLS"), "* SEARCH 2")
	b.contains(b.imap("INBOX", "FETCH 6 (ENVELOPE)"), "with LOGIN")
	// Appending over IMAP, as curl uploads.
	curl(append(bob, "-T", b.file("a.eml", crlf(message("appended"))), url("imaps", 993, "/Archive"))...)
	b.contains(b.imap("Archive", "FETCH 1 (ENVELOPE)"), `"appended"`)
}

// What must not work does not, and says so.
func TestCurlRefused(t *testing.T) {
	b := newBench(t)
	tests := []struct {
		what string
		args []string
		says string
	}{
		{"relaying for a stranger", []string{"--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(25)),
			"--mail-from", "a@elsewhere.test", "--mail-rcpt", "b@far.test"}, "550"},
		{"an unknown user", []string{"--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(25)),
			"--mail-from", "a@elsewhere.test", "--mail-rcpt", "nobody@example.test"}, "550"},
		{"a wrong password", []string{"--url", fmt.Sprintf("smtps://127.0.0.1:%d", b.Port(465)), "--user", "alice:wrong",
			"--mail-from", system.Alice, "--mail-rcpt", system.Bob}, "denied"},
		{"somebody else's address", []string{"--url", fmt.Sprintf("smtps://127.0.0.1:%d", b.Port(465)), "--user", "alice:" + system.Password,
			"--mail-from", system.Bob, "--mail-rcpt", system.Bob}, "553"},
		{"submission without a login", []string{"--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(587)),
			"--mail-from", system.Alice, "--mail-rcpt", system.Bob}, "530"},
	}
	for _, tt := range tests {
		args := append([]string{"-sS", "-v", "--cacert", b.CA(), "-T", b.file("m.eml", message("no"))}, tt.args...)
		out, err := b.try("", "curl", args...)
		if err == nil || !strings.Contains(out, tt.says) {
			t.Errorf("%s: %v, want %s in:\n%s", tt.what, err, tt.says, out)
		}
	}
}
