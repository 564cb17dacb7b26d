//go:build peers

package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waxwing/app/certs"
	"waxwing/test/system"
)

// An authority is Let's Encrypt's Pebble with a DNS server that leads every
// name to this machine.
type authority struct {
	directory string         // its ACME directory
	roots     string         // file with what the server has to trust, to talk to it
	issued    *x509.CertPool // what clients have to trust
	root      string         // file with the same
}

// startAuthority starts one that looks for challenges on the two ports.
func startAuthority(t *testing.T, httpPort, tlsPort int) authority {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-modfile=../../tools/go.mod", "-o", dir,
		"github.com/letsencrypt/pebble/v2/cmd/pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv").CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	ports := freePorts(t, 3)
	listen, management, dns := ports[0], ports[1], ports[2]

	ca, err := certs.OpenCA(dir, "pebble's own", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := ca.Issue([]string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	config := fmt.Sprintf(`{"pebble": {"listenAddress": %q, "managementListenAddress": %q, "certificate": %q, "privateKey": %q,
		"httpPort": %d, "tlsPort": %d, "keyAlgorithm": "ecdsa", "retryAfter": {"authz": 1, "order": 1},
		"profiles": {"default": {"description": "90 days", "validityPeriod": 7776000}}}}`,
		listen, management, filepath.Join(dir, "pebble.pem"), filepath.Join(dir, "server-key.pem"), httpPort, tlsPort)
	for file, content := range map[string][]byte{"pebble.pem": certificate, "pebble.json": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	background(t, filepath.Join(dir, "pebble-challtestsrv"), "-defaultIPv6", "", "-dnsserver", dns,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", "")
	background(t, filepath.Join(dir, "pebble"), "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", dns)

	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca.PEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	a := authority{directory: "https://" + listen + "/dir", roots: filepath.Join(dir, "ca.pem"), issued: x509.NewCertPool(),
		root: filepath.Join(dir, "root.pem")}
	eventually(t, "pebble answers", func() error {
		answer, err := client.Get("https://" + management + "/roots/0")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		root, err := io.ReadAll(answer.Body)
		if err == nil {
			err = os.WriteFile(a.root, root, 0o600)
		}
		if !a.issued.AppendCertsFromPEM(root) {
			err = errors.Join(err, errors.New("no certificate"))
		}
		return err
	})
	return a
}

// background runs a program until the test ends.
func background(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), said.String())
		}
	})
	return cmd
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func port(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

// A production server gets its certificate by itself, by either challenge, and
// remembers when the authority suggests to renew it (RFC 9773).
func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			ports := freePorts(t, 3)
			plain, secure, submissions := ports[0], ports[1], ports[2]
			pebble := startAuthority(t, port(t, plain), port(t, secure))
			services := map[string]string{"https": secure, "http": plain, "submissions": submissions}
			if challenge == "tls-alpn-01" {
				delete(services, "http")
			} else {
				delete(services, "https")
			}
			dir := t.TempDir()
			bin := system.Binary(t)
			file := filepath.Join(dir, "waxwing.toml")
			writeConfig(t, file, services, pebble)
			background(t, bin, "serve", "--config", file)

			trusting := &tls.Config{RootCAs: pebble.issued, ServerName: "mx.example.test"}
			eventually(t, "a certificate of the authority", func() error {
				c, err := tls.Dial("tcp", submissions, trusting)
				if err != nil {
					return err
				}
				return c.Close()
			})
			if !renewalKnown(t, filepath.Join(dir, "data", "acme")) {
				t.Error("the authority's renewal information is not kept")
			}
		})
	}
}

func writeConfig(t *testing.T, file string, services map[string]string, a authority) {
	t.Helper()
	var b strings.Builder
	b.WriteString("hostname = \"mx.example.test\"\ndata = \"data\"\n[listen]\n")
	for _, service := range []string{"mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http", "https"} {
		if address, on := services[service]; on {
			fmt.Fprintf(&b, "%s = [%q]\n", service, address)
		} else {
			fmt.Fprintf(&b, "%s = []\n", service)
		}
	}
	fmt.Fprintf(&b, "[tls]\nsource = \"acme\"\n[tls.acme]\ndirectory = %q\nroots = %q\n", a.directory, a.roots)
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// renewalKnown looks for renewal information in what is kept.
func renewalKnown(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		found = found || strings.Contains(string(text), "suggestedWindow")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Certificates in files are taken up again without a restart.
func TestCertificateFiles(t *testing.T) {
	ports := freePorts(t, 1)
	dir, store := t.TempDir(), t.TempDir()
	ca, err := certs.OpenCA(store, "files", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func() *x509.Certificate {
		c, err := ca.Issue([]string{"mx.example.test"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
		if err := os.WriteFile(filepath.Join(store, "cert.pem"), block, 0o600); err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	first := issue()
	file := filepath.Join(dir, "waxwing.toml")
	text := fmt.Sprintf(`hostname = "mx.example.test"
data = "data"
[listen]
mx = []
submission = []
submissions = []
imap = []
imaps = []
pop3 = []
pop3s = []
http = []
https = [%q]
[tls]
source = "files"
[[tls.files]]
certificate = %q
key = %q
`, ports[0], filepath.Join(store, "cert.pem"), filepath.Join(store, "server-key.pem"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := background(t, system.Binary(t), "serve", "--config", file)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca.PEM())
	serves := func(want *x509.Certificate) func() error {
		return func() error {
			d := tls.Dialer{Config: &tls.Config{RootCAs: trusted, ServerName: "mx.example.test"}}
			c, err := d.DialContext(context.Background(), "tcp", ports[0])
			if err != nil {
				return err
			}
			defer c.Close()
			if got := c.(*tls.Conn).ConnectionState().PeerCertificates[0]; !got.Equal(want) {
				return errors.New("another certificate")
			}
			return nil
		}
	}
	eventually(t, "the first certificate", serves(first))
	if err := os.WriteFile(filepath.Join(store, "cert.pem"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangup(t, server)
	time.Sleep(500 * time.Millisecond)
	eventually(t, "the first certificate, since the second is rubbish", serves(first))
	third := issue()
	hangup(t, server)
	eventually(t, "the third certificate", serves(third))
}

func hangup(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}
