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

type reportDMARCCmd struct{ reportFilter }

func (reportDMARCCmd) Help() string {
	return `Other servers tell, once a day, which mail came to them in the names of your domains and how much of it was
proven to be yours, if the DNS asks for it (the record _dmarc, which "waxwing dns" prints). This sums up what
they have told about the last 30 days: who sends as you, from which addresses, how much of it passes, and
what is to be mended.

What reports say is the word of strangers; SIGNED BY is the domain that has proven to be the sender.

Examples:

  waxwing report dmarc
  waxwing report dmarc --domain example.org --since 7d
  waxwing report dmarc --json`
}

func (c reportDMARCCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.DMARCReports(ctx, c.filter())
		if err != nil {
			return err
		}
		return printReports(s, c.JSON, all, printDMARC)
	})
}

// printDMARC tells of one domain.
func printDMARC(out io.Writer, d adminapi.DMARCSummary) error {
	t := d.Total
	fmt.Fprintf(out, "%s, %s to %s: %d reports\n", printable(d.Domain), d.From.Format(time.DateOnly), d.To.Format(time.DateOnly), d.Reports)
	fmt.Fprintf(out, "%d messages, %s proven to be yours (%s by signatures, %s by SPF)", t.Messages, share(t.Passed, t.Messages),
		share(t.DKIM, t.Messages), share(t.SPF, t.Messages))
	if t.Quarantined+t.Rejected > 0 {
		fmt.Fprintf(out, "; %d set aside, %d refused", t.Quarantined, t.Rejected)
	}
	fmt.Fprintf(out, "; your policy is p=%s\n\n", printable(d.Policy))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FROM ADDRESS\tMESSAGES\tPROVEN\tDKIM\tSPF\tWHAT IT IS")
	for _, h := range d.Sources {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", h.Address, h.Messages, share(h.Passed, h.Messages), share(h.DKIM, h.Messages), share(h.SPF, h.Messages), printable(h.What))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if d.More > 0 {
		fmt.Fprintf(out, "... and %d more addresses\n", d.More)
	}
	fmt.Fprintln(out)
	fmt.Fprintln(w, "REPORTED BY\tSIGNED BY\tREPORTS\tMESSAGES")
	for _, r := range d.Reporters {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", printable(r.Organization), printable(orDash(r.Proven)), r.Reports, r.Messages)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, advice := range d.Advice {
		if i == 0 {
			fmt.Fprintln(out, "\nWhat to do:")
		}
		fmt.Fprintln(out, "- "+printable(advice))
	}
	return nil
}

// share says how much of a whole something is: never all or nothing unless it
// is.
func share(part, whole uint64) string {
	switch {
	case whole == 0:
		return "-"
	case part == whole:
		return "all"
	case part == 0:
		return "none"
	}
	return fmt.Sprintf("%.0f%%", min(max(100*float64(part)/float64(whole), 1), 99))
}

type reportFailuresCmd struct{ reportFilter }

func (reportFailuresCmd) Help() string {
	return `Some servers tell about single messages in your domains' names that were not proven to be yours, if the DNS
asks for it ("ruf=" in the record _dmarc). Few do. This lists those of the last 30 days; --json has the headers
of the messages, too.`
}

func (c reportFailuresCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.FailureReports(ctx, c.filter())
		if err != nil {
			return err
		}
		return printList(s, c.JSON, each(all, nil), "nobody has reported single messages", "TIME DOMAIN SOURCE MESSAGES FAILED RESULT REPORTER", func(r adminapi.FailureReport) []string {
			return []string{
				when(r.Time), printable(r.Domain), orDash(r.Source), fmt.Sprint(r.Incidents), orDash(printable(strings.ReplaceAll(r.Alignment, ", ", "+"))),
				orDash(printable(r.Result)), printable(r.Reporter),
			}
		})
	})
}
