package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"waxwing/serve/adminapi"
	"waxwing/trust/records"
)

type dnsCmd struct {
	lister
	Domain string `arg:"" help:"One of your domains."`
	Check  bool   `help:"Compare with what the DNS has, and say what is to be mended."`
	Table  bool   `help:"Print a table in place of a zone file."`
}

func (dnsCmd) Help() string {
	return `Prints every record that the domain needs in the DNS: so that its mail arrives (MX), is believed by others
(SPF, DKIM, DMARC) and is found by mail programs (SRV). What is printed can be copied into a zone file;
lines that begin with ; are comments. Those marked "optional" can wait.

With --check, the DNS is asked what is there of them. A record that says the same in other words is right.
The exit code is 1 if something has to be mended.

Examples:

  waxwing dns example.org
  waxwing dns example.org --table
  waxwing dns example.org --check`
}

// errToMend ends a check that has found something; what, is printed by then.
var errToMend = errors.New("some records are to be mended")

func (c dnsCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.DNS(ctx, c.Domain, c.Check)
		if err != nil {
			return err
		}
		wrong := 0
		for _, r := range all {
			if r.Wrong() {
				wrong++
			}
		}
		switch {
		case c.JSON:
			err = printJSON(s.out, all)
		case c.Check:
			err = printFindings(s.out, all)
		case c.Table:
			err = printTable(s.out, all)
		default:
			printZone(s.out, all)
		}
		if err == nil && wrong > 0 {
			err = errToMend
		}
		return err
	})
}

// printZone prints records as a zone file holds them.
func printZone(out io.Writer, all []adminapi.DNSRecord) {
	for _, r := range all {
		fmt.Fprintf(out, "; %s%s\n%s\n", r.Why, optional(r), records.Record{Name: r.Name, Type: r.Type, Data: r.Data}.Line())
	}
}

func optional(r adminapi.DNSRecord) string {
	if r.Optional {
		return " (optional)"
	}
	return ""
}

// printTable prints records for the forms of providers, which want a name, a
// type and a value without quotes.
func printTable(out io.Writer, all []adminapi.DNSRecord) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTYPE\tVALUE")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, r.Type, plain(r))
	}
	return w.Flush()
}

// plain gives the data of a record without the quotes of a zone file.
func plain(r adminapi.DNSRecord) string {
	if r.Type != "TXT" {
		return r.Data
	}
	return strings.Trim(strings.ReplaceAll(r.Data, `" "`, ""), `"`)
}

// printFindings tells what the DNS has of each record.
func printFindings(out io.Writer, all []adminapi.DNSRecord) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.State, r.Type, r.Name, r.Why+optional(r))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range all {
		if r.Mend == "" {
			continue
		}
		fmt.Fprintf(out, "\n%s %s%s\n  %s\n", r.Type, r.Name, optional(r), printable(r.Mend))
		if r.Data != "" && (r.State == string(records.Missing) || r.State == string(records.Different)) {
			fmt.Fprintf(out, "  wanted: %s\n", r.Data)
		}
		for _, found := range r.Found {
			fmt.Fprintf(out, "  there:  %s\n", printable(found))
		}
	}
	return nil
}

// txtLine gives a TXT record as a zone file holds it.
func txtLine(name, text string) string {
	return records.Record{Name: name, Type: "TXT", Data: records.Quote(text)}.Line()
}
