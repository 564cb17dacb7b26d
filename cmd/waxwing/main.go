// Command waxwing is a complete mail system: it receives, sends and keeps mail
// for your domains, and lets mail programs read it.
//
//	waxwing dev                       try everything on this machine
//	waxwing init, waxwing serve       run it for real
//	waxwing domain, account, alias, queue
//	                                  administer a running server
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"waxwing/app/config"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is the command line: one field for each command.
type cli struct {
	Dev     devCmd     `cmd:"" help:"Run a complete system on this machine, to try it."`
	Init    initCmd    `cmd:"" help:"Make a directory for a production server."`
	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Config  configCmd  `cmd:"" help:"Check or show a configuration."`
	Status  statusCmd  `cmd:"" help:"Show what runs."`
	Domain  domainCmd  `cmd:"" help:"Administer the domains that mail is received for."`
	Account accountCmd `cmd:"" help:"Administer accounts and their passwords."`
	Alias   aliasCmd   `cmd:"" help:"Administer addresses that lead to others."`
	Key     keyCmd     `cmd:"" help:"See and steer the keys that sign your mail (DKIM)."`
	DNS     dnsCmd     `cmd:"" name:"dns" help:"Print the DNS records that a domain needs, or check them."`
	Queue   queueCmd   `cmd:"" help:"See and steer mail that is on its way out."`
	Peers   peersCmd   `cmd:"" help:"See who brings mail, and allow or block somebody."`
	Trace   traceCmd   `cmd:"" help:"Tell what became of messages, each step with its reason."`
	Report  reportCmd  `cmd:"" help:"Tell what others report about your mail, and what was reported to them."`
	Import  importCmd  `cmd:"" help:"Bring mail from a Maildir, mbox files or another server."`
	Export  exportCmd  `cmd:"" help:"Write an account's mail to a Maildir or mbox files."`
	Restore restoreCmd `cmd:"" help:"Bring back messages and mailboxes that are gone."`
	Backup  backupCmd  `cmd:"" help:"Copy everything to a directory or a bucket, while the server runs."`
	Verify  verifyCmd  `cmd:"" help:"Check everything that is kept, and repair it."`
	Lookup  lookupCmd  `cmd:"" help:"Find a name in the DNS, and tell whether the answer is proven."`
	Version versionCmd `cmd:"" help:"Show the version."`
}

const description = `A complete mail system: receives, sends and keeps mail for your domains.

To try it on this machine:

  waxwing dev

To run it, and to add somebody:

  waxwing init /etc/waxwing --domain example.org --hostname mx.example.org
  waxwing serve --config /etc/waxwing/waxwing.toml
  waxwing account add ann@example.org

Every command explains itself with --help.`

// An exitCoder is an error with an exit code of its own, which the command's
// help explains.
type exitCoder interface {
	error
	ExitCode() int
}

// exited is how kong tells that it has printed help and is done.
type exited int

// run runs one command and gives the exit code: 0 done, 1 failed, 2 not
// understood.
func run(args []string, in io.Reader, out, errOut io.Writer) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	// The first signal asks to end; the second, with its default effect, does.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)

	var c cli
	parser, err := kong.New(&c,
		kong.Name("waxwing"),
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{in, out, errOut}),
	)
	if err != nil {
		panic(err) // the structs above are wrong
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help": // help for what follows
		args = append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version":
		args[0] = "version"
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(errOut, "waxwing: %v\n", err)
		if problem, ok := errors.AsType[*kong.ParseError](err); ok && problem.Context != nil {
			if at := problem.Context.Selected(); at != nil {
				fmt.Fprintf(errOut, "see: %s --help\n", at.FullPath())
				return 2
			}
		}
		fmt.Fprintln(errOut, "see: waxwing --help")
		return 2
	}
	if err := command.Run(); err != nil {
		if problems, ok := errors.AsType[*config.Problems](err); ok {
			fmt.Fprintln(errOut, problems) // file and line first, for editors
			return 1
		}
		fmt.Fprintf(errOut, "waxwing: %v\n", err)
		if coded, ok := errors.AsType[exitCoder](err); ok {
			return coded.ExitCode()
		}
		return 1
	}
	return 0
}
