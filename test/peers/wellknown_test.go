//go:build peers

package peers

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/dns/dnstest"
	"waxwing/test/system"
)

// output runs a program and gives what it says.
func output(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, problems.String())
	}
	return out.String(), nil
}

// What is looked for under names of our domains is found by curl and OpenSSL,
// with certificates that were fetched for those names; and the key of the
// server's certificate is followed by the next one, with DANE satisfied before
// and after.
func TestWellKnown(t *testing.T) {
	ports := freePorts(t, 3)
	plain, secure, submissions := ports[0], ports[1], ports[2]
	pebble := startAuthority(t, port(t, plain), port(t, secure))
	dir, bin := t.TempDir(), system.Binary(t)
	if _, err := output(t, bin, "init", dir, "--domain", "example.test", "--hostname", "mx.example.test"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "waxwing.toml")
	writeConfig(t, file, map[string]string{"https": secure, "http": plain, "submissions": submissions}, pebble)
	zone := dnstest.Zone{A: map[string][]string{}}
	for _, name := range []string{"mx.example.test", "mta-sts.example.test", "autoconfig.example.test"} {
		zone.A[name] = []string{"127.0.0.1"}
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintf(f, "[dns]\nmode = \"stub\"\nresolver = %q\n", dnstest.Serve(t, zone))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	background(t, bin, "serve", "--config", file)

	curl := func(name, path string, more ...string) (string, error) {
		args := append([]string{"-sSf", "--cacert", pebble.root, "--resolve", fmt.Sprintf("%s:%d:127.0.0.1", name, port(t, secure))}, more...)
		return output(t, "curl", append(args, fmt.Sprintf("https://%s:%d%s", name, port(t, secure), path))...)
	}
	eventually(t, "the policy", func() error {
		policy, err := curl("mta-sts.example.test", "/.well-known/mta-sts.txt", "-i")
		if err == nil && !strings.Contains(policy, "version: STSv1\r\nmode: testing\r\nmx: mx.example.test\r\nmax_age: 1209600\r\n") ||
			err == nil && !strings.Contains(strings.ToLower(policy), "content-type: text/plain") {
			t.Fatalf("policy %q", policy)
		}
		return err
	})
	eventually(t, "settings for mail programs", func() error {
		settings, err := curl("autoconfig.example.test", "/mail/config-v1.1.xml?emailaddress=ann@example.test")
		if err == nil && !strings.Contains(settings, "<hostname>mx.example.test</hostname>") {
			t.Fatalf("settings %q", settings)
		}
		return err
	})
	if _, err := curl("mta-sts.example.test", "/.well-known/mta-sts.txt", "-H", "Host: mta-sts.elsewhere.test"); err == nil {
		t.Error("a policy for a domain that is not ours")
	}
	said, err := output(t, "openssl", "s_client", "-connect", secure, "-servername", "mta-sts.example.test", "-verify_hostname", "mta-sts.example.test",
		"-verify_return_error", "-CAfile", pebble.root)
	if err != nil || !strings.Contains(said, "Verify return code: 0 (ok)") {
		t.Errorf("openssl: %v\n%s", err, said)
	}

	shown := func() (string, error) {
		c, err := tls.Dial("tcp", submissions, &tls.Config{RootCAs: pebble.issued, ServerName: "mx.example.test"})
		if err != nil {
			return "", err
		}
		defer c.Close()
		sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
		return "3 1 1 " + hex.EncodeToString(sum[:]), nil
	}
	eventually(t, "the host's certificate", func() error { _, err := shown(); return err })
	used, next := keys(t, bin, file)
	now, err := shown()
	if err != nil || now != used.Record {
		t.Fatalf("%s is shown, and used is %s, %v", now, used.Record, err)
	}
	dane := func() error {
		said, err := output(t, "openssl", "s_client", "-connect", submissions, "-dane_tlsa_domain", "mx.example.test",
			"-dane_tlsa_rrdata", used.Record, "-dane_tlsa_rrdata", next.Record)
		if err == nil && !strings.Contains(said, "DANE TLSA 3 1 1") {
			err = errors.New(said)
		}
		return err
	}
	if err := dane(); err != nil {
		t.Error(err)
	}
	if _, err := output(t, bin, "key", "use", next.Selector, "--config", file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a certificate with the next key", func() error {
		now, err := shown()
		if err == nil && now != next.Record {
			err = fmt.Errorf("%s is shown", now)
		}
		return err
	})
	if err := dane(); err != nil {
		t.Error(err)
	}
	eventually(t, "another next key", func() error {
		nowUsed, following := keys(t, bin, file)
		if nowUsed.Selector != next.Selector || following.Selector == next.Selector || following.Selector == "" {
			return fmt.Errorf("%+v, %+v", nowUsed, following)
		}
		return nil
	})
}

// A certKey is a key of certificates as it is listed.
type certKey struct{ Algorithm, State, Selector, Record string }

// keys gives the key in use and the next.
func keys(t *testing.T, bin, file string) (used, next certKey) {
	t.Helper()
	text, err := output(t, bin, "key", "list", "--json", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	var all []certKey
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		for line := range strings.Lines(text) { // or one a line
			var k certKey
			if json.Unmarshal([]byte(line), &k) == nil {
				all = append(all, k)
			}
		}
	}
	for _, k := range all {
		switch {
		case k.Algorithm != "tls":
		case k.State == "used":
			used = k
		case k.State == "made" || k.State == "published":
			next = k
		}
	}
	return used, next
}
