package adminapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"waxwing/store/reports"
)

// SentReport is a report of a day that was sent, or was not, and why.
type SentReport struct {
	Kind    string     `json:"kind"` // dmarc or tls
	Domain  string     `json:"domain"`
	Day     string     `json:"day"`
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"`
	Outcome string     `json:"outcome"` // in words
}

func (a *API) routeReports(mux *http.ServeMux) {
	mux.Handle("GET /v1/reports/dmarc", patient(a.handle(http.StatusOK, a.dmarcReports)))
	mux.Handle("GET /v1/reports/failures", patient(a.handle(http.StatusOK, a.failureReports)))
	mux.Handle("GET /v1/reports/sent", a.handle(http.StatusOK, a.listSentReports))
	mux.Handle("GET /v1/reports/tls", patient(a.handle(http.StatusOK, a.tlsReports)))
}

// sinceOf reads the query parameter "since"; the time is some days ago without
// it.
func sinceOf(r *http.Request, now time.Time, days int) (time.Time, error) {
	text := r.URL.Query().Get("since")
	if text == "" {
		return now.AddDate(0, 0, -days), nil
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return since, problemf(http.StatusBadRequest, "since must be a time such as 2026-01-02T15:04:05Z")
	}
	return since, nil
}

// listSentReports lists what was reported to others.
func (a *API) listSentReports(r *http.Request) (any, error) {
	since, err := sinceOf(r, time.Now(), 7)
	if err != nil {
		return nil, err
	}
	domain := r.URL.Query().Get("domain")
	p := page[SentReport]{Items: []SentReport{}}
	for _, kind := range []reports.Kind{reports.DMARC, reports.TLS} {
		all, err := a.o.Reports.LastSent(r.Context(), kind, reports.DayOf(since))
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			if domain != "" && !strings.EqualFold(domain, s.Domain) {
				continue
			}
			one := SentReport{Kind: kind.String(), Domain: s.Domain, Day: s.Day.String(), Began: utc(s.Began), Outcome: s.Outcome}
			if !s.Ended.IsZero() {
				ended := utc(s.Ended)
				one.Ended = &ended
			}
			p.Items = append(p.Items, one)
		}
	}
	return p, nil
}

// ReportFilter chooses among reports.
type ReportFilter struct {
	Domain string    // "" for all
	Since  time.Time // zero for what is usual
}

func (f ReportFilter) query() string {
	query := url.Values{}
	if f.Domain != "" {
		query.Set("domain", f.Domain)
	}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

// SentReports lists what was reported to others.
func (c *Client) SentReports(ctx context.Context, f ReportFilter) ([]SentReport, error) {
	p, err := call[page[SentReport]](ctx, c, http.MethodGet, "/v1/reports/sent"+f.query(), nil)
	return p.Items, err
}
