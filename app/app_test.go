package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/app/config"
	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/directory"
)

// A logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// anywhere is a configuration whose services listen on free ports.
func anywhere(t *testing.T) config.Config {
	t.Helper()
	free := []string{"127.0.0.1:0"}
	c := config.Default()
	c.Hostname, c.Data = "mx.example.test", filepath.Join(t.TempDir(), "data")
	c.Listen = config.Listen{
		MX: free, Submissions: free, Submission: free, IMAPS: free, IMAP: free, POP3S: free, POP3: free, HTTPS: free, HTTP: free,
	}
	c.TLS.Source = config.SourceOwnCA
	return c
}

// running opens and runs a house until the test ends, or stop is called.
func running(t *testing.T, c config.Config, o Options) (a *App, stop func() error) {
	t.Helper()
	a, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, a.Close())
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return a, stop
}

func (a *App) at(service string) string { return a.sockets[service][0].Addr().String() }

// clientTLS trusts the house's own authority.
func (a *App) clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(a.config.Data, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: a.config.Hostname}
}

// Every door is open: it greets, with TLS from the start where it says so.
func TestDoors(t *testing.T) {
	a, _ := running(t, anywhere(t), Options{Log: new(logBuffer)})
	for service, greeting := range map[string]string{
		serviceMX: "220 mx.example.test", serviceSubmission: "220 mx.example.test", serviceSubmissions: "220 mx.example.test",
		serviceIMAP: "* OK", serviceIMAPS: "* OK", servicePOP3: "+OK", servicePOP3S: "+OK",
	} {
		c, err := net.Dial("tcp", a.at(service))
		if err != nil {
			t.Error(service, err)
			continue
		}
		if strings.HasSuffix(service, "s") && service != "pop3" {
			c = tls.Client(c, a.clientTLS(t))
		}
		line, err := textproto.NewConn(c).ReadLine()
		if err != nil || !strings.HasPrefix(line, greeting) {
			t.Errorf("%s says %q, %v", service, line, err)
		}
		c.Close()
	}
}

// Without TLS there is no way to log in, except where it was asked for.
func TestPlaintextLogins(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		a, _ := running(t, anywhere(t), Options{Log: new(logBuffer), PlaintextLogins: allowed})
		for service, ask := range map[string]string{serviceSubmission: "EHLO x", serviceIMAP: "a CAPABILITY", servicePOP3: "CAPA"} {
			raw, err := net.Dial("tcp", a.at(service))
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			c := textproto.NewConn(raw)
			_, err1 := c.ReadLine()
			err2 := c.PrintfLine("%s", ask)
			var said strings.Builder
			for {
				line, err := c.ReadLine()
				said.WriteString(line + "\n")
				if err != nil || line == "." || strings.HasPrefix(line, "250 ") || strings.HasPrefix(line, "a ") {
					break
				}
			}
			if got := strings.Contains(said.String(), "PLAIN"); got != allowed || err1 != nil || err2 != nil {
				t.Errorf("%s, plaintext %v: %s %v %v", service, allowed, said.String(), err1, err2)
			}
			c.Close()
		}
	}
}

func TestPages(t *testing.T) {
	a, _ := running(t, anywhere(t), Options{Log: new(logBuffer)})
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: a.clientTLS(t), ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	get := func(url string) (*http.Response, string) {
		t.Helper()
		answer, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(body)
	}
	if answer, body := get("https://" + a.at(serviceHTTPS) + "/healthz"); answer.StatusCode != 200 || body != "ok\n" || answer.Proto != "HTTP/2.0" {
		t.Errorf("%s %s %q", answer.Proto, answer.Status, body)
	}
	if answer, body := get("https://" + a.at(serviceHTTPS) + "/"); answer.StatusCode != 200 || !strings.Contains(body, "mail programs") {
		t.Errorf("%s %q", answer.Status, body)
	}
	if answer, _ := get("http://" + a.at(serviceHTTP) + "/x?y=z"); answer.Header.Get("Location") != "https://"+a.at(serviceHTTPS)+"/x?y=z" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
}

// A second server cannot take the first one's directory, and leaves it alone.
func TestOneServerOneDirectory(t *testing.T) {
	c := anywhere(t)
	running(t, c, Options{Log: new(logBuffer)})
	if a, err := Open(c, Options{Log: new(logBuffer)}); err == nil {
		a.Close()
		t.Fatal("two servers on one directory")
	}
	if _, err := adminapi.NewClient(c.Data).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// Idle clients do not keep the house from closing.
func TestStopWithClients(t *testing.T) {
	a, stop := running(t, anywhere(t), Options{Log: new(logBuffer)})
	for _, service := range []string{serviceMX, serviceSubmission, serviceIMAP, servicePOP3, serviceHTTP} {
		c, err := net.Dial("tcp", a.at(service))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if service != serviceHTTP {
			if _, err := textproto.NewConn(c).ReadLine(); err != nil {
				t.Fatal(err)
			}
		}
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > drainTimeout/2 {
		t.Errorf("it took %v", took)
	}
}

// A start of dev that was cut short is mended by the next.
func TestPopulateAgain(t *testing.T) {
	a, _ := running(t, anywhere(t), Options{Log: new(logBuffer)})
	ctx, now := t.Context(), time.Now()
	if _, err := a.stores.directory.AddDomain(ctx, now, directory.Domain{Name: devDomain}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.stores.directory.AddAccount(ctx, now, devUsers[1]); err != nil { // no mailboxes, no password
		t.Fatal(err)
	}
	for range 2 {
		if err := a.populate(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range devUsers {
		who, err := a.stores.directory.Login(ctx, user.Address.String())
		if err != nil || who.Hash == "" {
			t.Fatal(user.Address, err)
		}
		if _, err := a.stores.mailboxes.Account(who.Account).Usage(ctx); err != nil {
			t.Error(user.Address, err)
		}
	}
}

func TestReload(t *testing.T) {
	log := new(logBuffer)
	c := anywhere(t)
	a, _ := running(t, c, Options{Log: log})
	file := filepath.Join(t.TempDir(), "waxwing.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hostname = \"mx.example.test\"\n[log]\nlevel = \"loud\"\n")
	if err := a.Reload(file); err == nil || !strings.Contains(err.Error(), "log.level") {
		t.Errorf("a bad file: %v", err)
	}
	write("hostname = \"mx.example.test\"\n[log]\nlevel = \"debug\"\n[limits]\nmessage_size = \"1MB\"\n[[relay.transport]]\ndomain = \"*\"\ntls = \"may\"\n")
	if err := a.Reload(file); err != nil {
		t.Error(err)
	}
	a.log.Debug("now heard")
	a.lines.flush()
	if said := log.String(); !strings.Contains(said, "now heard") || !strings.Contains(said, "limits.message_size") || strings.Contains(said, "log.level") || strings.Contains(said, "relay.transport") {
		t.Error(said)
	}
}

// A run of init that was cut short is finished by the next.
func TestInitAgain(t *testing.T) {
	dir := t.TempDir()
	i := Init{
		Dir: dir, Domain: "example.test", Hostname: "MX.example.test", Admin: "Ann@example.test", TLS: config.SourceOwnCA, Out: io.Discard,
	}
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context()); err == nil {
		t.Fatal("made twice")
	}
	if err := os.Remove(filepath.Join(dir, configName)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	i.Out = &out
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(out.String(), "password   ")
	password, _, _ := strings.Cut(rest, "\n")

	c, err := config.Load(filepath.Join(dir, configName))
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "mx.example.test" {
		t.Error(c.Hostname)
	}
	c.Listen = anywhere(t).Listen
	a, _ := running(t, c, Options{Log: new(logBuffer)})
	raw, err := tls.Dial("tcp", a.at(servicePOP3S), a.clientTLS(t))
	if err != nil {
		t.Fatal(err)
	}
	client := textproto.NewConn(raw)
	defer client.Close()
	if err := errors.Join(client.PrintfLine("USER ann@example.test"), client.PrintfLine("PASS %s", password)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if line, err := client.ReadLine(); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Errorf("%q, %v", line, err)
		}
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"/tmp/a-b_c.1": "/tmp/a-b_c.1", "/tmp/a b": "'/tmp/a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "~": "'~'", "": "''", "/tmp/ä": "/tmp/ä",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

// dev has what programs outside rely on.
func TestDevConfig(t *testing.T) {
	d := Dev{Dir: "x", PortBase: 10000, SMTPOutPort: 2525, Retry: time.Second, Resolver: "127.0.0.1:5353", Store: "pebble:"}
	c, err := d.config()
	if err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]string{
		serviceMX: "127.0.0.1:10025", servicePOP3: "127.0.0.1:10110", serviceIMAP: "127.0.0.1:10143",
		serviceHTTPS: "127.0.0.1:10443", serviceSubmissions: "127.0.0.1:10465", serviceSubmission: "127.0.0.1:10587",
		serviceLMTP: "127.0.0.1:10024", serviceIMAPS: "127.0.0.1:10993", servicePOP3S: "127.0.0.1:10995",
	} {
		if got := addressesOf(c.Listen)[service]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", service, got, want)
		}
	}
	if c.Relay.Port != 2525 || c.Relay.Retry.Std() != time.Second || c.DNS.Resolver != "127.0.0.1:5353" {
		t.Errorf("%+v %+v", c.Relay, c.DNS)
	}
	for _, user := range devUsers {
		if user.Address != (mail.Address{Local: strings.ToLower(user.Name), Domain: "example.test"}) {
			t.Error(user.Address)
		}
	}
	d.Store = "postgres://db/waxwing"
	if _, err := d.config(); err != nil {
		t.Error(err)
	}
	d.Store = "postgres:waxwing"
	if _, err := d.config(); err == nil || !strings.Contains(err.Error(), "must be a URL") {
		t.Error(err)
	}
}

// A server whose store cannot write any more ends, and says why, so that it is
// started again.
func TestStoreFails(t *testing.T) {
	log := new(logBuffer)
	a, err := Open(anywhere(t), Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	broken := errors.New("sync log: input/output error")
	a.stores.failed <- broken
	if err := a.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("the end is %v", err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, "started again") || !strings.Contains(last, broken.Error()) {
		t.Errorf("the last words are %q", last)
	}
}
