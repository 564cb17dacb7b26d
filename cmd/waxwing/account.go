package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"waxwing/app/config"
	"waxwing/mail"
	"waxwing/serve/adminapi"
)

type accountCmd struct {
	List     accountListCmd     `cmd:"" help:"List all accounts."`
	Show     accountShowCmd     `cmd:"" help:"Show one account and how full it is."`
	Add      accountAddCmd      `cmd:"" help:"Make an account."`
	Set      accountSetCmd      `cmd:"" help:"Change an account."`
	Password accountPasswordCmd `cmd:"" help:"Set a new password."`
	Pause    accountPauseCmd    `cmd:"" help:"Keep an account from sending."`
	Resume   accountResumeCmd   `cmd:"" help:"Let a paused account send again."`
	Reindex  accountReindexCmd  `cmd:"" help:"Build the search index of an account anew."`
	Delete   accountDeleteCmd   `cmd:"" help:"Delete an account and its mail."`
}

func (accountCmd) Help() string {
	return `An account is somebody with mailboxes and a password. The login name is the address.

Examples:

  waxwing account add ann@example.org --name "Ann Example"
  waxwing account set ann@example.org --quota 5GB
  waxwing account password ann@example.org
  waxwing account set ann@example.org --disabled`
}

type accountListCmd struct{ lister }

func (c accountListCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		return printList(s, c.JSON, client.Accounts(ctx), "no accounts", "ACCOUNT ADMIN DISABLED PAUSED QUOTA USED DELETED NAME", func(a adminapi.Account) []string {
			return []string{a.Address, yes(a.Admin), yes(a.Disabled), yes(a.Paused != ""), quota(a.Quota), octets(a.Used), octets(a.Lost), a.Name}
		})
	})
}

func quota(n int64) string {
	if n == 0 {
		return "default"
	}
	return config.Size(n).String()
}

// octets says how much something holds, where that is known.
func octets(n *int64) string {
	if n == nil {
		return ""
	}
	return mail.ByteCount(*n).String()
}

type accountShowCmd struct {
	lister
	Address string `arg:"" help:"The account's address."`
}

func (c accountShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		a, err := client.Account(ctx, c.Address)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, a)
		}
		facts := []string{
			"account", a.Address, "id", a.ID, "name", a.Name, "admin", yes(a.Admin),
			"disabled", yes(a.Disabled), "sending paused", a.Paused, "moved to", a.Moved, "quota", quota(a.Quota), "since", when(a.Created),
		}
		if a.Used != nil && a.Messages != nil {
			facts = append(facts, "used", octets(a.Used), "messages", strconv.Itoa(*a.Messages),
				"deleted", octets(a.Lost)+" can be brought back", "keep deleted", quota(a.Recoverable))
		}
		return printFacts(s.out, facts...)
	})
}

// size is a flag in the configuration's units.
type size config.Size

// UnmarshalText implements encoding.TextUnmarshaler.
func (z *size) UnmarshalText(text []byte) error { return (*config.Size)(z).UnmarshalText(text) }

type accountAddCmd struct {
	server
	passwordFlags
	Address string `arg:"" help:"The address, which is also the login name."`
	Name    string `help:"The owner's name, for people." placeholder:"NAME"`
	Admin   bool   `help:"The account may administer; the first of them gets mail for postmaster and abuse."`
	Quota   size   `help:"The most that its mailboxes may hold, such as 5GB." placeholder:"SIZE"`
}

func (accountAddCmd) Help() string {
	return `The password is asked for at a terminal, or generated with --generate (and printed once), or read
from standard input with --password-stdin. It never stands on the command line, where others
could see it.

Examples:

  waxwing account add ann@example.org --generate
  pass show mail/ann | waxwing account add ann@example.org --password-stdin`
}

func (c accountAddCmd) Run(ctx context.Context, s streams) error {
	if _, err := mail.ParseAddress(c.Address); err != nil { // before anybody types a password
		return fmt.Errorf("%q is not a mail address: %w", c.Address, err)
	}
	return c.with(func(client *adminapi.Client) error {
		password, err := c.password(s)
		if err != nil {
			return err
		}
		a, err := client.AddAccount(ctx, adminapi.NewAccount{
			Address: c.Address, Name: c.Name, Admin: c.Admin, Quota: int64(c.Quota), Password: password,
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "added account %s\n", a.Address)
		showPassword(s, a)
		return nil
	})
}

func showPassword(s streams, a adminapi.Account) {
	if a.Password != "" {
		fmt.Fprintf(s.out, "password %s\n", a.Password)
	}
}

type accountSetCmd struct {
	server
	Address  string  `arg:"" help:"The account's address."`
	Name     *string `help:"The owner's name, for people." placeholder:"NAME"`
	Admin    *bool   `help:"The account may administer." negatable:""`
	Disabled *bool   `help:"The account cannot log in; its mail still arrives." negatable:""`
	Quota    *size   `help:"The most that its mailboxes may hold, such as 5GB; 0 for the server's default." placeholder:"SIZE"`

	Recoverable *size `help:"How much deleted mail is kept to be brought back, such as 5GB; 0 for the server's default." placeholder:"SIZE"`

	Moved *string `help:"The server that mail programs are referred to because the account's mail is there; empty for none." placeholder:"HOST[:PORT]"`
}

func (c accountSetCmd) Run(ctx context.Context, s streams) error {
	change := adminapi.AccountChange{Name: c.Name, Admin: c.Admin, Disabled: c.Disabled, Moved: c.Moved}
	if c.Quota != nil {
		n := int64(*c.Quota)
		change.Quota = &n
	}
	if c.Recoverable != nil {
		n := int64(*c.Recoverable)
		change.Recoverable = &n
	}
	if change == (adminapi.AccountChange{}) {
		return errors.New("nothing to change; see: waxwing account set --help")
	}
	return c.with(func(client *adminapi.Client) error {
		a, err := client.ChangeAccount(ctx, c.Address, change)
		if err == nil {
			fmt.Fprintf(s.out, "changed account %s\n", a.Address)
		}
		return err
	})
}

type accountPasswordCmd struct {
	server
	passwordFlags
	Address string `arg:"" help:"The account's address."`
}

func (c accountPasswordCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		password, err := c.password(s)
		if err != nil {
			return err
		}
		a, err := client.SetPassword(ctx, c.Address, password)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "changed the password of %s\n", a.Address)
		showPassword(s, a)
		return nil
	})
}

type accountReindexCmd struct {
	server
	Address string `arg:"" help:"The account's address."`
}

func (accountReindexCmd) Help() string {
	return `The search index holds nothing that is not in the mail itself: it can be thrown away at any time,
and is built anew as soon as somebody reads the account's mail. Until then searching takes longer,
and finds the same.`
}

func (c accountReindexCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		err := client.DropIndex(ctx, c.Address)
		if err == nil {
			fmt.Fprintf(s.out, "the search index of %s will be built anew\n", c.Address)
		}
		return err
	})
}

type accountDeleteCmd struct {
	server
	Address string `arg:"" help:"The account's address; no alias may lead to it any more."`
	Yes     bool   `help:"Do not ask."`
}

func (c accountDeleteCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		if !c.Yes {
			if err := confirm(s, fmt.Sprintf("Delete %s and all its mail? It cannot be brought back.", c.Address)); err != nil {
				return err
			}
		}
		err := client.DeleteAccount(ctx, c.Address)
		if err == nil {
			fmt.Fprintf(s.out, "deleted account %s\n", c.Address)
		}
		return err
	})
}
