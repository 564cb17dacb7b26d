package adminapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/store/reports"
	"waxwing/trust/tlsrpt"
)

// TLSOverview is what others report about reaching a domain of ours encrypted.
type TLSOverview struct {
	Domain     string        `json:"domain"`
	Reports    int           `json:"reports"`
	From       time.Time     `json:"from"`
	To         time.Time     `json:"to"`
	Successful uint64        `json:"successful_sessions"`
	Failed     uint64        `json:"failed_sessions"`
	Reporters  []TLSReporter `json:"reporters"`
	Troubles   []TLSTrouble  `json:"troubles"`
}

// TLSReporter is who has reported.
type TLSReporter struct {
	Organization string `json:"organization"`
	Proven       string `json:"proven,omitempty"` // the domain that has signed
	Reports      int    `json:"reports"`
	Successful   uint64 `json:"successful_sessions"`
	Failed       uint64 `json:"failed_sessions"`
}

// TLSTrouble is one way to fail at one server.
type TLSTrouble struct {
	Result    string    `json:"result"`           // RFC 8460 §4.3
	Policy    string    `json:"policy,omitempty"` // tlsa, sts or no-policy-found
	MX        string    `json:"mx,omitempty"`
	Sessions  uint64    `json:"sessions"`
	Reporters []string  `json:"reporters"`
	Reason    string    `json:"reason,omitempty"`
	Last      time.Time `json:"last"`
	Mend      string    `json:"mend"` // in words
}

// maxOverviews bounds the domains in one answer.
const maxOverviews = 1000

// tlsReports sums up what others report about TLS.
func (a *API) tlsReports(r *http.Request) (any, error) {
	since, err := sinceOf(r, time.Now(), 30)
	if err != nil {
		return nil, err
	}
	byDomain := map[string]*tlsrpt.Overview{}
	err = a.o.Reports.Kept(r.Context(), reports.TLS, strings.ToLower(r.URL.Query().Get("domain")), since, func(kept reports.Report) error {
		var report tlsrpt.Report
		if err := json.Unmarshal(kept.Data, &report); err != nil {
			a.o.Log.Warn("a report that is kept cannot be read", "id", kept.ID, obs.Err, err)
			return nil
		}
		o := byDomain[kept.Domain]
		if o == nil {
			if len(byDomain) >= maxOverviews {
				return nil
			}
			o = &tlsrpt.Overview{Domain: kept.Domain}
			byDomain[kept.Domain] = o
		}
		o.Add(report, kept.Proven)
		return nil
	})
	if err != nil {
		return nil, err
	}
	p := page[TLSOverview]{Items: []TLSOverview{}}
	for _, o := range byDomain {
		o.Sort()
		p.Items = append(p.Items, tlsOverviewOf(o))
	}
	slices.SortFunc(p.Items, func(a, b TLSOverview) int { return strings.Compare(a.Domain, b.Domain) })
	return p, nil
}

func tlsOverviewOf(o *tlsrpt.Overview) TLSOverview {
	v := TLSOverview{
		Domain: o.Domain, Reports: o.Reports, From: utc(o.From), To: utc(o.To), Successful: uint64(o.Successful), Failed: uint64(o.Failed),
		Reporters: []TLSReporter{}, Troubles: []TLSTrouble{},
	}
	for _, r := range o.Reporters {
		v.Reporters = append(v.Reporters, TLSReporter{r.Organization, r.Proven, r.Reports, uint64(r.Successful), uint64(r.Failed)})
	}
	for _, t := range o.Troubles {
		v.Troubles = append(v.Troubles, TLSTrouble{
			string(t.Result), string(t.Policy), t.MX, uint64(t.Sessions), t.Reporters, t.Reason, utc(t.Last), t.Result.Advice(),
		})
	}
	return v
}

// TLSReports sums up what others report about reaching our domains encrypted.
func (c *Client) TLSReports(ctx context.Context, f ReportFilter) ([]TLSOverview, error) {
	p, err := call[page[TLSOverview]](ctx, c, http.MethodGet, "/v1/reports/tls"+f.query(), nil)
	return p.Items, err
}
