package app

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/flow/receive"
	"waxwing/flow/report"
	"waxwing/mail"
)

// openReports makes what sends reports to others and reads theirs, and gives
// who is told of messages for that; nil if nobody is.
func (a *App) openReports(delivery *deliver.Deliverer, resolver dns.Resolver) receive.Witness {
	c, s := a.config, a.stores
	holder := c.Hostname + " " + rand.Text() // servers that share a store may have one name
	inbox := report.NewInbox(s.reports, resolver, s.directory.IsLocal)
	readers := report.Readers{XML: inbox.Aggregate, Failure: inbox.Failure, JSON: report.NewTLSReader(s.reports, s.directory.IsLocal).Read}
	a.workers = append(a.workers,
		worker{"reports", s.reports.Run},
		worker{"reading of reports", report.NewDesk(s.reports, readers, report.DeskOptions{Holder: holder, Server: c.Hostname, Log: a.log}).Run},
	)
	author := a.author()
	post := report.NewPost(delivery, s.queue, s.blobs, s.trace)
	var failures *report.Failures
	if c.Reports.Failures {
		failures = report.NewFailures(post, resolver, report.FailureOptions{Author: author, PerDay: c.Reports.FailuresPerDay, Log: a.log})
		a.workers = append(a.workers, worker{"reports of failures", failures.Run})
	}
	if c.Reports.Send {
		poster := report.NewPoster(resolver, report.PosterOptions{})
		sources := []report.Source{
			report.NewAggregates(s.reports, delivery, resolver, author),
			report.NewTLSReports(s.reports, delivery, resolver, author, poster),
		}
		a.workers = append(a.workers, worker{"sending of reports", report.NewSender(s.reports, post, report.DailyOptions{
			Holder: holder, Hostname: c.Hostname, Spread: c.Reports.Spread.Std(), Log: a.log,
		}, sources...).Run})
	}
	if !c.Reports.Send && failures == nil {
		return nil
	}
	return report.NewTally(s.reports, failures)
}

// author is in whose name reports go out.
func (a *App) author() report.Author {
	c := a.config
	author := report.Author{Organization: c.Reports.Organization, Hostname: c.Hostname, Generator: "Waxwing " + Version()}
	if c.Reports.From != "" {
		author.Address, _ = mail.ParseAddress(c.Reports.From) // the configuration has been checked
	}
	return author
}

// ours gives what tells this server's addresses from others: those that it has,
// and those that the DNS says it has.
func (a *App) ours(resolver dns.Resolver) func(context.Context) func(netip.Addr) bool {
	known := publicAddresses()
	return func(ctx context.Context) func(netip.Addr) bool {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		named, _, _ := resolver.LookupAddr(ctx, a.config.Hostname) // without an answer there are those that are known
		return func(ip netip.Addr) bool { return slices.Contains(known, ip) || slices.Contains(named, ip) }
	}
}
