//go:build peers

package peers

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/test/system"
)

// The whole server with all kinds of filters, as an administrator configures
// them: a milter that changes what comes, ClamAV, Rspamd, and OpenDKIM for what
// is sent. What they say is told by the trace.
func TestServeWithFilters(t *testing.T) {
	dir := shortDir(t)
	changes := filepath.Join(dir, "m")
	daemon(t, "unix", changes, "/usr/bin/python3", "testdata/everything.py", "unix:"+changes)
	signer := signing(t, dir)
	normal, _ := rspamd(t)
	s := serve(t, t.TempDir(), fmt.Sprintf(`
[[filters.mx]]
at = "unix:%s"
[[filters.submission]]
at = "unix:%s"
[filters.clamav]
at = "unix:%s"
[filters.rspamd]
at = "http://%s"
when_down = "tempfail"
`, changes, signer, clamd(t), normal))
	swaks := func(to, subject, body string) (string, error) {
		return s.try("", "swaks", "--server", s.mx, "--from", "ann@far.test", "--to", to, "--helo", "stranger.test",
			"--h-Subject", subject, "--body", body)
	}
	for _, tt := range []struct{ to, subject, body, want string }{
		{"bob@example.test", "change", "hello", "250 2.0.0"},
		{"bob@example.test", "virus", eicar, "554 5.7.1 the message holds malware: Eicar.Test"},
		{"bob@example.test", "spam", "X" + gtube, "554 5.7.1"},
		{"bob@example.test", "junk", "Y" + gtube, "250 2.0.0"},
		{"bob@example.test", "reject", "hello", "550 5.7.1"},
		{"bob+no@example.test", "recipient", "hello", "550 5.1.1 not this one"},
	} {
		out, err := swaks(tt.to, tt.subject, tt.body)
		if !strings.Contains(out, tt.want) || (err == nil) != strings.HasPrefix(tt.want, "2") {
			t.Errorf("%s: %v, want %s:\n%s", tt.subject, err, tt.want, out)
		}
	}
	inbox := s.inbox(system.Bob)
	if len(inbox) != 1 {
		t.Fatalf("%d in INBOX", len(inbox))
	}
	s.contains(inbox[0], "X-Top: above all\n", "Subject: changed\n", "X-Spam-Score: ", "A new body.\n")
	s.traced("ann@far.test", "clamd=Eicar.Test", "rspamd=reject, ", "rspamd=no action, ", "milter "+changes+"=", " changes", "in Junk, uid 1, as junk",
		"550 5.1.1 not this one")

	// What users send is signed, and scanned for malware.
	out, err := s.try("", "swaks", "--server", s.submission, "--tls", "--auth", "PLAIN", "--auth-user", system.Alice, "--auth-password", servedPassword,
		"--from", system.Alice, "--to", system.Bob, "--body", eicar)
	if err == nil || !strings.Contains(out, "554 5.7.1 the message holds malware") {
		t.Errorf("a user's malware: %v\n%s", err, out)
	}
	s.submit("--to", system.Bob, "--h-Subject", "signed")
	all := strings.Join(s.inbox(system.Bob), "\n")
	s.contains(all, "Subject: signed\n", "DKIM-Signature: v=1; a=rsa-sha256;")
	s.traced(system.Alice, "refused", "clamd=Eicar.Test", "milter "+signer+"=1 changes", "filed")
}
