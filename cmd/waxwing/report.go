package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"waxwing/app/config"
	"waxwing/serve/adminapi"
)

type reportCmd struct {
	DMARC    reportDMARCCmd    `cmd:"" name:"dmarc" help:"Sum up what others report about mail in your domains' names."`
	Failures reportFailuresCmd `cmd:"" help:"List what others report about single messages in your domains' names."`
	TLS      reportTLSCmd      `cmd:"" name:"tls" help:"Sum up what others report about reaching your domains encrypted."`
	Sent     reportSentCmd     `cmd:"" help:"List what was reported to others."`
}

// reportFilter is what all lists of reports have.
type reportFilter struct {
	lister
	Domain string          `help:"Only about this domain." placeholder:"DOMAIN"`
	Since  config.Duration `help:"Only what is not older, such as \"30d\"." placeholder:"TIME"`
}

func (f reportFilter) filter() adminapi.ReportFilter {
	filter := adminapi.ReportFilter{Domain: f.Domain}
	if f.Since > 0 {
		filter.Since = time.Now().Add(-f.Since.Std())
	}
	return filter
}

// printReports tells what others have reported, one domain after the other.
func printReports[T any](s streams, asJSON bool, all []T, print func(io.Writer, T) error) error {
	if asJSON {
		return printJSON(s.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(s.err, "nobody has reported yet; others do so if the DNS asks for it: waxwing dns DOMAIN --check")
	}
	for i, one := range all {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		if err := print(s.out, one); err != nil {
			return err
		}
	}
	return nil
}

// orDash writes a dash in the place of nothing.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type reportSentCmd struct{ reportFilter }

func (reportSentCmd) Help() string {
	return `Domains may ask to be told, once a day, which mail came in their name and whether it was proven to be
theirs (DMARC), and how sending to them encrypted went (TLS). This lists what became of each such report
in the last week.`
}

func (c reportSentCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		all, err := client.SentReports(ctx, c.filter())
		if err != nil {
			return err
		}
		return printList(s, c.JSON, each(all, nil), "nothing was reported yet", "DAY KIND DOMAIN OUTCOME", func(r adminapi.SentReport) []string {
			outcome := r.Outcome
			if r.Ended == nil {
				outcome = "it is being sent"
			}
			return []string{r.Day, r.Kind, r.Domain, printable(outcome)}
		})
	})
}
