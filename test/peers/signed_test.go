//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/serve/adminapi"
	"waxwing/test/system"
)

// published starts a system, publishes its keys as "waxwing key list" shows
// them, and gives one that sees them, with the records by name in a file.
func published(t *testing.T, zone dnstest.Zone, args ...string) (b bench, records string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "waxwing")
	first := system.StartIn(t, dir, "--resolver", "127.0.0.1:9")
	b = bench{t, first, t.TempDir()}
	var keys []adminapi.SigningKey
	b.eventually("two keys", func() bool {
		out, err := exec.Command(first.Program(), "key", "list", "--json", "--dir", dir).Output()
		return err == nil && json.Unmarshal(out, &keys) == nil && len(keys) == 2
	})
	first.Stop()
	byName := map[string]string{}
	for _, k := range keys {
		byName[k.Name] = k.Record
		zone.TXT[k.Name] = []string{k.Record}
	}
	text, err := json.Marshal(byName)
	if err != nil {
		t.Fatal(err)
	}
	records = b.file("records.json", string(text))
	b.Waxwing = system.StartIn(t, dir, append([]string{"--resolver", dnstest.Serve(t, zone)}, args...)...)
	b.eventually("keys that sign", func() bool {
		out, err := exec.Command(b.Program(), "key", "list", "--json", "--dir", dir).Output()
		return err == nil && strings.Count(string(out), `"state": "used"`) == 2
	})
	return b, records
}

// verified is what python3-dkim says of a message.
func (b bench) verified(records, text string) string {
	b.Helper()
	out, err := b.try(text, "/usr/bin/python3", testFile(b.T, "verify.py"), records)
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return out
}

// testFile is the path of a file in testdata.
func testFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What users send, what comes back to others, and what aliases forward is
// believed at a Postfix, as python3-dkim and OpenDKIM verify it there.
func TestSignedMail(t *testing.T) {
	postfix := system.NewPostfix(t, "myhostname = mail.postfix.test\n"+system.VirtualUsers("far.test", "carol"))
	postfix.Start()
	zone := dnstest.Zone{
		TXT: map[string][]string{"a.test": {"v=spf1 ip4:127.0.0.1 -all"}},
		MX:  map[string][]dns.MX{"far.test": {{Host: "mail.far.test"}}},
		A:   map[string][]string{"mail.far.test": {"127.0.0.1"}, "mail.a.test": {"127.0.0.1"}},
	}
	b, records := published(t, zone, "--smtp-out-port", fmt.Sprint(postfix.Port))
	b.run(b.Program(), "alias", "add", "away@example.test", "carol@far.test", "--dir", b.Dir)

	b.run("swaks", "--server", "127.0.0.1", "--port", fmt.Sprint(b.Port(587)), "--tls", "--auth", "PLAIN", "--auth-user", system.Alice,
		"--auth-password", system.Password, "--from", system.Alice, "--to", "carol@far.test", "--h-Subject", "sent", "--body", "Gr\u00fc\u00dfe  \n\n\n")
	b.eventually("alice's mail at carol's", func() bool { return len(postfix.Mail("far.test", "carol")) == 1 })
	sent := postfix.Mail("far.test", "carol")[0]
	b.contains(b.verified(records, sent), "dkim rsa-sha256 example.test pass\n", "dkim ed25519-sha256 example.test pass\n", "arc none")
	b.opendkim(records, sent)

	// An alias forwards what a stranger has sent, sealed.
	b.run("swaks", "--server", "127.0.0.1", "--port", fmt.Sprint(b.Port(25)), "--helo", "mail.a.test", "--from", "ann@a.test", "--to", "away@example.test",
		"--h-Subject", "forwarded")
	b.eventually("ann's mail at carol's", func() bool { return len(postfix.Mail("far.test", "carol")) == 2 })
	for _, text := range postfix.Mail("far.test", "carol") {
		if strings.Contains(text, "Subject: forwarded") {
			b.contains(b.verified(records, text), "arc pass")
			b.contains(text, "ARC-Authentication-Results: i=1; mail.example.test")
		}
	}
}

// opendkim verifies a message with OpenDKIM, which does not know Ed25519.
func (b bench) opendkim(records, text string) {
	b.Helper()
	raw, err := os.ReadFile(records)
	if err != nil {
		b.Fatal(err)
	}
	var byName map[string]string
	if err := json.Unmarshal(raw, &byName); err != nil {
		b.Fatal(err)
	}
	var lines strings.Builder
	for name, record := range byName {
		fmt.Fprintf(&lines, "%s %s\n", name, record)
	}
	keys := b.file("keys", lines.String())
	conf := b.file("opendkim.conf", "Mode v\nTestPublicKeys "+keys+"\nSyslog no\nUserID root\n")
	out, err := b.try("", "/usr/sbin/opendkim", "-x", conf, "-v", "-t", b.file("message.txt", text))
	if err != nil || !strings.Contains(out, "verification (s=") || !strings.Contains(out, "succeeded") {
		b.Errorf("opendkim: %v\n%s", err, out)
	}
}
