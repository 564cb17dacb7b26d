package adminapi

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"waxwing/flow/report"
	"waxwing/store/reports"
)

// DMARCSummary says what others have reported about mail in the name of a
// domain.
type DMARCSummary struct {
	Domain    string          `json:"domain"`
	From      time.Time       `json:"from"` // what the reports are about
	To        time.Time       `json:"to"`
	Reports   int             `json:"reports"`
	Policy    string          `json:"policy"` // p, as it was seen last
	Total     DMARCCounts     `json:"total"`
	Reporters []DMARCReporter `json:"reporters"`
	Sources   []DMARCSource   `json:"sources"`                // that mail came from, the most first
	More      int             `json:"more_sources,omitempty"` // that are not listed
	Advice    []string        `json:"advice"`                 // in words
}

// DMARCCounts are numbers of messages.
type DMARCCounts struct {
	Messages    uint64 `json:"messages"`
	Passed      uint64 `json:"passed"` // proven to be the domain's
	DKIM        uint64 `json:"dkim"`   // by signatures
	SPF         uint64 `json:"spf"`    // by SPF
	Quarantined uint64 `json:"quarantined"`
	Rejected    uint64 `json:"rejected"`
}

// DMARCReporter is who has reported.
type DMARCReporter struct {
	Organization string `json:"organization"`
	Proven       string `json:"proven,omitempty"` // the domain that was proven to have sent the report
	Reports      int    `json:"reports"`
	Messages     uint64 `json:"messages"`
}

// DMARCSource is an address that mail came from.
type DMARCSource struct {
	Address string   `json:"address"`
	Ours    bool     `json:"ours,omitempty"` // this server's
	What    string   `json:"what"`           // in words
	From    []string `json:"from"`           // domains in From
	Signers []string `json:"signers"`        // domains with good signatures
	Senders []string `json:"senders"`        // domains that SPF was good for
	DMARCCounts
}

// FailureReport is a report of a single message.
type FailureReport struct {
	Domain    string    `json:"domain"`
	Time      time.Time `json:"time"` // of the message
	Reporter  string    `json:"reporter"`
	Proven    string    `json:"proven,omitempty"`
	Source    string    `json:"source,omitempty"`
	Alignment string    `json:"alignment,omitempty"` // which proofs failed
	Result    string    `json:"result,omitempty"`    // what was done
	Incidents int       `json:"incidents"`
	Header    string    `json:"header"`
}

// maxFailureReports bounds an answer.
const maxFailureReports = 1000

// dmarcReports sums up what others have reported.
func (a *API) dmarcReports(r *http.Request) (any, error) {
	since, err := sinceOf(r, time.Now(), 30)
	if err != nil {
		return nil, err
	}
	ours := func(netip.Addr) bool { return false }
	if a.o.Ours != nil {
		ours = a.o.Ours(r.Context())
	}
	all, err := report.Summarise(r.Context(), a.o.Reports, strings.ToLower(r.URL.Query().Get("domain")), since, ours)
	if err != nil {
		return nil, err
	}
	p := page[DMARCSummary]{Items: []DMARCSummary{}}
	for _, s := range all {
		p.Items = append(p.Items, summaryOf(s))
	}
	return p, nil
}

func summaryOf(s report.Summary) DMARCSummary {
	one := DMARCSummary{
		Domain: s.Domain, From: utc(s.From), To: utc(s.To), Reports: s.Reports, Policy: s.Policy.P, Total: DMARCCounts(s.Total),
		Reporters: []DMARCReporter{}, Sources: []DMARCSource{}, More: s.More, Advice: append([]string{}, s.Advice...),
	}
	for _, r := range s.Reporters {
		one.Reporters = append(one.Reporters, DMARCReporter{r.Org, r.Proven, r.Reports, r.Messages})
	}
	for _, h := range s.Sources {
		one.Sources = append(one.Sources, DMARCSource{
			Address: h.Address.String(), Ours: h.Ours, What: h.What, DMARCCounts: DMARCCounts(h.Counts),
			From: append([]string{}, h.From...), Signers: append([]string{}, h.Signers...), Senders: append([]string{}, h.Senders...),
		})
	}
	return one
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// failureReports lists reports of single messages, the oldest first.
func (a *API) failureReports(r *http.Request) (any, error) {
	since, err := sinceOf(r, time.Now(), 30)
	if err != nil {
		return nil, err
	}
	p := page[FailureReport]{Items: []FailureReport{}}
	err = a.o.Reports.Kept(r.Context(), reports.Failure, strings.ToLower(r.URL.Query().Get("domain")), since, func(kept reports.Report) error {
		f, header, err := report.ReadFailure(kept)
		if err != nil {
			return err
		}
		one := FailureReport{
			Domain: kept.Domain, Time: utc(kept.To), Reporter: kept.Org, Proven: kept.Proven, Alignment: f.Alignment, Result: f.DeliveryResult,
			Incidents: max(f.Incidents, 1), Header: string(header),
		}
		if f.Source.IsValid() {
			one.Source = f.Source.String()
		}
		if p.Items = append(p.Items, one); len(p.Items) == maxFailureReports {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return p, nil
}

// DMARCReports sums up what others have reported.
func (c *Client) DMARCReports(ctx context.Context, f ReportFilter) ([]DMARCSummary, error) {
	p, err := call[page[DMARCSummary]](ctx, c, http.MethodGet, "/v1/reports/dmarc"+f.query(), nil)
	return p.Items, err
}

// FailureReports lists reports of single messages.
func (c *Client) FailureReports(ctx context.Context, f ReportFilter) ([]FailureReport, error) {
	p, err := call[page[FailureReport]](ctx, c, http.MethodGet, "/v1/reports/failures"+f.query(), nil)
	return p.Items, err
}
