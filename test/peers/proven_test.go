//go:build peers

package peers

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/dns/dnstest"
	"waxwing/test/system"
)

// A signer is a domain with a key that a program of others signs with.
type signer struct {
	domain, key string // the file
}

// newSigner makes a key and publishes it under the selector "sel".
func newSigner(t *testing.T, zone dnstest.Zone, domain string) signer {
	t.Helper()
	file := filepath.Join(t.TempDir(), domain+".pem")
	if out, err := exec.Command("openssl", "genrsa", "-traditional", "-out", file, "2048").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	block, _ := pem.Decode([]byte(readFile(t, file)))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	zone.TXT["sel._domainkey."+domain] = []string{"v=DKIM1; k=rsa; p=" + base64Of(public)}
	return signer{domain, file}
}

func base64Of(b []byte) string {
	encoded, _ := json.Marshal(b)
	return strings.Trim(string(encoded), `"`)
}

// python signs with python3-dkim: how is the algorithm, with is the
// canonicalization.
func (s signer) python(t *testing.T, text, how, with string) string {
	t.Helper()
	return crlf(strings.ReplaceAll(program(t, text, "/usr/bin/python3", "testdata/sign.py", how, s.domain, "sel", s.key, with), "\r\n", "\n"))
}

// program runs a program in this directory.
func program(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	var trouble strings.Builder
	c.Stderr = &trouble
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, trouble.String())
	}
	return string(out)
}

// world is the DNS of the tests below: a.example wants what is not proven to be
// refused, b.example wants it set aside.
func world() dnstest.Zone {
	return dnstest.Zone{TXT: map[string][]string{
		"a.example":        {"v=spf1 ip4:192.0.2.0/24 -all"},
		"_dmarc.a.example": {"v=DMARC1; p=reject"},
		"_dmarc.b.example": {"v=DMARC1; p=quarantine"},
		"list.example":     {"v=spf1 ip4:127.0.0.0/8 -all"},
	}}
}

func letterFrom(domain, subject string) string {
	return "From: Ann <ann@" + domain + ">\r\nTo: bob@example.test\r\nSubject: " + subject +
		"\r\nDate: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <" + subject + "@" + domain + ">\r\n\r\nHello  there\r\nand more.\r\n"
}

// bring gives a message to port 25 with swaks.
func (b bench) bring(address, from, text string) (string, error) {
	b.Helper()
	return b.try("", "swaks", "--server", address, "--from", from, "--to", system.Bob, "--helo", "mx.client.example",
		"--data", b.file("proven.eml", strings.ReplaceAll(text, "\r\n", "\n")))
}

// read gives the n-th message of a mailbox of bob's.
func (b bench) read(mailbox string, n int) string {
	b.Helper()
	return b.run("curl", "-sS", "--cacert", b.CA(), "--user", system.Bob+":"+system.Password,
		fmt.Sprintf("imaps://127.0.0.1:%d/%s;MAILINDEX=%d", b.Port(993), mailbox, n))
}

// A development system with a DNS of its own: mail that nothing proves is
// refused or set aside, and what others have signed is taken.
func TestProven(t *testing.T) {
	zone := world()
	a := newSigner(t, zone, "a.example")
	b := newBench(t, "--resolver", dnstest.Serve(t, zone))
	port := fmt.Sprintf("127.0.0.1:%d", b.Port(25))

	out, err := b.bring(port, "ann@a.example", letterFrom("a.example", "forged"))
	if err == nil || !strings.Contains(out, "550 5.7.26 this message is not proven to be from a.example") {
		t.Errorf("forged: %v\n%s", err, out)
	}
	if out, err := b.bring(port, "ann@b.example", letterFrom("b.example", "aside")); err != nil {
		t.Errorf("set aside: %v\n%s", err, out)
	}
	b.contains(b.read("Junk", 1), "Subject: aside", "dmarc=fail")

	signed := map[string]string{}
	for _, form := range []string{"relaxed/relaxed", "relaxed/simple", "simple/simple", "simple/relaxed"} {
		name := "python-" + strings.ReplaceAll(form, "/", "-")
		signed[name] = a.python(t, letterFrom("a.example", name), "rsa-sha256", form)
	}
	n := 0
	for name, text := range signed {
		text = "Authentication-Results: mail.example.test; dmarc=pass header.from=bank.example\r\n" + text
		if out, err := b.bring(port, "ann@elsewhere.example", text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		n++
		got := b.read("INBOX", n)
		b.contains(got, "Authentication-Results: mail.example.test;", "dkim=pass (2048-bit key)", "header.d=a.example",
			"dmarc=pass (p=reject by a.example)", "Received-SPF: none", "Subject: "+name)
		if strings.Contains(got, "bank.example") {
			t.Errorf("%s: what was forged stays:\n%s", name, got)
		}
		// A changed body is no longer the author's.
		if out, err := b.bring(port, "ann@elsewhere.example", text+"More.\r\n"); err == nil || !strings.Contains(out, "550 5.7.26") {
			t.Errorf("%s, changed: %v\n%s", name, err, out)
		}
	}
	b.eventually("trace", func() bool {
		out := b.run(system.Binary(t), "trace", system.Bob, "--dir", b.Dir)
		return strings.Contains(out, "dmarc=fail for a.example: neither SPF nor DKIM proves") &&
			strings.Contains(out, "dkim=pass for a.example (sel, rsa-sha256)") && strings.Contains(out, "verdict=set aside: DMARC fails")
	})
}
