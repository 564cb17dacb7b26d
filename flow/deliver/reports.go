package deliver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/store/reports"
	"waxwing/store/trace"
)

// isForReports tells whether others report to an address, which is in a domain
// of ours.
func (d *Deliverer) isForReports(a mail.Address) bool {
	return d.reports != nil && slices.ContainsFunc(d.reportsTo, func(local string) bool { return strings.EqualFold(local, a.Local) })
}

// ForReports tells whether all of some recipients are addresses that others
// report to: what comes there is not reported about in its turn.
func ForReports(to []Recipient) bool {
	return len(to) > 0 && !slices.ContainsFunc(to, func(r Recipient) bool { return !r.Reports })
}

// takeReports keeps a copy to be read of what comes to an address for reports:
// reading it is not waited for. What cannot be kept is refused before anybody
// has got it.
func (d *Deliverer) takeReports(ctx context.Context, now time.Time, a *Arrival, from mail.Address, to []Recipient) error {
	at := slices.IndexFunc(to, func(r Recipient) bool { return r.Reports })
	if at < 0 {
		return nil
	}
	kept := d.reports.Take(ctx, reports.Mail{
		Message: a.ID, Received: now, From: from.String(), To: to[at].Address.String(), Results: a.Results, Size: int64(a.Body.Size()),
	}, a.Body)
	switch {
	case kept == nil:
		d.log.Info("report delivered", obs.Msg, a.ID, obs.Rcpt, to[at].Address.String(), obs.Size, int64(a.Body.Size()))
		d.trace.Record(ctx, trace.Event{
			Time: now, Step: trace.Filed, Message: a.ID, MessageID: a.Parsed.Envelope.MessageID, Service: a.Origin.Service, From: from.String(),
			To: []string{to[at].Address.String()}, Reason: "waits to be read as a report",
		})
		return nil
	case errors.Is(kept, reports.ErrTooLarge) && len(to[at].Route.Accounts)+len(to[at].Route.Forwards) > 0:
		return nil // people get it
	case errors.Is(kept, reports.ErrTooLarge):
		return &smtp.Refusal{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: "this report is too large to be read", Err: kept}
	}
	return smtp.Trouble("cannot keep the report just now, try later", kept)
}
