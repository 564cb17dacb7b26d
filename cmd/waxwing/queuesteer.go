package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"waxwing/mail"
	"waxwing/serve/adminapi"
)

type queueDestinationsCmd struct{ lister }

func (queueDestinationsCmd) Help() string {
	return `One line for each domain that mail waits for, the most first, with what was last said of it.

Example:

  waxwing queue destinations`
}

func (c queueDestinationsCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.Destinations(ctx)
		return printList(s, c.JSON, each(all, err), "the queue is empty", "DOMAIN MESSAGES SIZE TRIED HELD OLDEST NEXT-TRY LAST-ANSWER",
			func(d adminapi.QueueDestination) []string {
				name, next := d.Domain, "never"
				if name == "" {
					name = "(others)"
				}
				if !d.Next.IsZero() {
					next = "now"
					if left := time.Until(d.Next); left > 0 {
						next = "in " + left.Round(time.Second).String()
					}
				}
				return []string{
					name, strconv.FormatInt(d.Items, 10), mail.ByteCount(d.Octets).String(), strconv.FormatInt(d.Deferred, 10),
					strconv.FormatInt(d.Held, 10), when(d.Oldest), next, d.Said,
				}
			})
	})
}

// each makes a sequence of a list, or of the error in its place.
func each[T any](all []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		for _, item := range all {
			if !yield(item, nil) {
				return
			}
		}
	}
}

type queueRerouteCmd struct {
	Way string `arg:"" help:"Where to: smtp:HOST[:PORT], smtps:HOST, mx:DOMAIN, lmtp:HOST:PORT, unix:/PATH, direct (as DNS says), or ordinary (as it is configured)."`
	queueItems
}

func (queueRerouteCmd) Help() string {
	return `The messages are tried at once, and go that way until they are rerouted again.

Examples:

  waxwing queue reroute smtp:backup.example.net q10000000002f
  waxwing queue reroute mx:example.net --all --domain example.com
  waxwing queue reroute ordinary --all`
}

func (c queueRerouteCmd) Run(ctx context.Context, s streams) error {
	way := c.Way
	if way == "ordinary" {
		way = ""
	}
	return c.each(ctx, s, "rerouted", func(client *adminapi.Client, id string) error { return client.Reroute(ctx, id, way) })
}

type queueReaddressCmd struct {
	server
	ID  string `arg:"" help:"The item, as in the list."`
	Old string `arg:"" help:"The recipient's address as it is."`
	To  string `arg:"" help:"The address to put in its place."`
}

func (queueReaddressCmd) Help() string {
	return `The message is then tried at once. Its text does not change.

Example:

  waxwing queue readdress q10000000002f bob@exampel.com bob@example.com`
}

func (c queueReaddressCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		if err := client.EditRecipient(ctx, c.ID, c.Old, c.To); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s goes to %s now\n", c.ID, c.To)
		return nil
	})
}

type queueFreezeCmd struct {
	server
	Name    string `arg:"" help:"A name for the rule."`
	From    string `help:"Messages whose sender contains this." placeholder:"TEXT"`
	To      string `help:"Messages with a recipient that contains this." placeholder:"TEXT"`
	Account string `help:"Messages that this account submits." placeholder:"ADDRESS"`
	Reason  string `help:"Why, for those who wonder." placeholder:"TEXT"`
}

func (queueFreezeCmd) Help() string {
	return `What fits all that is given is held, and what comes later, too, until the rule is removed. It survives restarts.

Examples:

  waxwing queue freeze moving --to @example.com --reason "they are moving house"
  waxwing queue thaw moving`
}

func (c queueFreezeCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		changed, err := client.Freeze(ctx, adminapi.QueueFreeze{Name: c.Name, From: c.From, To: c.To, Account: c.Account, Reason: c.Reason})
		if err == nil {
			fmt.Fprintf(s.out, "held %d\n", changed.Items)
		}
		return err
	})
}

type queueFreezesCmd struct{ lister }

func (c queueFreezesCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.Freezes(ctx)
		return printList(s, c.JSON, each(all, err), "no rule holds messages", "RULE FROM TO ACCOUNT SINCE REASON", func(f adminapi.QueueFreeze) []string {
			return []string{f.Name, f.From, f.To, cmp.Or(f.Owner, f.Account), when(f.Created), f.Reason}
		})
	})
}

type queueThawCmd struct {
	server
	Name string `arg:"" help:"The rule's name."`
}

func (c queueThawCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		changed, err := client.Thaw(ctx, c.Name)
		if err == nil {
			fmt.Fprintf(s.out, "released %d\n", changed.Items)
		}
		return err
	})
}
