package mtasts

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

const policyText = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmax_age: 604800\r\n"

// certificate makes a self-signed one, which is its own authority.
func certificate(t *testing.T, until time.Time, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// policyHost serves HTTPS, and gives a Fetcher whose every host is that one.
func policyHost(t *testing.T, cert tls.Certificate, roots *x509.CertPool, handler http.HandlerFunc) *Fetcher {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	world := dnstest.Zone{A: map[string][]string{"mta-sts.example.org": {"192.0.2.1", "192.0.2.2"}}}
	return NewFetcher(world, FetchOptions{Roots: roots, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "192.0.2.2:443" {
			return nil, errors.New("nobody listens at " + address)
		}
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}})
}

func TestFetch(t *testing.T) {
	later := time.Now().Add(time.Hour)
	good, roots := certificate(t, later, "mta-sts.example.org")
	wild, wildRoots := certificate(t, later, "*.example.org")
	other, otherRoots := certificate(t, later, "www.example.org", "example.org")
	old, oldRoots := certificate(t, time.Now().Add(-time.Hour), "mta-sts.example.org")
	serve := func(kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "mta-sts.example.org" || r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header()["Content-Type"] = []string{kind}
			_, _ = io.WriteString(w, text)
		}
	}
	for name, tt := range map[string]struct {
		cert    tls.Certificate
		roots   *x509.CertPool
		handler http.HandlerFunc
		want    Problem // 0 for a policy
	}{
		"as it should be":   {good, roots, serve("text/plain; charset=utf-8", policyText), 0},
		"by a wildcard":     {wild, wildRoots, serve("text/plain", policyText), 0},
		"odd parameters":    {good, roots, serve("Text/Plain; charset=\"utf-8\"; x", policyText), 0},
		"another name":      {other, otherRoots, serve("text/plain", policyText), Unproven},
		"expired":           {old, oldRoots, serve("text/plain", policyText), Unproven},
		"unknown authority": {good, x509.NewCertPool(), serve("text/plain", policyText), Unproven},
		"a page":            {good, roots, serve("text/html", policyText), Invalid},
		"of no type":        {good, roots, serve("", policyText), Invalid},
		"not a policy":      {good, roots, serve("text/plain", "hello"), Invalid},
		"too large":         {good, roots, serve("text/plain", policyText+strings.Repeat("x: y\n", MaxSize)), Invalid},
		"not there":         {good, roots, http.NotFound, Unreachable},
		"nothing":           {good, roots, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, Unreachable},
		"somewhere else": {good, roots, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/.well-known/mta-sts.txt?2", http.StatusFound)
		}, Unreachable},
		"a header without end": {good, roots, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) }, Unreachable},
		"cut off": {good, roots, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, policyText)
		}, Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policyHost(t, tt.cert, tt.roots, tt.handler).Fetch(t.Context(), "example.org")
			got := Problem(0)
			var trouble *Error
			if errors.As(err, &trouble) {
				got = trouble.Problem
			}
			if got != tt.want || (err == nil) != (tt.want == 0) {
				t.Fatalf("%v (%d), want %d", err, got, tt.want)
			}
			if err == nil && (!bytes.Equal([]byte(p.String()), []byte(policyText))) {
				t.Errorf("%q", p)
			}
		})
	}
}

func TestFetchFromNobody(t *testing.T) {
	for domain, want := range map[string]Problem{
		"example.org": Unreachable, "not a name": Invalid, "": Invalid, strings.Repeat("a.", 130) + "a": Invalid, "[192.0.2.1]": Invalid,
		"example.com/x?": Invalid, "user@example.com": Invalid, "example.com:8443": Invalid,
	} {
		f := NewFetcher(dnstest.Zone{Fail: map[string]bool{"mta-sts.example.org": true}}, FetchOptions{})
		_, err := f.Fetch(t.Context(), domain)
		var trouble *Error
		if !errors.As(err, &trouble) || trouble.Problem != want {
			t.Errorf("%q: %v, want %d", domain, err, want)
		}
		if want == Unreachable && !errors.Is(err, dns.ErrTemporary) {
			t.Errorf("%q: %v", domain, err)
		}
	}
}
