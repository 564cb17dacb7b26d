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
	To      string   `help:"The directory to write to; it is made if there is none." required:"" placeholder:"DIR"`
	Format  string   `help:"What to write: maildir, mbox (${default})." enum:"maildir,mbox" default:"maildir"`
	Mailbox []string `help:"Export only this mailbox and those below it; may be given again, and \"*\" stands for anything." placeholder:"NAME"`
	Exclude []string `help:"Leave out this mailbox and those below it; as --mailbox." placeholder:"NAME"`
	JSON    bool     `help:"Print the summary as JSON, for programs."`
}

func (exportCmd) Help() string {
	return `Writes an account's mail with its flags, keywords and dates to files that other programs read,
and that "waxwing import" brings back as they were. Run again, it adds what is new and carries over
changed flags; it deletes nothing. When it has ended well everything is on the disk.

  maildir   a Maildir with folders beside (Maildir++), as Dovecot, Courier, mutt and mbsync have it
  mbox      one file for each mailbox (mboxrd), as every mail program can read it

Examples:

  waxwing export --account ann@example.org --to /srv/archive/ann
  waxwing export --account ann@example.org --to ~/mail --format mbox --mailbox Archive`
}

func (c exportCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		show := newProgress(s, c.JSON)
		ex := migrate.Export{
			Client: client, Account: c.Account, Dir: c.To, Mbox: c.Format == "mbox", Only: c.Mailbox, Exclude: c.Exclude,
			Progress: show.tell,
		}
		sum, err := ex.Run(ctx)
		show.end()
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, sum)
		}
		facts := []string{
			"exported", fmt.Sprintf("%d messages, %v, from %d mailboxes", sum.Exported, mail.ByteCount(sum.Octets), sum.Mailboxes),
			"already there", fmt.Sprint(sum.There),
		}
		if sum.Flags > 0 {
			facts = append(facts, "flags changed", fmt.Sprint(sum.Flags))
		}
		return printFacts(s.out, facts...)
	})
}
