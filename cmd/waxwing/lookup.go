package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/recursor"
)

type lookupCmd struct {
	Name    string `arg:"" help:"The name, such as example.org, or an address for its names."`
	Type    string `arg:"" optional:"" default:"A" help:"The type of records: A, AAAA, MX, TXT, TLSA, PTR and others."`
	Forward string `help:"Ask this recursive server, and prove what it says." placeholder:"ADDRESS:PORT"`
	Anchors string `help:"A file of keys that proofs begin with, instead of those of the root." type:"existingfile" placeholder:"FILE"`
	NoProof bool   `help:"Prove nothing."`
	Quiet   bool   `short:"q" help:"Only the answer, not the way to it."`
}

func (lookupCmd) Help() string {
	return `Finds a name in the DNS as the server does, from the root down, and tells each step: who was asked,
which zones are signed, and whether the answer is proven by DNSSEC, or why not. Nothing of it comes
from a cache.

Exit codes: 0 there is an answer, also that there are no such records; 1 it could not be found out, or
is bogus: somebody's signatures are wrong.

Examples:

  waxwing lookup example.org MX
  waxwing lookup _25._tcp.mx.example.org TLSA
  waxwing lookup 192.0.2.7
  waxwing lookup --forward 127.0.0.1:53 example.org TXT`
}

func (c lookupCmd) Run(ctx context.Context, s streams) error {
	name, qtype, err := c.question()
	if err != nil {
		return err
	}
	r, err := c.resolver()
	if err != nil {
		return err
	}
	answer, err := r.Explain(ctx, name, qtype, func(step string) {
		if !c.Quiet {
			fmt.Fprintf(s.out, ";; %s\n", step)
		}
	})
	if err != nil {
		return err
	}
	if answer.Finding.Security == dns.Bogus {
		return fmt.Errorf("bogus: %s", answer.Finding.Reason)
	}
	for _, rr := range answer.Records {
		fmt.Fprintln(s.out, rr)
	}
	if len(answer.Records) == 0 {
		fmt.Fprintf(s.out, "%s: %s\n", answer.Name, answer.Detail)
	}
	fmt.Fprintln(s.out, strings.TrimSuffix(answer.Finding.Security.String()+": "+answer.Finding.Reason, ": "))
	return nil
}

// question reads what is asked for.
func (c lookupCmd) question() (name string, qtype uint16, err error) {
	if addr, err := netip.ParseAddr(c.Name); err == nil {
		name, err := wire.ReverseAddr(addr.WithZone("").String())
		return name, wire.TypePTR, err
	}
	qtype, ok := wire.StringToType[strings.ToUpper(c.Type)]
	switch {
	case !ok || qtype == wire.TypeANY || qtype == wire.TypeAXFR || qtype == wire.TypeIXFR || qtype == wire.TypeRRSIG || qtype == wire.TypeOPT:
		return "", 0, fmt.Errorf("%q is no type of records that can be asked for", c.Type)
	}
	if _, ok := wire.IsDomainName(c.Name); !ok {
		return "", 0, fmt.Errorf("%q is no domain name", c.Name)
	}
	return c.Name, qtype, nil
}

func (c lookupCmd) resolver() (*recursor.Resolver, error) {
	var o recursor.Options
	if c.Forward != "" {
		at, err := netip.ParseAddrPort(c.Forward)
		if err != nil {
			return nil, fmt.Errorf("--forward: want an address and a port, such as 127.0.0.1:53: %w", err)
		}
		o.Forward = map[string][]netip.AddrPort{".": {at}}
	}
	switch {
	case c.NoProof && c.Anchors != "":
		return nil, errors.New("--anchors and --no-proof exclude each other")
	case c.NoProof:
		o.Anchors = recursor.NoAnchors
	case c.Anchors != "":
		text, err := os.ReadFile(c.Anchors)
		if err != nil {
			return nil, err
		}
		o.Anchors = string(text)
	}
	return recursor.New(o)
}
