package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"waxwing/serve/adminapi"
)

type keyCmd struct {
	List   keyListCmd   `cmd:"" help:"List the keys, and what is to be done about each."`
	Show   keyShowCmd   `cmd:"" help:"Show one key, with the record to publish."`
	Add    keyAddCmd    `cmd:"" help:"Make new keys before their time."`
	Use    keyUseCmd    `cmd:"" help:"Sign with a key from now on."`
	Remove keyRemoveCmd `cmd:"" help:"Forget a key."`
}

func (keyCmd) Help() string {
	return `Mail from your domains is signed (DKIM), so that others can tell that it is yours. A signature can be
checked by a record in the DNS, which you publish; each domain has two keys, RSA and Ed25519.

The life of a key goes by itself:

  made        its record is to be published; the server looks for it every few minutes
  published   the record is seen, and the key signs soon
  used        it signs; half a year later its successor is made
  retired     it signs no more; its record stays until mail that it has signed has arrived

Keys are made when a domain is added. Nothing is signed before a record is seen in the DNS.

The keys of the server's own certificates ("tls...") live the same way, for TLSA records (DANE): certificates
are renewed with the key in use, and the next one, which is made ahead, follows a year later if its
record is there by then.

Examples:

  waxwing key list
  waxwing key list --domain example.org --json
  waxwing key show 20261122r --domain example.org
  waxwing key add --domain example.org        when a key may have been stolen: publish the
                                              new records, then remove the old keys`
}

type keyListCmd struct {
	lister
	Domain string `help:"Only the keys of this domain." placeholder:"DOMAIN"`
}

func (c keyListCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.Keys(ctx, c.Domain)
		if err == nil && c.Domain == "" {
			var server []adminapi.SigningKey
			server, err = client.ServerKeys(ctx)
			all = append(all, server...)
		}
		if err != nil {
			return err
		}
		list := func(yield func(adminapi.SigningKey, error) bool) {
			for _, k := range all {
				if !yield(k, nil) {
					return
				}
			}
		}
		return printList(s, c.JSON, list, "no keys", "DOMAIN SELECTOR ALGORITHM STATE TO-DO", func(k adminapi.SigningKey) []string {
			return []string{k.Domain, k.Selector, k.Algorithm, k.State, k.ToDo}
		})
	})
}

// keyNamed is a key by its selector.
type keyNamed struct {
	Selector string `arg:"" help:"The key's selector, as \"waxwing key list\" shows it."`
	Domain   string `help:"The key's domain; needed only if several have such a key." placeholder:"DOMAIN"`
}

// ofServer tells whether a key of the server's certificates is meant.
func (n keyNamed) ofServer() bool { return strings.HasPrefix(n.Selector, "tls") && n.Domain == "" }

// find gives the one key that is meant.
func (n keyNamed) find(ctx context.Context, client *adminapi.Client) (adminapi.SigningKey, error) {
	all, err := client.Keys(ctx, n.Domain)
	if n.ofServer() {
		all, err = client.ServerKeys(ctx)
	}
	if err != nil {
		return adminapi.SigningKey{}, err
	}
	var found []adminapi.SigningKey
	for _, k := range all {
		if k.Selector == n.Selector {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return adminapi.SigningKey{}, fmt.Errorf("there is no key %s; see: waxwing key list", n.Selector)
	case 1:
		return found[0], nil
	}
	return adminapi.SigningKey{}, fmt.Errorf("several domains have a key %s: name one with --domain, such as %s", n.Selector, found[0].Domain)
}

type keyShowCmd struct {
	lister
	keyNamed
}

func (c keyShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		k, err := c.find(ctx, client)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, k)
		}
		facts := []string{"domain", k.Domain, "selector", k.Selector, "algorithm", k.Algorithm, "state", k.State, "to do", k.ToDo, "made", when(k.Made)}
		if k.Published != nil {
			facts = append(facts, "published", when(*k.Published))
		}
		if k.Used != nil {
			facts = append(facts, "used since", when(*k.Used))
		}
		if k.Retired != nil {
			facts = append(facts, "retired", when(*k.Retired))
		}
		return printFacts(s.out, append(facts, "name", k.Name, "type", k.Type, "record", k.Record)...)
	})
}

type keyAddCmd struct {
	server
	Domain string `help:"The domain." placeholder:"DOMAIN" required:""`
}

func (c keyAddCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		added, err := client.AddKeys(ctx, c.Domain)
		if err != nil {
			return err
		}
		for _, k := range added {
			fmt.Fprintf(s.out, "made %s (%s); publish:\n%s\n", k.Selector, k.Algorithm, txtLine(k.Name+".", k.Record))
		}
		return nil
	})
}

type keyUseCmd struct {
	server
	keyNamed
}

func (keyUseCmd) Help() string {
	return `Signs with the key at once, whether its record was seen in the DNS or not, and retires the one that it
replaces. Where the record is not there yet, others take the mail for forged.

A key of certificates ("tls...") is used as soon as its TLSA record has been in the DNS for long enough, or
if there are no such records: a certificate with it is then fetched before the other one ends.`
}

func (c keyUseCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		k, err := c.find(ctx, client)
		if err == nil && c.ofServer() {
			if err = client.UseServerKey(ctx, k.Selector); err == nil {
				fmt.Fprintf(s.out, "a certificate with %s is fetched as soon as its TLSA record has been seen for long enough; see: waxwing key show %s\n", k.Selector, k.Selector)
			}
			return err
		}
		if err == nil {
			err = client.UseKey(ctx, k.Domain, k.Selector)
		}
		if err == nil {
			fmt.Fprintf(s.out, "mail from %s is signed with %s now\n", k.Domain, k.Selector)
		}
		return err
	})
}

type keyRemoveCmd struct {
	server
	keyNamed
}

func (keyRemoveCmd) Help() string {
	return `Forgets a key, which signs no more. If the domain has no other of its kind, a new one is made before long.
Remove its record from the DNS too if the key may have been stolen; else when its mail has arrived.`
}

func (c keyRemoveCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		if c.ofServer() {
			return errors.New("keys of certificates are not removed by hand: use the next one, and this one goes")
		}
		k, err := c.find(ctx, client)
		if err == nil {
			err = client.RemoveKey(ctx, k.Domain, k.Selector)
		}
		if err == nil {
			fmt.Fprintf(s.out, "removed %s; its record was %s\n", k.Selector, k.Name)
		}
		return err
	})
}
