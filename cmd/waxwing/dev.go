package main

import (
	"context"
	"os"
	"time"

	"waxwing/app"
	"waxwing/app/config"
)

// A duration is a flag in the configuration's units.
type duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := config.ParseDuration(string(text))
	d.Duration = v.Std()
	return err
}

type devCmd struct {
	Dir         string   `help:"Directory for mail and keys; it is made if there is none (${default})." default:"waxwing-dev" placeholder:"DIR"`
	PortBase    int      `help:"Added to each service's well-known port: SMTP is on N+25, IMAP on N+143 and so on (${default})." default:"10000" placeholder:"N"`
	Hostname    string   `help:"What this server calls itself (${default}); two that send each other mail need two names." default:"mail.example.test" placeholder:"NAME"`
	Resolver    string   `help:"Ask this DNS server instead of those in /etc/resolv.conf." placeholder:"HOST:PORT"`
	SMTPOutPort int      `help:"Call other mail servers on this port instead of ${default}." name:"smtp-out-port" default:"25" placeholder:"P"`
	Retry       duration `help:"How long to wait before a first failed delivery is tried again (${default})." default:"5m" placeholder:"DUR"`
	Store       string   `help:"The storage engine, 'pebble:' or 'postgres://...' (${default})." default:"pebble:" placeholder:"URL"`

	Blobs            string `help:"Where large bodies are kept, 'files:' or 's3://BUCKET/PREFIX' (${default})." default:"files:" placeholder:"URL"`
	BlobsEndpoint    string `help:"The S3 server, such as http://127.0.0.1:9000." placeholder:"URL"`
	BlobsCredentials string `help:"A file with the credentials for S3, in the form of ~/.aws/credentials." placeholder:"FILE"`

	TakeOver duration `help:"After how long a server takes over what another on the same database was delivering when it died (${default})." default:"1m" placeholder:"DUR"`
}

func (devCmd) Help() string {
	return `Everything listens on 127.0.0.1 only. The domain is example.test, with the accounts
alice@example.test and bob@example.test, both with the password "waxwing". Certificates are
signed by an authority of its own, DIR/ca.pem; logins without TLS are allowed, too.

Services: SMTP N+25, POP3 N+110, IMAP N+143, HTTPS N+443, submission N+465 (TLS) and N+587
(STARTTLS), IMAPS N+993, POP3S N+995. When all are up it prints "waxwing dev ready". Nothing
listens on N+4190 (ManageSieve) yet.

Examples:

  waxwing dev
  waxwing dev --dir /tmp/try --port-base 20000
  waxwing account list --dir /tmp/try`
}

func (c devCmd) Run(ctx context.Context, s streams) error {
	return app.Dev{
		Dir: c.Dir, PortBase: c.PortBase, Hostname: c.Hostname, Resolver: c.Resolver, SMTPOutPort: c.SMTPOutPort,
		Retry: c.Retry.Duration, Store: c.Store,
		Blobs: config.Blobs{URL: c.Blobs, Endpoint: c.BlobsEndpoint, Credentials: c.BlobsCredentials}, TakeOver: c.TakeOver.Duration,
		Program: os.Args[0], Out: s.out, Log: s.err,
	}.Run(ctx)
}
