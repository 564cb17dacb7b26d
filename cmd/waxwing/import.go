package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"waxwing/app/migrate"
	"waxwing/format/mbox"
	"waxwing/mail"
	"waxwing/serve/adminapi"
)

// serverLogin is how another server is reached.
type serverLogin struct {
	PasswordFile string `help:"File whose first line is the password at the other server; asked for without." placeholder:"FILE" xor:"login"`
	TokenFile    string `help:"File whose first line is an OAuth 2.0 access token for the other server." placeholder:"FILE" xor:"login"`
	CA           string `help:"File with the certificates that the other server's is checked with, instead of the system's." name:"ca" placeholder:"FILE"`
	Insecure     bool   `help:"Also without TLS, or whatever the certificate: everybody on the way can read along."`
}

type importCmd struct {
	server
	Account    string   `help:"The address of the account that the mail is for." required:"" placeholder:"ADDRESS"`
	From       string   `arg:"" help:"A Maildir, an mbox file, a directory with mbox files, or imaps://user@host." placeholder:"FROM"`
	Mailbox    []string `help:"Import only this folder and those below it; may be given again, and \"*\" stands for anything." placeholder:"NAME"`
	Exclude    []string `help:"Leave out this folder and those below it; as --mailbox." placeholder:"NAME"`
	Into       string   `help:"Put everything below this mailbox." placeholder:"PREFIX"`
	Since      string   `help:"Leave out what is older than this day, such as 2024-12-31." placeholder:"DATE"`
	MaxSize    size     `help:"Leave out messages that are larger, such as 25MB." placeholder:"SIZE"`
	MboxFormat string   `help:"How mbox files keep messages apart (${default}): auto, mboxrd, mboxo, mboxcl, mboxcl2." enum:"auto,mboxrd,mboxo,mboxcl,mboxcl2" default:"auto"`
	KeepFlags  bool     `help:"Do not carry over flags that have changed at the source since the last import."`
	Delete     bool     `help:"Delete what was imported before and the source has deleted since."`
	DryRun     bool     `help:"Only say what would be done."`
	JSON       bool     `help:"Print the summary as JSON, for programs."`
	serverLogin
}

func (importCmd) Help() string {
	return `Brings mail with its folders, flags, keywords and dates into an account of the running server.

It can be run again at any time, also after it was interrupted: what has been imported before is
known by where it came from, and is not imported again, even if it was moved or deleted here
since. Flags that have changed at the source are carried over. What came to the account by another
way (the same Message-ID and text) is not imported twice either. The source is only read.

FROM is one of:

  a Maildir             also with folders as Maildir++ or Dovecot's "fs" layout has them
  an mbox file          also those of Google Takeout, whose labels become mailboxes
  a directory           of mbox files, such as "Mail/Local Folders" of a Thunderbird profile
  imaps://user@host     a live server; a user name with an @ is fine: imaps://ann@example.com@host
  imap://user@host      the same with STARTTLS

Exit status: 0 all is there, 3 some messages could not be imported (each with its reason), 1 it
did not come to the end.

Examples:

  waxwing import --account ann@example.org /home/ann/Maildir
  waxwing import --account ann@example.org --dry-run imaps://ann@old.example.com
  waxwing import --account ann@example.org --into Old ~/.thunderbird/x.default/Mail/"Local Folders"
  waxwing import --account ann@example.org --mailbox INBOX --since 2024-01-01 /var/mail/ann`
}

// partly says that some messages are missing; it has an exit status of its
// own.
type partly struct {
	failed int
	what   string // was to be done
}

func (p partly) Error() string {
	if p.failed == 1 {
		return "one message could not be " + p.what
	}
	return fmt.Sprintf("%d messages could not be %s", p.failed, p.what)
}

// ExitCode is the program's exit status.
func (partly) ExitCode() int { return 3 }

func (c importCmd) Run(ctx context.Context, s streams) error {
	im := migrate.Import{
		Account: c.Account, Into: strings.Trim(c.Into, "/"), Only: c.Mailbox, Exclude: c.Exclude,
		KeepFlags: c.KeepFlags, Delete: c.Delete, DryRun: c.DryRun, MaxSize: int64(c.MaxSize),
	}
	if c.Since != "" {
		var err error
		if im.Since, err = time.ParseInLocation(time.DateOnly, c.Since, time.Local); err != nil {
			return fmt.Errorf("--since: %q is not a day such as 2024-12-31", c.Since)
		}
	}
	return c.with(func(client *adminapi.Client) error {
		if _, err := client.Account(ctx, c.Account); err != nil {
			return err
		}
		o, err := c.options(s)
		if err != nil {
			return err
		}
		o.MboxFormat = mbox.Format(c.MboxFormat)
		source, err := migrate.Open(ctx, c.From, o)
		if err != nil {
			return err
		}
		defer source.Close()
		show := newProgress(s, c.JSON)
		im.Client, im.Source, im.Progress = client, source, show.tell
		summary, err := im.Run(ctx)
		show.end()
		if c.JSON {
			err = errors.Join(err, printJSON(s.out, summary))
		} else {
			printImported(s, summary, c.DryRun)
		}
		switch {
		case errors.Is(err, migrate.ErrFull):
			return fmt.Errorf("%w; give it more room and run the same again: waxwing account set %s --quota SIZE", err, c.Account)
		case err != nil:
			return fmt.Errorf("%w\nRun the same again to go on where it stopped", err)
		case summary.Failed > 0:
			return partly{summary.Failed, "imported"}
		}
		return nil
	})
}

// printImported says what has been done.
func printImported(s streams, sum *migrate.Summary, dry bool) {
	for _, note := range sum.Notes {
		fmt.Fprintln(s.err, "note:", printable(note))
	}
	for _, f := range sum.Failures {
		fmt.Fprintf(s.err, "not imported: %s: %s: %s\n", printable(f.Folder), printable(f.Which), printable(f.Reason))
	}
	done := "imported"
	if dry {
		done = "would import"
	}
	facts := []string{
		done, fmt.Sprintf("%d messages, %v, from %d folders", sum.Imported, mail.ByteCount(sum.Octets), sum.Folders),
		"already there", fmt.Sprint(sum.There),
	}
	for _, f := range []struct {
		what string
		n    int
	}{{"flags changed", sum.Flags}, {"deleted", sum.Deleted}, {"left out", sum.Left}, {"failed", sum.Failed}} {
		if f.n > 0 {
			facts = append(facts, f.what, fmt.Sprint(f.n))
		}
	}
	_ = printFacts(s.out, facts...)
}

// options are for what connects to it.
func (l serverLogin) options(s streams) (o migrate.OpenOptions, err error) {
	o = migrate.OpenOptions{CA: l.CA, Insecure: l.Insecure, Password: l.password(s)}
	if l.TokenFile != "" {
		o.Token, err = firstLine(l.TokenFile)
	}
	return o, err
}

// password asks for the password at the other server.
func (l serverLogin) password(s streams) func(user, host string) (string, error) {
	return func(user, host string) (string, error) {
		if l.PasswordFile != "" {
			return firstLine(l.PasswordFile)
		}
		terminal, ok := s.in.(*os.File)
		if !ok || !term.IsTerminal(int(terminal.Fd())) {
			return "", errors.New("no terminal to ask for the password; use --password-file")
		}
		return ask(s, terminal, fmt.Sprintf("Password of %s at %s: ", user, host))
	}
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", fmt.Errorf("%s: the first line is empty", path)
	}
	return line, nil
}

// A progress shows how far it is: on a terminal in one line that changes,
// otherwise in a line for each folder.
type progress struct {
	out      io.Writer
	terminal bool
	silent   bool
	last     string
	shown    time.Time
}

func newProgress(s streams, asJSON bool) *progress {
	p := &progress{out: s.err, silent: asJSON}
	if f, ok := s.err.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

func (p *progress) tell(t migrate.Progress) {
	switch {
	case p.silent:
	case p.terminal:
		if t.Folder == p.last && time.Since(p.shown) < 100*time.Millisecond && t.Done < t.Total {
			return
		}
		fmt.Fprintf(p.out, "\r\x1b[K%s  %d of %d", printable(t.Folder), t.Done, t.Total)
	case t.Folder != p.last:
		fmt.Fprintln(p.out, printable(t.Folder))
	}
	p.last, p.shown = t.Folder, time.Now()
}

func (p *progress) end() {
	if p.terminal && !p.silent && p.last != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
