package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"waxwing/serve/adminapi"
)

type reportTLSCmd struct{ reportFilter }

func (reportTLSCmd) Help() string {
	return `Other servers tell, once a day, how reaching your domains encrypted went, if the DNS asks for it (the record
_smtp._tls, which "waxwing dns" prints). This sums up what they have told in the last 30 days: who reports,
how much went well, what failed, at which server, and what is to be mended.

What reports say is the word of strangers; SIGNED BY is the domain that has proven to be the sender.

Examples:

  waxwing report tls
  waxwing report tls --domain example.org --since 7d
  waxwing report tls --json`
}

func (c reportTLSCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.TLSReports(ctx, c.filter())
		if err != nil {
			return err
		}
		return printReports(s, c.JSON, all, printTLSOverview)
	})
}

// shownReporters is how many of those who report are printed.
const shownReporters = 20

func printTLSOverview(out io.Writer, o adminapi.TLSOverview) error {
	fmt.Fprintf(out, "%s: %d reports from %d senders, %s to %s\n", o.Domain, o.Reports, len(o.Reporters), o.From.Format(time.DateOnly), o.To.Format(time.DateOnly))
	fmt.Fprintf(out, "  %d connections were encrypted as they should be, %d were not\n\n", o.Successful, o.Failed)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  REPORTER\tSIGNED BY\tREPORTS\tWELL\tFAILED")
	for _, r := range o.Reporters[:min(len(o.Reporters), shownReporters)] {
		fmt.Fprintf(w, "  %s\t%s\t%d\t%d\t%d\n", printable(r.Organization), printable(orDash(r.Proven)), r.Reports, r.Successful, r.Failed)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more := len(o.Reporters) - shownReporters; more > 0 {
		fmt.Fprintf(out, "  and %d more; --json has all\n", more)
	}
	for _, t := range o.Troubles {
		at := ""
		if t.MX != "" {
			at = " at " + printable(t.MX)
		}
		fmt.Fprintf(out, "\n  %d times %s%s, last on %s; told by %s\n", t.Sessions, printable(t.Result), at, t.Last.Format(time.DateOnly), printable(strings.Join(t.Reporters, ", ")))
		if t.Reason != "" {
			fmt.Fprintf(out, "    in their words: %s\n", printable(t.Reason))
		}
		fmt.Fprintf(out, "    %s\n", t.Mend)
	}
	return nil
}
