package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"waxwing/app/config"
	"waxwing/app/confine"
	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/directory"
	"waxwing/store/dkimkeys"
	"waxwing/trust/records"
)

// configName is the configuration file that init writes.
const configName = "waxwing.toml"

// Init is how "waxwing init" was asked to make a production directory.
type Init struct {
	Dir      string
	Data     string // "" for "data" in Dir
	Domain   string
	Hostname string
	Admin    string // address of the first account; "" for postmaster@Domain
	User     string
	TLS      string // source of certificates
	Email    string // contact for ACME
	PortBase int    // added to every port
	Out      io.Writer
}

// Run makes the directory, or says why not and leaves nothing half done that a
// second run would trip over.
func (i Init) Run(ctx context.Context) error {
	c, admin, err := i.config()
	if err != nil {
		return err
	}
	file := filepath.Join(i.Dir, configName)
	if _, err := os.Stat(file); err == nil {
		return fmt.Errorf("%s exists already; remove it (and the data) to begin anew", file)
	}
	if i.User != "" {
		if err := confine.Known(i.User); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(i.Dir, 0o755); err != nil {
		return err
	}
	c.File = file
	inPlace := c
	if !filepath.IsAbs(c.Data) {
		inPlace.Data = filepath.Join(i.Dir, c.Data)
	}
	password, keys, err := i.fill(ctx, inPlace, admin, time.Now())
	if err != nil {
		return err
	}
	// Last, so that a directory with this file is a whole one.
	if err := os.WriteFile(file, []byte(config.Sample(c)), 0o644); err != nil {
		return err
	}
	return i.explain(inPlace, admin, password, keys)
}

func (i Init) config() (config.Config, mail.Address, error) {
	c := config.Default()
	c.Hostname, c.User = strings.ToLower(i.Hostname), i.User
	if i.Data != "" {
		data, err := filepath.Abs(i.Data)
		if err != nil {
			return c, mail.Address{}, err
		}
		c.Data = data
	}
	c.TLS.Source, c.TLS.ACME.Email = i.TLS, i.Email
	if i.PortBase > 0 {
		c.Listen.Shift(i.PortBase)
	}
	domain, err := mail.ParseDomain(i.Domain)
	if err != nil {
		return c, mail.Address{}, fmt.Errorf("--domain: %w", err)
	}
	address := i.Admin
	if address == "" {
		address = "postmaster@" + domain
	}
	admin, err := mail.ParseAddress(address)
	if err != nil {
		return c, admin, fmt.Errorf("--admin: %w", err)
	}
	if admin.Domain != domain {
		return c, admin, fmt.Errorf("--admin: %s is not in the domain %s", admin, domain)
	}
	if i.TLS == config.SourceFiles {
		// The names of the files are not known: they are filled in by hand.
		c.TLS.Files = []config.KeyPair{{Certificate: "/path/to/fullchain.pem", Key: "/path/to/privkey.pem"}}
	}
	return c, admin, c.Validate()
}

// fill makes the data directory with the first domain and account.
func (i Init) fill(ctx context.Context, c config.Config, admin mail.Address, now time.Time) (password string, keys []dkimkeys.Key, err error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return "", nil, err
	}
	if _, err := openCA(c, now); err != nil {
		return "", nil, err
	}
	log, _, _ := newLog(io.Discard, c.Log)
	s, err := openStores(c, Options{}, memoryOf(os.DirFS("/")), log)
	if err != nil {
		return "", nil, err
	}
	password, err = firstAccount(ctx, s, admin, now)
	if err == nil {
		keys, err = firstKeys(ctx, s, admin.Domain, now)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return "", nil, err
	}
	if c.User != "" && os.Getuid() == 0 {
		err = confine.Own(c.Data, c.User)
	}
	return password, keys, err
}

// firstKeys makes the keys that sign the domain's mail, where a run that was
// cut short has not.
func firstKeys(ctx context.Context, s stores, domain string, now time.Time) ([]dkimkeys.Key, error) {
	store := dkimkeys.New(s.db)
	unseen := func(context.Context, dkimkeys.Key) (bool, error) { return false, nil }
	if _, err := store.Advance(ctx, now, domain, dkimkeys.Schedule{}, unseen); err != nil {
		return nil, err
	}
	return store.Keys(ctx, domain)
}

func firstAccount(ctx context.Context, s stores, admin mail.Address, now time.Time) (string, error) {
	_, err := s.directory.AddDomain(ctx, now, directory.Domain{Name: admin.Domain})
	if err != nil && !errors.Is(err, directory.ErrExists) { // of a run that was cut short
		return "", err
	}
	password := adminapi.GeneratePassword()
	account := directory.Account{Address: admin, Name: "Postmaster", Admin: true}
	_, err = adminapi.CreateAccount(ctx, s.directory, s.mailboxes, now, account, password)
	if errors.Is(err, directory.ErrExists) {
		if account, err = s.directory.AccountByAddress(ctx, admin); err == nil {
			err = adminapi.FinishAccount(ctx, s.directory, s.mailboxes, now, account, password)
		}
	}
	return password, err
}

// explain says what was made and what is left to do.
func (i Init) explain(c config.Config, admin mail.Address, password string, keys []dkimkeys.Key) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Made %s\n\n", c.File)
	fmt.Fprintf(&b, "  data       %s\n  account    %s (an administrator; mail for postmaster@ and abuse@ comes here)\n  password   %s\n", c.Data, admin, password)
	fmt.Fprintf(&b, "\nThe password is shown this once. Change it, while the server runs, with:\nwaxwing account password %s%s\n", admin, i.where(c.File))
	b.WriteString("\nPublish these DNS records:\n\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range records.For(records.Domain{Name: admin.Domain, Host: c.Hostname, Addresses: publicAddresses(), Keys: published(keys),
		DMARCTo: reportsTo(c.Reports.Addresses, "dmarc"), TLSTo: reportsTo(c.Reports.Addresses, "tls"),
	}) {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", r.Name, r.Type, r.Data)
	}
	if len(publicAddresses()) == 0 {
		host := strings.TrimSuffix(c.Hostname, ".") + "."
		fmt.Fprintf(table, "  %s\tA\t(the server's public IPv4 address)\n  %s\tAAAA\t(the server's public IPv6 address, if it has one)\n", host, host)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nWhile the server runs, this tells what is there of them and what is to be mended:\nwaxwing dns %s --check%s\n", admin.Domain, i.where(c.File))
	b.WriteString(`
Ask whoever gave you the address (your provider) to let it resolve back to
` + c.Hostname + ` (the PTR record): other servers distrust mail without it.

Then start the server: waxwing serve --config ` + shellWord(c.File) + "\n")
	if c.User == "" && os.Getuid() == 0 {
		fmt.Fprintf(&b, `
Before that, let it not run as root, since strangers talk to it: set
user = "waxwing" in the file, and

  useradd --system --shell /usr/sbin/nologin waxwing
  chown -R waxwing: %s
`, shellWord(c.Data))
	}
	switch c.TLS.Source {
	case config.SourceACME:
		b.WriteString("\nCertificates are fetched from Let's Encrypt by themselves as soon as the DNS\nrecords are there and port 80 or 443 can be reached. By starting the server you\nagree to the terms of service at https://letsencrypt.org/repository/\n")
	case config.SourceFiles:
		b.WriteString("\nBefore that, name your certificate and key in [[tls.files]] of the file.\n")
	case config.SourceOwnCA:
		fmt.Fprintf(&b, "\nCertificates are signed by your own authority. Clients must be told to trust\n%s\n", filepath.Join(c.Data, "ca.pem"))
	}
	_, err := io.WriteString(i.Out, b.String())
	return err
}

// where is what a command needs to find the server; nothing where it looks
// by itself.
func (Init) where(file string) string {
	if file == "/etc/waxwing/"+configName {
		return ""
	}
	return " --config " + shellWord(file)
}
