package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"waxwing/serve/adminapi"
)

type peersCmd struct {
	List   peersListCmd   `cmd:"" help:"List hosts that bring mail, and what they have done lately."`
	Show   peersShowCmd   `cmd:"" help:"Show what is known of one, and what it would meet now."`
	Allow  peersAllowCmd  `cmd:"" help:"Let somebody in, whatever else is known."`
	Block  peersBlockCmd  `cmd:"" help:"Take no mail from somebody."`
	Forget peersForgetCmd `cmd:"" help:"Take back allow and block, and forget what it has done."`
}

func (peersCmd) Help() string {
	return `The server remembers how hosts behave that bring mail, and forgets it with time. You can decide for
it: about an address, a network, or a domain with all below it. A domain that is allowed means
hosts whose name in the DNS is in it and leads back to them; one that is blocked means those, and
senders in it.

Examples:

  waxwing peers show 192.0.2.7
  waxwing peers allow mail.partner.example --reason "our accountant"
  waxwing peers block 198.51.100.0/24 --for 7d --reason "guesses addresses"
  waxwing peers list --rules
  waxwing peers forget 198.51.100.0/24`
}

type peersListCmd struct {
	lister
	Rules bool `help:"Only what has been allowed or blocked."`
}

func (c peersListCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all := client.Peers(ctx, c.Rules)
		if c.Rules {
			return printList(s, c.JSON, all, "nobody has been allowed or blocked", "PEER RULE UNTIL REASON", func(p adminapi.Peer) []string {
				return []string{p.Name, verb(p.Rule), until(p.Rule), p.Rule.Reason}
			})
		}
		return printList(s, c.JSON, all, "nobody has brought mail yet", "PEER DELIVERED REFUSED UNKNOWN SPAM LOGINS-FAILED LAST RULE", func(p adminapi.Peer) []string {
			return []string{
				p.Name, count(p.Delivered), count(p.Refused), count(p.Unknown), count(p.Spam), count(p.FailedLogins), last(p), verb(p.Rule),
			}
		})
	})
}

// count writes a counter, which is seldom whole.
func count(n float64) string {
	if n < 0.05 {
		return "0"
	}
	return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64)
}

func last(p adminapi.Peer) string {
	if p.Last == nil {
		return ""
	}
	return when(*p.Last)
}

func verb(r *adminapi.PeerRule) string {
	switch {
	case r == nil:
		return ""
	case r.Allow:
		return "allowed"
	}
	return "blocked"
}

func until(r *adminapi.PeerRule) string {
	if r == nil || r.Until == nil {
		return "always"
	}
	return when(*r.Until)
}

type peersShowCmd struct {
	lister
	Name string `arg:"" help:"An address, network or domain."`
}

func (c peersShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		p, err := client.Peer(ctx, c.Name)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, p)
		}
		facts := []string{"peer", p.Name, "now", p.Verdict}
		if p.Rule != nil {
			facts = append(facts, "rule", strings.Join(nonEmpty(p.Rule.Name+" is "+verb(p.Rule), p.Rule.Reason), ": "), "until", until(p.Rule))
		}
		if p.Last != nil {
			facts = append(facts, "first seen", when(*p.First), "last seen", when(*p.Last),
				"delivered", count(p.Delivered)+" in a month", "refused", count(p.Refused)+" in a day",
				"messages", count(p.Messages)+" in an hour", "recipients", count(p.Recipients)+" in an hour",
				"unknown recipients", count(p.Unknown)+" in an hour", "spam", count(p.Spam)+" in a day",
				"connections", count(p.Connections)+" in a minute", "failed logins", count(p.FailedLogins)+" in a quarter of an hour",
				"came back when greylisted", count(p.Passed))
		}
		return printFacts(s.out, facts...)
	})
}

// peerRule is what allow and block have in common.
type peerRule struct {
	server
	Name   string   `arg:"" help:"An address, a network such as 192.0.2.0/24, or a domain."`
	For    duration `help:"For how long, such as 12h or 7d; always, unless given." placeholder:"TIME"`
	Reason string   `help:"Why, for those who come after you." placeholder:"TEXT"`
}

func (c peerRule) set(ctx context.Context, s streams, allow bool) error {
	return c.with(func(client *adminapi.Client) error {
		rule, err := client.SetPeerRule(ctx, c.Name, adminapi.NewPeerRule{
			Allow: allow, Reason: c.Reason, Seconds: int64(c.For.Duration / time.Second),
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s %s, %s\n", verb(&rule), rule.Name, map[bool]string{true: "for always", false: "until " + until(&rule)}[rule.Until == nil])
		return nil
	})
}

type peersAllowCmd struct{ peerRule }

func (c peersAllowCmd) Run(ctx context.Context, s streams) error { return c.set(ctx, s, true) }

type peersBlockCmd struct{ peerRule }

func (c peersBlockCmd) Run(ctx context.Context, s streams) error { return c.set(ctx, s, false) }

type peersForgetCmd struct {
	server
	Name string `arg:"" help:"The address, network or domain."`
}

func (c peersForgetCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		if err := client.ForgetPeer(ctx, c.Name); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "forgot %s\n", c.Name)
		return nil
	})
}

type accountPauseCmd struct {
	server
	Address string `arg:"" help:"The account's address."`
	Reason  string `help:"Why; the owner is told." placeholder:"TEXT"`
}

func (accountPauseCmd) Help() string {
	return `The account can still log in and read; what it wants to send is refused, and what is on its way
to others is held. The owner finds a message in INBOX. The server does this by itself with an
account that suddenly sends far more than it used to: somebody else may know the password.`
}

func (c accountPauseCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		if err := client.PauseAccount(ctx, c.Address, c.Reason); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "paused sending for %s\n", c.Address)
		return nil
	})
}

type accountResumeCmd struct {
	server
	Address string `arg:"" help:"The account's address."`
}

func (accountResumeCmd) Help() string {
	return `What is held of the account in the queue goes on its way. Look first, and delete what is not the
owner's:

  waxwing queue list --held --from ann@example.org
  waxwing account password ann@example.org`
}

func (c accountResumeCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		if err := client.ResumeAccount(ctx, c.Address); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s may send again\n", c.Address)
		return nil
	})
}
