package tlsrpt

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// Limits of what is counted of one attempt, and reported.
const (
	maxPolicy   = 32  // lines of a policy that are told
	maxLine     = 160 // octets of one
	maxFailures = 1000
)

// A row is what is counted: sessions that are alike. Of those that succeed the
// policy alone matters. RFC 8460 §4.2
type row struct {
	Policy      Policy     `json:"p"`
	Result      ResultType `json:"r,omitempty"`
	Reason      string     `json:"c,omitempty"`
	MX          string     `json:"m,omitempty"`
	Helo        string     `json:"h,omitempty"`
	SendingIP   netip.Addr `json:"s,omitzero"`
	ReceivingIP netip.Addr `json:"i,omitzero"`
}

// Row gives what is counted of a session: octets that are the same for sessions
// that are alike, and a few hundred at most.
func (s Session) Row() []byte {
	r := row{Policy: s.Policy}
	r.Policy.Domain = clean(r.Policy.Domain, maxName)
	r.Policy.Text, r.Policy.MX = shorten(r.Policy.Text), shorten(r.Policy.MX)
	if s.Result != Success {
		r.Result, r.Reason, r.MX, r.Helo = s.Result, clean(s.Reason, maxLine), clean(s.MX, maxName), clean(s.Helo, maxName)
		r.SendingIP, r.ReceivingIP = s.SendingIP, s.ReceivingIP
	}
	b, _ := json.Marshal(r) // it holds nothing that could fail
	return b
}

// shorten bounds a list of texts, and leaves the caller's as it is.
func shorten(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	short := make([]string, 0, min(len(list), maxPolicy))
	for _, line := range list[:min(len(list), maxPolicy)] {
		short = append(short, clean(line, maxLine))
	}
	return short
}

// A Tally is what was counted of a domain in a day, policy by policy.
type Tally struct {
	policies []*PolicyReport
	byPolicy map[string]*PolicyReport
}

// Add adds a row that was counted some times.
func (t *Tally) Add(b []byte, n uint64) error {
	var r row
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	p := t.of(r.Policy)
	if r.Result == Success {
		p.Summary.Successful.Add(Count(n))
		return nil
	}
	p.Summary.Failed.Add(Count(n))
	f := Failure{Result: r.Result, MX: r.MX, Helo: r.Helo, Sessions: Count(n), Reason: r.Reason}
	if r.SendingIP.IsValid() {
		f.SendingIP = r.SendingIP.String()
	}
	if r.ReceivingIP.IsValid() {
		f.ReceivingIP = r.ReceivingIP.String()
	}
	p.Failures = append(p.Failures, f)
	return nil
}

// of gives what was counted under a policy.
func (t *Tally) of(policy Policy) *PolicyReport {
	key := strings.Join(slices.Concat([]string{string(policy.Type), policy.Domain}, policy.Text), "\n")
	p := t.byPolicy[key]
	if p == nil {
		if t.byPolicy == nil {
			t.byPolicy = map[string]*PolicyReport{}
		}
		p = &PolicyReport{Policy: policy}
		t.byPolicy[key] = p
		t.policies = append(t.policies, p)
	}
	return p
}

// Policies gives what was counted as a report has it, the most frequent failures
// first, and no more of them than a report should have.
func (t *Tally) Policies() []PolicyReport {
	var all []PolicyReport
	left := maxFailures
	for _, p := range t.policies {
		one := *p
		one.Failures = slices.Clone(p.Failures)
		slices.SortStableFunc(one.Failures, func(a, b Failure) int {
			return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Result, b.Result), cmp.Compare(a.MX, b.MX), cmp.Compare(a.ReceivingIP, b.ReceivingIP))
		})
		one.Failures = one.Failures[:min(len(one.Failures), left)]
		left -= len(one.Failures)
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b PolicyReport) int {
		return cmp.Or(cmp.Compare(a.Policy.Type, b.Policy.Type), cmp.Compare(a.Policy.Domain, b.Policy.Domain))
	})
	return all
}
