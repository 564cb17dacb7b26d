package main

import (
	"context"
	"fmt"

	"waxwing/app/migrate"
	"waxwing/mail"
	"waxwing/serve/adminapi"
)

type exportCmd struct {
	server
	Account string   `help:"The address of the account." required:"" placeholder:"ADDRESS"`
	To      string   `help:"The directory to write to; it is made if there is none. Or a live server: imaps://user@host." required:"" placeholder:"TO"`
	Format  string   `help:"What to write to a directory: maildir, mbox (${default})." enum:"maildir,mbox" default:"maildir"`
	Mailbox []string `help:"Export only this mailbox and those below it; may be given again, and \"*\" stands for anything." placeholder:"NAME"`
	Exclude []string `help:"Leave out this mailbox and those below it; as --mailbox." placeholder:"NAME"`
	JSON    bool     `help:"Print the summary as JSON, for programs."`
	serverLogin
}

func (exportCmd) Help() string {
	return `Writes an account's mail with its flags, keywords and dates to files that other programs read,
and that "waxwing import" brings back as they were, or to another server. Run again, it adds what is
new and carries over changed flags; it deletes nothing. When it has ended well everything is on the
disk.

  maildir   a Maildir with folders beside (Maildir++), as Dovecot, Courier, mutt and mbsync have it
  mbox      one file for each mailbox (mboxrd), as every mail program can read it

With --to imaps://user@host (or imap://, the same with STARTTLS) it goes into that account of a live
server. Mailboxes are made there as they are needed; Sent, Drafts, Junk, Trash and Archive go to what
the server has for that. A message that the mailbox there already has, by date and size or by date and
Message-ID, is not sent again. Flags are added there and none taken away.

Exit status: 0 all is there, 3 some messages are damaged here or were not taken there (each with its
reason), 1 it did not come to the end; run the same again to go on.

Examples:

  waxwing export --account ann@example.org --to /srv/archive/ann
  waxwing export --account ann@example.org --to ~/mail --format mbox --mailbox Archive
  waxwing export --account ann@example.org --to imaps://ann@new.example.com --password-file pw`
}

func (c exportCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		show := newProgress(s, c.JSON)
		ex := migrate.Export{
			Client: client, Account: c.Account, Dir: c.To, Mbox: c.Format == "mbox", Only: c.Mailbox, Exclude: c.Exclude,
			Progress: show.tell,
		}
		if migrate.IsServer(c.To) {
			o, err := c.options(s)
			if err != nil {
				return err
			}
			if ex.Server, err = migrate.OpenServer(ctx, c.To, o); err != nil {
				return err
			}
			defer ex.Server.Close()
		}
		sum, err := ex.Run(ctx)
		show.end()
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(s.out, sum)
		} else {
			err = printExported(s, sum)
		}
		if err == nil && sum.Failed > 0 {
			err = partly{sum.Failed, "exported"}
		}
		return err
	})
}

// printExported says what has been done.
func printExported(s streams, sum *migrate.ExportSummary) error {
	for _, f := range sum.Failures {
		fmt.Fprintf(s.err, "not exported: %s: %s: %s\n", printable(f.Folder), printable(f.Which), printable(f.Reason))
	}
	facts := []string{
		"exported", fmt.Sprintf("%d messages, %v, from %d mailboxes", sum.Exported, mail.ByteCount(sum.Octets), sum.Mailboxes),
		"already there", fmt.Sprint(sum.There),
	}
	if sum.Flags > 0 {
		facts = append(facts, "flags changed", fmt.Sprint(sum.Flags))
	}
	if sum.Failed > 0 {
		facts = append(facts, "failed", fmt.Sprint(sum.Failed))
	}
	return printFacts(s.out, facts...)
}
