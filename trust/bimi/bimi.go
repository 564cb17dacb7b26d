// Package bimi finds out where a domain keeps the picture that it wants shown
// beside its mail: Brand Indicators for Message Identification,
// draft-brand-indicators-for-message-identification.
//
// It reads and looks up what is published. That the author is proven, and that
// the domain's DMARC policy is strict enough, is for the caller to see to;
// pictures and certificates are fetched by who shows them.
package bimi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"waxwing/dns"
	"waxwing/trust/dkim"
)

// A Result is what came of a look-up, in the draft's word for
// Authentication-Results.
type Result string

// The results.
const (
	Pass      Result = "pass"
	None      Result = "none"      // nothing is published
	Declined  Result = "declined"  // the domain publishes that it has none
	Fail      Result = "fail"      // what is published cannot be used
	TempError Result = "temperror" // it could not be found out for now
	Skipped   Result = "skipped"   // the message does not meet the conditions
)

// DefaultSelector is used for messages that name none.
const DefaultSelector = "default"

// maxURI bounds what is kept of a stranger's URI.
const maxURI = 1000

// A Record is an assertion record.
type Record struct {
	Location  string // l=, of the picture; "" if the evidence has it
	Authority string // a=, of the evidence that the picture is the domain's; "" without
}

// Declined tells whether the domain says that it has no picture.
func (r Record) Declined() bool { return r == Record{} }

// ErrOther says that a text is another record than BIMI's.
var ErrOther = errors.New("not a BIMI record")

// ParseRecord reads a TXT record.
func ParseRecord(text string) (Record, error) {
	var r Record
	if !begins(text) {
		return r, ErrOther
	}
	tags, err := dkim.ParseTags(text)
	if err != nil {
		return r, fmt.Errorf("the record has %w", err)
	}
	location, ok := tags.Get("l")
	authority, also := tags.Get("a")
	if !ok && !also {
		return r, errors.New("the record has no tag l")
	}
	location, _, _ = strings.Cut(location, ",") // QUIRK: early drafts have lists
	if strings.EqualFold(authority, "self") {   // QUIRK: early drafts say so
		authority = ""
	}
	if r.Location, err = secured(location); err == nil {
		r.Authority, err = secured(authority)
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

// begins tells whether a text begins as a record does: with its version.
func begins(text string) bool {
	first, _, _ := strings.Cut(text, ";")
	name, value, ok := strings.Cut(first, "=")
	return ok && strings.TrimSpace(name) == "v" && strings.TrimSpace(value) == "BIMI1"
}

// secured checks a URI, which may be missing: nothing is to be shown that was
// fetched without TLS.
func secured(s string) (string, error) {
	s = strings.Trim(s, " \t\r\n")
	if s == "" {
		return "", nil
	}
	if len(s) > maxURI {
		return "", errors.New("a URI is too long")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '<' || s[i] == '>' {
			return "", errors.New("a URI has characters that it cannot have")
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", errors.New("a URI is malformed")
	case u.Scheme != "https":
		return "", errors.New("a URI is not https")
	case u.Hostname() == "" || u.User != nil:
		return "", errors.New("a URI has no host, or a user")
	}
	return s, nil
}

// ParseSelector reads the value of a BIMI-Selector field, such as
// "v=BIMI1; s=brand".
func ParseSelector(value string) (string, error) {
	if !begins(value) {
		return "", errors.New("the selector's version is not known")
	}
	tags, err := dkim.ParseTags(value)
	if err != nil {
		return "", fmt.Errorf("the selector has %w", err)
	}
	s, _ := tags.Get("s")
	s = strings.ToLower(s)
	if !isName(s) {
		return "", errors.New("the selector is not a name")
	}
	return s, nil
}

// isName tells whether labels can stand before others in the DNS.
func isName(s string) bool {
	if len(s) > 128 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// A Verdict is what was found out.
type Verdict struct {
	Result   Result
	Selector string
	Domain   string // where the record is
	Record   Record // if it passed
	Problem  string // in words, of what failed or was skipped
	// Authentic says that DNSSEC proves the record.
	Authentic bool
}

// Look looks a record up: at the author's domain, and where that has none at its
// organization's, both in A-labels.
func Look(ctx context.Context, r dns.Resolver, author, organization, selector string) Verdict {
	v := look(ctx, r, author, selector)
	if v.Result == None && organization != "" && organization != author {
		v = look(ctx, r, organization, selector)
	}
	return v
}

// look looks at one domain. Of several records none counts.
func look(ctx context.Context, r dns.Resolver, domain, selector string) Verdict {
	v := Verdict{Result: None, Domain: domain, Selector: selector}
	name := selector + "._bimi." + domain
	if len(name) > 253 {
		return v
	}
	texts, result, err := r.LookupTXT(ctx, name)
	v.Authentic = result.Authentic
	if err != nil {
		if !errors.Is(err, dns.ErrNotFound) {
			v.Result, v.Problem = TempError, err.Error()
		}
		return v
	}
	for _, text := range texts {
		record, err := ParseRecord(text)
		switch {
		case errors.Is(err, ErrOther):
			continue
		case v.Result != None:
			return Verdict{Result: Fail, Domain: domain, Selector: selector, Problem: "there is more than one record"}
		case err != nil:
			v.Result, v.Problem = Fail, err.Error()
		case record.Declined():
			v.Result = Declined
		default:
			v.Result, v.Record = Pass, record
		}
	}
	return v
}
