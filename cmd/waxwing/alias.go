package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"waxwing/serve/adminapi"
)

type aliasCmd struct {
	List   aliasListCmd   `cmd:"" help:"List all aliases."`
	Show   aliasShowCmd   `cmd:"" help:"Show one alias."`
	Add    aliasAddCmd    `cmd:"" help:"Let an address lead to others."`
	Set    aliasSetCmd    `cmd:"" help:"Change an alias."`
	Delete aliasDeleteCmd `cmd:"" help:"Delete an alias."`
}

func (aliasCmd) Help() string {
	return `An alias is an address in one of our domains whose mail goes to other addresses, here or elsewhere.
Who is behind it may also send as it; not so for a group, which is a list of people.

Examples:

  waxwing alias add sales@example.org ann@example.org
  waxwing alias add team@example.org ann@example.org bob@example.org --group
  waxwing alias set team@example.org --target ann@example.org --target eve@example.org`
}

type aliasListCmd struct{ lister }

func (c aliasListCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		return printList(s, c.JSON, client.Aliases(ctx), "no aliases", "ALIAS GROUP TARGETS", func(a adminapi.Alias) []string {
			return []string{a.Address, yes(a.Group), strings.Join(a.Targets, " ")}
		})
	})
}

type aliasShowCmd struct {
	lister
	Address string `arg:"" help:"The alias."`
}

func (c aliasShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		a, err := client.Alias(ctx, c.Address)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, a)
		}
		return printFacts(s.out, "alias", a.Address, "targets", strings.Join(a.Targets, " "),
			"group", yes(a.Group), "note", a.Note, "since", when(a.Created))
	})
}

type aliasAddCmd struct {
	server
	Address string   `arg:"" help:"The new address."`
	Targets []string `arg:"" help:"Where its mail goes."`
	Group   bool     `help:"A list of people, who may not send as the address."`
	Note    string   `help:"What it is for." placeholder:"TEXT"`
}

func (c aliasAddCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		a, err := client.AddAlias(ctx, adminapi.NewAlias{Address: c.Address, Targets: c.Targets, Group: c.Group, Note: c.Note})
		if err == nil {
			fmt.Fprintf(s.out, "added alias %s to %s\n", a.Address, strings.Join(a.Targets, " "))
		}
		return err
	})
}

type aliasSetCmd struct {
	server
	Address string   `arg:"" help:"The alias."`
	Target  []string `help:"Where its mail goes, in place of what was; may be given several times." placeholder:"ADDRESS"`
	Group   *bool    `help:"A list of people, who may not send as the address." negatable:""`
	Note    *string  `help:"What it is for." placeholder:"TEXT"`
}

func (c aliasSetCmd) Run(ctx context.Context, s streams) error {
	change := adminapi.AliasChange{Group: c.Group, Note: c.Note}
	if len(c.Target) > 0 {
		change.Targets = &c.Target
	}
	if change == (adminapi.AliasChange{}) {
		return errors.New("nothing to change; see: waxwing alias set --help")
	}
	return c.with(func(client *adminapi.Client) error {
		a, err := client.ChangeAlias(ctx, c.Address, change)
		if err == nil {
			fmt.Fprintf(s.out, "changed alias %s\n", a.Address)
		}
		return err
	})
}

type aliasDeleteCmd struct {
	server
	Address string `arg:"" help:"The alias."`
}

func (c aliasDeleteCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		err := client.DeleteAlias(ctx, c.Address)
		if err == nil {
			fmt.Fprintf(s.out, "deleted alias %s\n", c.Address)
		}
		return err
	})
}
