//go:build peers

// Package transport sends mail to real hosts: Postfix with and without TLS, with
// certificates that hold and that do not, found through zones that knot has
// signed, and with MTA-STS policies that are fetched over HTTPS.
package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// An authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().AddDate(0, -2, 0)
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

// host issues a certificate for a host's names.
func (a *authority) host(until time.Time, names ...string) tls.Certificate {
	c, key := a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: until})
	return tls.Certificate{Certificate: [][]byte{c.Raw, a.cert.Raw}, PrivateKey: key, Leaf: c}
}

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// write writes a certificate with its chain and its key to a file, as Postfix
// wants them.
func write(t *testing.T, file string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range c.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A kind of host.
type kind string

// The kinds.
const (
	good    kind = "good"    // with a certificate for *.secure.test and *.plain.test
	bare    kind = "bare"    // without TLS
	refuses kind = "refuses" // offers STARTTLS and refuses it
	breaks  kind = "breaks"  // offers STARTTLS, and has no certificate
	wrong   kind = "wrong"   // with a certificate for another name
	expired kind = "expired" // with one that has expired
)

// address is where the host is that has a number.
func address(n int) string { return fmt.Sprintf("127.0.3.%d", n+1) }

// startHosts starts a Postfix that is all hosts, on one port, each at an address
// of its own so that none is sent what another could have.
func startHosts(t *testing.T, a *authority, domains []string, hosts []kind) (p *system.Postfix, port int, certs map[kind]tls.Certificate) {
	t.Helper()
	p = system.NewPostfix(t, `myhostname = mail.hosts.test
smtpd_tls_loglevel = 1
smtpd_tls_chain_files = $queue_directory/../good.pem
smtpd_tls_security_level = may
`+system.OneMailbox(strings.Join(domains, ", ")))
	later := time.Now().AddDate(0, 6, 0)
	certs = map[kind]tls.Certificate{
		good:    a.host(later, "*.secure.test", "*.plain.test", "*.broken.test"),
		wrong:   a.host(later, "elsewhere.example"),
		expired: a.host(time.Now().AddDate(0, -1, 0), "*.secure.test", "*.plain.test"),
	}
	for k, c := range certs {
		write(t, filepath.Join(p.Dir, string(k)+".pem"), c)
	}
	port = freePort(t, len(hosts))
	master := filepath.Join(p.Dir, "etc", "master.cf")
	text, err := os.ReadFile(master)
	if err != nil {
		t.Fatal(err)
	}
	options := map[kind]string{
		bare:    "smtpd_tls_security_level=none",
		refuses: "smtpd_tls_CAfile=" + p.Dir + "/missing.pem", // it says 454 then
		breaks:  "smtpd_tls_chain_files=" + p.Dir + "/missing.pem",
		wrong:   "smtpd_tls_chain_files=" + p.Dir + "/wrong.pem",
		expired: "smtpd_tls_chain_files=" + p.Dir + "/expired.pem",
	}
	for n, k := range hosts {
		text = append(text, fmt.Sprintf("%s:%d inet n - n - - smtpd\n", address(n), port)...)
		if o := options[k]; o != "" {
			text = append(text, "  -o "+o+"\n"...)
		}
	}
	if err := os.WriteFile(master, text, 0o644); err != nil {
		t.Fatal(err)
	}
	p.Start()
	return p, port, certs
}

// freePort gives a port that is free at all hosts.
func freePort(t *testing.T, hosts int) int {
	t.Helper()
	for range 50 {
		port, free := system.FreePort(t), true
		for n := range hosts {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address(n), port))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no port is free at all hosts")
	return 0
}

// tlsaEE names a certificate's key ("3 1 1"), tlsaTA an authority ("2 0 1").
func tlsaEE(c tls.Certificate) string {
	return fmt.Sprintf("TLSA 3 1 1 %x", sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo))
}

func tlsaTA(c *x509.Certificate) string { return fmt.Sprintf("TLSA 2 0 1 %x", sha256.Sum256(c.Raw)) }

// servePolicies serves the MTA-STS policies of domains, by name, and gives how
// to reach it. Of a domain that is not there its certificate does not hold.
func servePolicies(t *testing.T, a *authority, policies map[string]string) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := policies[strings.TrimPrefix(r.Host, "mta-sts.")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	}))
	var names []string
	for domain := range policies {
		names = append(names, "mta-sts."+domain)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.host(time.Now().AddDate(0, 1, 0), names...)}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
}
