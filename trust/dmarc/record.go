package dmarc

import "strings"

// A Policy is what a domain wants done with mail that fails.
type Policy string

// The policies, from the mildest.
const (
	None       Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// weaker is the policy one level below, for domains that test. RFC 9989 §4.7, t
func (p Policy) weaker() Policy {
	if p == Reject {
		return Quarantine
	}
	return None
}

// A Record is a DMARC Policy Record. RFC 9989 §4.7
type Record struct {
	Policy      Policy // p
	Subdomains  Policy // sp, "" without
	Nonexistent Policy // np, "" without
	StrictDKIM  bool   // adkim=s
	StrictSPF   bool   // aspf=s
	Testing     bool   // t=y
	// PSD is 'y' for a public suffix, 'n' for an organization's own domain, and
	// 'u' for what does not say.
	PSD byte
	// Aggregate (rua) and Failure (ruf) are where reports go.
	Aggregate []Destination
	Failure   []Destination
	// Options say which failures are to be reported: fo, "0" without.
	Options []string
}

// ParseRecord reads a TXT record. ok is false for what is no DMARC record, or
// one that is to be ignored. Errors after the version fall back to the
// defaults. RFC 9989 §4.8, §4.10.1
func ParseRecord(txt string) (r Record, ok bool) {
	first, rest, _ := strings.Cut(txt, ";")
	name, value, _ := strings.Cut(first, "=")
	if strings.TrimSpace(name) != "v" || strings.TrimSpace(value) != "DMARC1" {
		return r, false
	}
	r = Record{PSD: 'u', Options: []string{"0"}}
	var p, sp, np string
	for tag := range strings.SplitSeq(rest, ";") {
		name, value, ok := strings.Cut(tag, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		lower := strings.ToLower(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "p":
			p = lower
		case "sp":
			sp = lower
		case "np":
			np = lower
		case "adkim":
			r.StrictDKIM = lower == "s"
		case "aspf":
			r.StrictSPF = lower == "s"
		case "t":
			r.Testing = lower == "y"
		case "psd":
			if lower == "y" || lower == "n" {
				r.PSD = lower[0]
			}
		case "rua":
			r.Aggregate = destinations(value)
		case "ruf":
			r.Failure = destinations(value)
		case "fo":
			r.Options = options(lower)
		}
	}
	return r, r.choose(p, sp, np)
}

// choose takes the policies up. With one that is malformed the domain gets
// reports at most, and without anybody to report to the record is ignored.
// RFC 9989 §4.10.1
func (r *Record) choose(p, sp, np string) bool {
	r.Policy, r.Subdomains, r.Nonexistent = Policy(p), Policy(sp), Policy(np)
	if known(r.Policy) && (sp == "" || known(r.Subdomains)) && (np == "" || known(r.Nonexistent)) {
		return true
	}
	r.Policy, r.Subdomains, r.Nonexistent = None, "", ""
	return len(r.Aggregate) > 0
}

func known(p Policy) bool { return p == None || p == Quarantine || p == Reject }

// options reads fo. RFC 9989 §4.7
func options(list string) []string {
	var out []string
	for o := range strings.SplitSeq(list, ":") {
		switch o = strings.TrimSpace(o); o {
		case "0", "1", "d", "s":
			if len(out) < 4 {
				out = append(out, o)
			}
		}
	}
	if out == nil {
		return []string{"0"}
	}
	return out
}
