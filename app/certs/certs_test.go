package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// handshake gives the client's view of one handshake with a source.
func handshake(t *testing.T, source Source, client *tls.Config, protocols ...string) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	served := make(chan error, 1)
	go func() {
		c := tls.Server(far, ServerConfig(source, protocols...))
		served <- c.Handshake()
		_, _ = io.Copy(io.Discard, far)
		far.Close()
	}()
	c := tls.Client(near, client)
	err := errors.Join(c.Handshake(), near.Close(), <-served)
	return c.ConnectionState(), err
}

func roots(ca *CA) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM())
	return pool
}

func TestOwnAuthority(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	ca, err := OpenCA(dir, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewOwn(ca, []string{"mail.example.test", "localhost", "127.0.0.1", "::1"}, now, silent())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mail.example.test", "localhost", "127.0.0.1", "::1"} {
		state, err := handshake(t, own, &tls.Config{RootCAs: roots(ca), ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
			t.Errorf("%s: version %x, group %v", name, state.Version, state.CurveID)
		}
	}
	// Clients that compare addresses with names find one, behind all others.
	if names := own.current.Load().Leaf.DNSNames; names[len(names)-1] != "127.0.0.1" {
		t.Errorf("names: %q", names)
	}
	old := &tls.Config{RootCAs: roots(ca), ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if _, err := handshake(t, own, old); err == nil {
		t.Error("TLS 1.1 works")
	}

	// Opened again it is the same authority, and the server's key is the same.
	again, err := OpenCA(dir, "other", now)
	if err != nil || !bytes.Equal(ca.PEM(), again.PEM()) {
		t.Fatal("another authority", err)
	}
	first, err1 := ca.Issue([]string{"a.example.test"}, now)
	second, err2 := again.Issue([]string{"b.example.test"}, now)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Leaf.RawSubjectPublicKeyInfo, second.Leaf.RawSubjectPublicKeyInfo) {
		t.Error("another key")
	}
	for _, file := range []string{"ca-key.pem", "server-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(file, info.Mode(), err)
		}
	}
}

func TestOwnRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := OpenCA(t.TempDir(), "test", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		own, err := NewOwn(ca, []string{"a.example.test"}, time.Now(), silent())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- own.Run(ctx) }()
		for range 8 {
			time.Sleep(30 * 24 * time.Hour)
			synctest.Wait()
			if left := time.Until(own.current.Load().Leaf.NotAfter); left < leafRenewal-24*time.Hour {
				t.Errorf("%v left", left)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pair writes a certificate for name into dir.
func pair(t *testing.T, dir, name string, life time.Duration) Pair {
	t.Helper()
	ca, err := OpenCA(dir, name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue([]string{name}, time.Now().Add(life-leafLife))
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{filepath.Join(dir, name+".pem"), filepath.Join(dir, "server-key.pem")}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	if err := writeFile(p.Certificate, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFiles(t *testing.T) {
	a := pair(t, t.TempDir(), "a.example.test", leafLife)
	b := pair(t, t.TempDir(), "b.example.test", leafLife)
	files, err := OpenFiles([]Pair{a, b}, silent())
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"a.example.test": "a.example.test", "b.example.test": "b.example.test", "c.example.test": "a.example.test", "": "a.example.test",
	} {
		if got := served(t, files, asked); got != want {
			t.Errorf("asked for %q, got the certificate of %q, want %q", asked, got, want)
		}
	}

	// Bad ones change nothing.
	for name, bad := range map[string][]Pair{
		"none":       nil,
		"no file":    {{"/nowhere/cert.pem", a.Key}},
		"wrong key":  {{a.Certificate, b.Key}},
		"expired":    {pair(t, t.TempDir(), "old.example.test", -time.Hour)},
		"one of two": {b, {a.Certificate, "/nowhere/key.pem"}},
	} {
		if err := files.Use(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := served(t, files, "a.example.test"); got != "a.example.test" {
		t.Errorf("after bad files: %q", got)
	}
}

func served(t *testing.T, source Source, name string) string {
	t.Helper()
	state, err := handshake(t, source, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].Subject.CommonName
}

// Files that change are used; bad ones are complained about once.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	p := pair(t, dir, "a.example.test", leafLife)
	var log bytes.Buffer
	files, err := OpenFiles([]Pair{p}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	files.look()
	if log.Len() > 0 {
		t.Errorf("nothing has changed, yet: %s", &log)
	}
	good, err := os.ReadFile(p.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(p.Certificate, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	files.look()
	files.look()
	if n := strings.Count(log.String(), "certificate files are bad"); n != 1 {
		t.Errorf("%d complaints: %s", n, &log)
	}
	if got := served(t, files, ""); got != "a.example.test" {
		t.Errorf("with bad files: %q", got)
	}
	if err := writeFile(p.Certificate, good, 0o600); err != nil {
		t.Fatal(err)
	}
	files.look()
	if !strings.Contains(log.String(), "certificate files reloaded") {
		t.Errorf("not reloaded: %s", &log)
	}
}

// A client of another protocol is turned away.
func TestProtocols(t *testing.T) {
	ca, err := OpenCA(t.TempDir(), "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewOwn(ca, []string{"localhost"}, time.Now(), silent())
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: roots(ca), ServerName: "localhost", NextProtos: []string{"h2"}}
	if _, err := handshake(t, own, client, "imap"); err == nil {
		t.Error("an h2 client may talk to IMAP")
	}
	client.NextProtos = nil
	if _, err := handshake(t, own, client, "imap"); err != nil {
		t.Error(err)
	}
}

func TestFallback(t *testing.T) {
	ca, err := OpenCA(t.TempDir(), "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewOwn(ca, []string{"localhost"}, time.Now(), silent())
	if err != nil {
		t.Fatal(err)
	}
	acme, err := NewACME(ACMEOptions{Names: []string{"localhost"}, HTTP: Endpoint{Port: 80}, Log: silent()})
	if err != nil {
		t.Fatal(err)
	}
	if got := served(t, Fallback{acme, own}, "localhost"); got != "localhost" {
		t.Error(got)
	}
	if _, err := (Fallback{acme}).GetCertificate(&tls.ClientHelloInfo{}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	// Who only wants to look has no connection, and is told the same.
	acme.config.Store(&certmagic.Config{})
	if _, err := acme.GetCertificate(&tls.ClientHelloInfo{ServerName: "localhost"}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	called := false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })
	acme.Handler(next).ServeHTTP(nil, nil)
	if !called {
		t.Error("before Run, requests must go on")
	}
}

func TestACMERefuses(t *testing.T) {
	if _, err := NewACME(ACMEOptions{Names: []string{"a.example"}}); err == nil {
		t.Error("no endpoint")
	}
	if _, err := NewACME(ACMEOptions{Names: []string{"a.example"}, HTTP: Endpoint{Port: 80}, Roots: "acme_test.go"}); err == nil {
		t.Error("bad roots")
	}
}

func TestZapToSlog(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	log := zap.New(&zapCore{log: logger}).With(zap.String("identifier", "a.example"))
	log.Debug("hidden")
	log.Info("obtained", zap.Int("attempt", 2))
	log.Error("failed", zap.Error(errors.New("no luck")))
	want := "level=INFO msg=obtained identifier=a.example attempt=2\nlevel=ERROR msg=failed identifier=a.example error=\"no luck\"\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
