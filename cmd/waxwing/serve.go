package main

import (
	"context"
	"fmt"

	"waxwing/app"
	"waxwing/app/config"
)

type initCmd struct {
	Dir      string `arg:"" help:"Directory for waxwing.toml; made if there is none." placeholder:"DIR"`
	Domain   string `help:"The domain of your addresses, such as example.org." required:"" placeholder:"D"`
	Hostname string `help:"The name of this server, such as mx.example.org." required:"" placeholder:"H"`
	Data     string `help:"Directory for mail, accounts and keys." placeholder:"DIR"`
	Admin    string `help:"Address of the first account." placeholder:"ADDRESS"`
	User     string `help:"System user that the server becomes when it is started by root; it will own the data." placeholder:"NAME"`
	TLS      string `help:"Where certificates come from: acme (Let's Encrypt), files, own-ca." enum:"acme,files,own-ca" default:"acme" name:"tls"`
	Email    string `help:"Where the certificate authority may write to." placeholder:"ADDRESS"`
	PortBase int    `help:"Added to each port, to try the result without root." default:"0" placeholder:"N"`
}

func (initCmd) Help() string {
	return `Writes DIR/waxwing.toml (with a manual for each setting), makes the data directory (DIR/data
unless --data says otherwise) with keys and the first account (postmaster at the domain unless --admin says otherwise),
and prints the account's password and the DNS records to publish. It does not start anything.

Examples:

  waxwing init /etc/waxwing --data /var/lib/waxwing --user waxwing \
      --domain example.org --hostname mx.example.org
  waxwing init /tmp/trial --domain example.org --hostname mx.example.org --tls own-ca --port-base 20000`
}

func (c initCmd) Run(ctx context.Context, s streams) error {
	return app.Init{
		Dir: c.Dir, Data: c.Data, Domain: c.Domain, Hostname: c.Hostname, Admin: c.Admin,
		User: c.User, TLS: c.TLS, Email: c.Email, PortBase: c.PortBase, Out: s.out,
	}.Run(ctx)
}

type serveCmd struct {
	Config string `help:"The configuration file." required:"" placeholder:"FILE" env:"WAXWING_CONFIG"`
}

func (serveCmd) Help() string {
	return `Runs until it is told to stop. SIGTERM stops accepting, lets what is under way come to an end
(30 seconds at most) and closes the store; a second one ends at once, and nothing that was
acknowledged is lost. SIGHUP reads the configuration again; a bad file changes nothing, and the
log says what is wrong with it. Certificate files are noticed by themselves when they change.

Started by root, it opens its ports and then becomes the user that the configuration names.

Example:

  waxwing serve --config /etc/waxwing/waxwing.toml`
}

func (c serveCmd) Run(ctx context.Context, s streams) error {
	return app.Serve(ctx, c.Config, app.Options{Log: s.err, Confine: true})
}

type configCmd struct {
	Check  configCheckCmd  `cmd:"" help:"Say all that is wrong with a configuration file."`
	Sample configSampleCmd `cmd:"" help:"Print a configuration with the manual of each setting."`
}

type configCheckCmd struct {
	Config string `help:"The configuration file." required:"" placeholder:"FILE" env:"WAXWING_CONFIG"`
}

func (configCheckCmd) Help() string {
	return `Names each mistake with its line, and the certificate files and the user that are not there.
Nothing is changed, and a running server does not notice.

Example:

  waxwing config check --config /etc/waxwing/waxwing.toml`
}

func (c configCheckCmd) Run(s streams) error {
	if err := app.Check(c.Config); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s is good\n", c.Config)
	return err
}

type configSampleCmd struct{}

func (configSampleCmd) Run(s streams) error {
	c := config.Default()
	c.Hostname = "mx.example.org"
	_, err := fmt.Fprint(s.out, config.Sample(c))
	return err
}

type versionCmd struct{}

func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "waxwing", app.Version())
	return err
}
