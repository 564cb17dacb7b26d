package tlsrpt

import (
	"cmp"
	"slices"
	"time"
)

// An Overview is what many reports say about a domain.
type Overview struct {
	Domain     string
	Reports    int
	From, To   time.Time
	Successful Count
	Failed     Count
	Reporters  []Reporter // those with the most sessions first
	Troubles   []Trouble  // the most frequent first
}

// A Reporter is who has reported.
type Reporter struct {
	Organization string
	Proven       string // the domain that has signed the reports, as far as known
	Reports      int
	Successful   Count
	Failed       Count
}

// A Trouble is one way to fail at one server.
type Trouble struct {
	Result    ResultType
	Policy    PolicyType
	MX        string
	Sessions  Count
	Reporters []string // some of those who met it
	Reason    string   // of one of them
	Last      time.Time
}

// Limits of an overview.
const (
	maxReporters = 200
	maxTroubles  = 200
	maxNamed     = 5
)

// Add adds a report about the domain.
func (o *Overview) Add(r Report, proven string) {
	if o.Reports == 0 || r.Range.Start.Before(o.From) {
		o.From = r.Range.Start
	}
	if r.Range.End.After(o.To) {
		o.To = r.Range.End
	}
	o.Reports++
	by := o.reporter(cmp.Or(r.Organization, r.Contact), proven)
	by.Reports++
	for _, p := range r.Policies {
		o.Successful.Add(p.Summary.Successful)
		o.Failed.Add(p.Summary.Failed)
		by.Successful.Add(p.Summary.Successful)
		by.Failed.Add(p.Summary.Failed)
		for _, f := range p.Failures {
			t := o.trouble(f.Result, p.Policy.Type, f.MX)
			t.Sessions.Add(f.Sessions)
			t.Reason = cmp.Or(t.Reason, f.Reason)
			if r.Range.End.After(t.Last) {
				t.Last = r.Range.End
			}
			if name := by.Organization; len(t.Reporters) < maxNamed && !slices.Contains(t.Reporters, name) {
				t.Reporters = append(t.Reporters, name)
			}
		}
	}
}

// reporter finds who has reported; those beyond the limit are one.
func (o *Overview) reporter(organization, proven string) *Reporter {
	if len(o.Reporters) >= maxReporters {
		if at := slices.IndexFunc(o.Reporters, func(r Reporter) bool { return r.Organization == organization && r.Proven == proven }); at >= 0 {
			return &o.Reporters[at]
		}
		organization, proven = "others", ""
	}
	for i, r := range o.Reporters {
		if r.Organization == organization && r.Proven == proven {
			return &o.Reporters[i]
		}
	}
	o.Reporters = append(o.Reporters, Reporter{Organization: organization, Proven: proven})
	return &o.Reporters[len(o.Reporters)-1]
}

// trouble finds one way to fail; those beyond the limit are one.
func (o *Overview) trouble(result ResultType, policy PolicyType, mx string) *Trouble {
	for i, t := range o.Troubles {
		if t.Result == result && t.Policy == policy && t.MX == mx {
			return &o.Troubles[i]
		}
	}
	if len(o.Troubles) > maxTroubles {
		return &o.Troubles[maxTroubles]
	}
	if len(o.Troubles) == maxTroubles {
		result, policy, mx = "others", "", ""
	}
	o.Troubles = append(o.Troubles, Trouble{Result: result, Policy: policy, MX: mx})
	return &o.Troubles[len(o.Troubles)-1]
}

// Sort puts the most important first, after all has been added.
func (o *Overview) Sort() {
	slices.SortStableFunc(o.Reporters, func(a, b Reporter) int {
		return cmp.Or(cmp.Compare(b.Successful+b.Failed, a.Successful+a.Failed), cmp.Compare(a.Organization, b.Organization))
	})
	slices.SortStableFunc(o.Troubles, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Result, b.Result), cmp.Compare(a.MX, b.MX))
	})
}

// Advice says in words what the owner of the servers may do about a result.
func (r ResultType) Advice() string {
	if words, ok := advice[r]; ok {
		return words
	}
	return "the reporter's words may help: it is none of the results that are known"
}

var advice = map[ResultType]string{
	STARTTLSNotSupported:    "the server did not offer encryption: look that port 25 has a certificate, and that nothing in front of it (a firewall that reads mail) removes STARTTLS; or an attacker does",
	CertificateHostMismatch: "the certificate does not name the server as the MX record does: get one that does, or correct the MX record",
	CertificateExpired:      "the certificate had expired: look why it was not renewed",
	CertificateNotTrusted:   "the certificate is not of an authority that others know, or lacks the intermediate ones",
	ValidationFailure:       "TLS failed in another way; the reporter's words say how. A few may be of bad connections",
	TLSAInvalid:             "no TLSA record fits the certificate: waxwing dns --check says which are to be published",
	DNSSECInvalid:           "the signatures of the zone, or of the server's zone, are wrong: mend them where the zone is kept",
	DANERequired:            "the reporter wants TLSA records, and there are none that are proven: publish them, in a zone that is signed with DNSSEC",
	STSPolicyFetchError:     "the MTA-STS policy could not be fetched: look that mta-sts. of the domain leads to this server, and has a certificate",
	STSPolicyInvalid:        "the MTA-STS policy could not be read, or does not name the server: waxwing dns --check tells more",
	STSWebPKIInvalid:        "the certificate of mta-sts. of the domain does not hold: look why it was not fetched or renewed",
}
