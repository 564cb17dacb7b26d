package app

import (
	"crypto/rand"

	"waxwing/flow/deliver"
	"waxwing/flow/report"
)

// openReports makes what sends reports to others and reads theirs.
func (a *App) openReports(delivery *deliver.Deliverer) {
	c, s := a.config, a.stores
	holder := c.Hostname + " " + rand.Text() // servers that share a store may have one name
	post := report.NewPost(delivery, s.queue, s.blobs, s.trace)
	var sources []report.Source
	var readers report.Readers
	a.workers = append(a.workers,
		worker{"reports", s.reports.Run},
		worker{"reading of reports", report.NewDesk(s.reports, readers, report.DeskOptions{Holder: holder, Server: c.Hostname, Log: a.log}).Run},
	)
	if c.Reports.Send {
		a.workers = append(a.workers, worker{"sending of reports", report.NewSender(s.reports, post, report.DailyOptions{
			Holder: holder, Hostname: c.Hostname, Spread: c.Reports.Spread.Std(), Log: a.log,
		}, sources...).Run})
	}
}
