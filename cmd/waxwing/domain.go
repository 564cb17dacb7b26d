package main

import (
	"context"
	"errors"
	"fmt"

	"waxwing/serve/adminapi"
)

type domainCmd struct {
	List   domainListCmd   `cmd:"" help:"List all domains."`
	Show   domainShowCmd   `cmd:"" help:"Show one domain."`
	Add    domainAddCmd    `cmd:"" help:"Receive mail for a domain."`
	Set    domainSetCmd    `cmd:"" help:"Change a domain."`
	Delete domainDeleteCmd `cmd:"" help:"Receive no more mail for a domain."`
}

func (domainCmd) Help() string {
	return `Mail is received for addresses in these domains; their MX records must point to this server.

Examples:

  waxwing domain add example.org
  waxwing domain add example.net --catch-all ann@example.org
  waxwing domain list --json`
}

type domainListCmd struct{ lister }

func (c domainListCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		return printList(s, c.JSON, client.Domains(ctx), "no domains", "DOMAIN CATCH-ALL SINCE", func(d adminapi.Domain) []string {
			return []string{d.Name, d.CatchAll, when(d.Created)}
		})
	})
}

type domainShowCmd struct {
	lister
	Name string `arg:"" help:"The domain."`
}

func (c domainShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		d, err := client.Domain(ctx, c.Name)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, d)
		}
		return printFacts(s.out, "domain", d.Name, "catch-all", d.CatchAll, "since", when(d.Created))
	})
}

type domainAddCmd struct {
	server
	Name     string `arg:"" help:"The domain, such as example.org."`
	CatchAll string `help:"Address that gets the mail for addresses which do not exist." placeholder:"ADDRESS"`
}

func (c domainAddCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		d, err := client.AddDomain(ctx, adminapi.Domain{Name: c.Name, CatchAll: c.CatchAll})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "added domain %s\n", d.Name)
		records, err := client.DNS(ctx, d.Name, false)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "\nPublish these DNS records; \"waxwing dns %s --check\" tells what is there of them.\n\n", d.Name)
		printZone(s.out, records)
		return nil
	})
}

type domainSetCmd struct {
	server
	Name     string  `arg:"" help:"The domain."`
	CatchAll *string `help:"Address that gets the mail for addresses which do not exist; \"\" for nobody." placeholder:"ADDRESS"`
}

func (c domainSetCmd) Run(ctx context.Context, s streams) error {
	if c.CatchAll == nil {
		return errors.New("nothing to change; see: waxwing domain set --help")
	}
	return c.with(func(client *adminapi.Client) error {
		d, err := client.ChangeDomain(ctx, c.Name, adminapi.DomainChange{CatchAll: c.CatchAll})
		if err == nil {
			fmt.Fprintf(s.out, "changed domain %s\n", d.Name)
		}
		return err
	})
}

type domainDeleteCmd struct {
	server
	Name string `arg:"" help:"The domain; it must have no accounts and aliases any more."`
}

func (c domainDeleteCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		err := client.DeleteDomain(ctx, c.Name)
		if err == nil {
			fmt.Fprintf(s.out, "deleted domain %s\n", c.Name)
		}
		return err
	})
}
