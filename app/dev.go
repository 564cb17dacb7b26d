package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"waxwing/app/config"
	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/directory"
)

// What "waxwing dev" always has; programs outside rely on it.
const (
	devDomain   = "example.test"
	devHostname = "mail.example.test"
	devPassword = "waxwing"
	devServer   = "127.0.0.1"
	highestPort = 995 // of those that the port base is added to
)

var devUsers = []directory.Account{
	{Address: mail.Address{Local: "alice", Domain: devDomain}, Name: "Alice", Admin: true},
	{Address: mail.Address{Local: "bob", Domain: devDomain}, Name: "Bob"},
}

// Dev is how "waxwing dev" was asked to run.
type Dev struct {
	Dir         string
	PortBase    int
	Hostname    string // what it calls itself; "" for mail.example.test
	Resolver    string
	SMTPOutPort int
	Retry       time.Duration
	Store       string
	Blobs       config.Blobs
	TakeOver    time.Duration // 0 for the default
	Program     string        // how the program was called, to be called again
	Out         io.Writer     // what the person is told
	Log         io.Writer
}

// config is the configuration of a development system.
func (d Dev) config() (config.Config, error) {
	dir, err := filepath.Abs(d.Dir)
	if err != nil {
		return config.Config{}, err
	}
	at := func(port int) []string {
		return []string{net.JoinHostPort(devServer, strconv.Itoa(d.PortBase+port))}
	}
	if d.PortBase < 0 || d.PortBase > 65535-highestPort {
		return config.Config{}, fmt.Errorf("--port-base: must be between 0 and %d", 65535-highestPort)
	}
	c := config.Default()
	c.Hostname, c.Data = cmp.Or(d.Hostname, devHostname), dir
	c.Store.URL = d.Store
	if d.Blobs.URL != "" {
		c.Blobs.URL, c.Blobs.Endpoint, c.Blobs.Credentials = d.Blobs.URL, d.Blobs.Endpoint, d.Blobs.Credentials
	}
	c.Listen = config.Listen{
		MX: at(25), LMTP: at(24), Submissions: at(465), Submission: at(587),
		IMAPS: at(993), IMAP: at(143), POP3S: at(995), POP3: at(110), HTTPS: at(443),
	}
	c.TLS.Source = config.SourceOwnCA
	c.TLS.Names = []string{devDomain}
	c.DNS.Mode = config.ResolveStub // whatever the machine has, behind whatever wall
	if d.Resolver != "" {           // a name such as localhost will do here
		resolver, err := net.ResolveUDPAddr("udp", d.Resolver)
		if err != nil {
			return config.Config{}, fmt.Errorf("--resolver: %w", err)
		}
		at := resolver.AddrPort()
		c.DNS.Resolver = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
		c.Trust.Unverified = nil // whoever brings a DNS of his own wants to see what it does
	}
	c.Relay.Port = d.SMTPOutPort
	c.Relay.Retry = config.Duration(d.Retry)
	if d.TakeOver > 0 {
		c.Relay.TakeOver = config.Duration(d.TakeOver)
	}
	return c, c.Validate()
}

// Run runs a complete system on 127.0.0.1 until ctx ends.
func (d Dev) Run(ctx context.Context) error {
	c, err := d.config()
	if err != nil {
		return err
	}
	var told error
	a, err := Open(c, Options{
		Log:              d.Log,
		PlaintextLogins:  true,
		BlobsApart:       true,
		CertificateNames: []string{"mx." + devDomain, "localhost", devServer, "::1"},
		Server:           devServer,
		Started:          func() { told = d.explain(c) },
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w\nOther ports are taken with --port-base, such as %d", err, otherBase(d.PortBase))
	}
	if err != nil {
		return err
	}
	if err := a.populate(ctx, time.Now()); err != nil {
		return errors.Join(err, a.Close())
	}
	err = a.Run(ctx)
	return errors.Join(told, err, a.Close())
}

// otherBase is a port base to try when a port of this one is taken. It stays
// below the ports that the kernel gives to clients.
func otherBase(base int) int {
	if base += 1000; base <= 31000 {
		return base
	}
	return 11000
}

// populate makes the domain and the accounts where they are missing; a start
// may have been cut short.
func (a *App) populate(ctx context.Context, now time.Time) error {
	dir := a.stores.directory
	if _, err := dir.AddDomain(ctx, now, directory.Domain{Name: devDomain}); err != nil && !errors.Is(err, directory.ErrExists) {
		return err
	}
	for _, user := range devUsers {
		have, err := dir.Login(ctx, user.Address.String())
		switch {
		case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrNoUser):
			_, err = adminapi.CreateAccount(ctx, dir, a.stores.mailboxes, now, user, devPassword)
		case err == nil && have.Hash == "":
			err = adminapi.FinishAccount(ctx, dir, a.stores.mailboxes, now, directory.Account{ID: have.Account}, devPassword)
		}
		if err != nil {
			return fmt.Errorf("make %s: %w", user.Address, err)
		}
	}
	return nil
}

var devGuide = template.Must(template.New("guide").Parse(`
A complete mail system runs on {{.Server}}, in {{.Dir}}

  accounts   alice@example.test and bob@example.test, password "waxwing"
  sending    port {{.P 465}} (TLS) or {{.P 587}} (STARTTLS)
  reading    IMAP port {{.P 993}} (TLS) or {{.P 143}}; POP3 port {{.P 995}} (TLS) or {{.P 110}}
  receiving  SMTP port {{.P 25}}
  web        https://localhost:{{.P 443}}/
  trust      {{.Dir}}/ca.pem

Try it, in another terminal:

  printf 'Subject: hello\n\nFirst light.\n' | curl -sS --ssl-reqd --cacert {{.Arg "ca.pem"}} \
        --user alice@example.test:waxwing --mail-from alice@example.test \
        --mail-rcpt bob@example.test smtp://{{.Server}}:{{.P 587}} -T -
  curl -sS --cacert {{.Arg "ca.pem"}} --user bob@example.test:waxwing \
        'imaps://{{.Server}}:{{.P 993}}/INBOX;MAILINDEX=1'
  {{.Program}} account list --dir {{.Arg ""}}

Stop it with Ctrl-C. Mail stays in {{.Where}} to begin anew.

waxwing dev ready
`))

// guide is what devGuide is filled in with.
type guide struct {
	Dev
	Dir    string // the whole name
	Server string
}

// P gives the port of a service by its well-known one.
func (g guide) P(port int) int { return g.PortBase + port }

// Where tells what mail stays in, and what to do with it.
func (g guide) Where() string {
	if config.OnPostgreSQL(g.Store) {
		return "the database; empty that and remove the directory"
	}
	return "the directory; remove that"
}

// Arg gives a file of the directory as a shell takes it.
func (g guide) Arg(file string) string { return shellWord(filepath.Join(g.Dir, file)) }

// shellWord quotes what a shell would not take as it is.
func shellWord(s string) string {
	special := func(r rune) bool { return r < 128 && !strings.ContainsRune(shellPlain, r) }
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shellPlain are the ASCII characters that mean themselves to a shell.
const shellPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@%,="

// explain says in one piece, so that no log record gets between, how to try
// what runs.
func (d Dev) explain(c config.Config) error {
	var text bytes.Buffer
	d.Program = shellWord(d.Program)
	if err := devGuide.Execute(&text, guide{d, c.Data, devServer}); err != nil {
		return err
	}
	_, err := d.Out.Write(text.Bytes())
	return err
}

// DataOf gives the data directory for the command line's --config and --dir:
// that of the configuration file, or of a development system or a store that
// was restored, or of what init has made.
func DataOf(configFile, dir string) (string, error) {
	if configFile != "" {
		c, err := config.Load(configFile)
		return c.Data, err
	}
	candidates := []string{".", "/etc/waxwing", "waxwing-dev", "run"} // the last is that of "make run"
	if dir != "" {
		candidates = []string{dir}
	}
	for _, dir := range candidates {
		file := filepath.Join(dir, configName)
		if _, err := os.Stat(file); err == nil {
			c, err := config.Load(file)
			return c.Data, err
		}
		if _, err := os.Stat(adminapi.SocketPath(dir)); err == nil {
			return filepath.Abs(dir)
		}
	}
	if dir != "" {
		if _, err := os.Stat(filepath.Join(dir, storeFolder)); err == nil { // nobody's but the one that was named
			return filepath.Abs(dir)
		}
		_, err := os.Stat(adminapi.SocketPath(dir))
		if errors.Is(err, os.ErrPermission) {
			return "", fmt.Errorf("not allowed to look into %s: run this as the server's user or as root", dir)
		}
		if _, err := os.Stat(dir); err != nil {
			return "", err
		}
		return "", fmt.Errorf("%s is not the directory of a server: it holds neither %s nor a store", dir, configName)
	}
	return "", errors.New("which server? Name its configuration with --config FILE, or the directory of \"waxwing dev\" with --dir DIR")
}
