package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"waxwing/dns"
)

// Version is how every record begins. RFC 8460 §3
const Version = "v=TLSRPTv1"

// A Record is what a domain publishes to have reports.
type Record struct {
	// To is where reports go: one is enough, in the domain's order.
	To []Destination
}

// A Destination is where reports go: Mail or URL.
type Destination struct {
	Mail string // a mail address
	URL  string // an address of HTTPS
}

// String gives it as in the record.
func (d Destination) String() string {
	if d.URL != "" {
		return d.URL
	}
	return "mailto:" + d.Mail
}

// maxDestinations bounds who gets reports.
const maxDestinations = 10

// Why a domain has no record to go by.
var (
	ErrNone    = errors.New("the domain wants no reports of TLS")
	ErrSeveral = errors.New("the domain has several records for reports of TLS, of which none counts")
)

// Lookup finds the record of a domain, given in A-labels. The errors are ErrNone,
// ErrSeveral, those of ParseRecord, and dns.ErrTemporary. RFC 8460 §3
func Lookup(ctx context.Context, r dns.Resolver, domain string) (Record, dns.Result, error) {
	texts, result, err := r.LookupTXT(ctx, "_smtp._tls."+domain)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return Record{}, result, ErrNone
	case err != nil:
		return Record{}, result, fmt.Errorf("look up _smtp._tls.%s: %w", domain, err)
	}
	var found []string
	for _, text := range texts {
		if IsRecord(text) {
			found = append(found, text)
		}
	}
	switch len(found) {
	case 0:
		return Record{}, result, ErrNone
	case 1:
		record, err := ParseRecord(found[0])
		return record, result, err
	}
	return Record{}, result, ErrSeveral
}

// IsRecord tells whether a TXT record claims to be one.
func IsRecord(text string) bool {
	rest, ok := strings.CutPrefix(text, Version)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// ParseRecord reads a TXT record. Fields that are not known are passed over, and
// so are destinations that cannot be used; it fails if none is left.
// RFC 8460 §3
func ParseRecord(text string) (Record, error) {
	if !IsRecord(text) {
		return Record{}, errors.New("it does not begin with " + Version + ";")
	}
	var r Record
	named := false
	_, fields, _ := strings.Cut(text, ";")
	for field := range strings.SplitSeq(fields, ";") {
		list, ok := strings.CutPrefix(strings.Trim(field, " \t"), "rua=")
		if !ok {
			continue
		}
		named = true
		for uri := range strings.SplitSeq(list, ",") {
			if d, ok := parseDestination(strings.Trim(uri, " \t")); ok && len(r.To) < maxDestinations {
				r.To = append(r.To, d)
			}
		}
	}
	switch {
	case !named:
		return r, errors.New("it does not say with rua= where reports go")
	case len(r.To) == 0:
		return r, errors.New("rua= names neither a mailto: nor an https: address")
	}
	return r, nil
}

// parseDestination reads one address. RFC 8460 §3
func parseDestination(uri string) (Destination, bool) {
	if len(uri) > 2000 || strings.Trim(uri, printable) != "" {
		return Destination{}, false
	}
	u, err := url.Parse(uri)
	if err != nil {
		return Destination{}, false
	}
	switch strings.ToLower(u.Scheme) {
	case "mailto": // RFC 6068 §2: what follows a ? is not heeded
		address, err := url.PathUnescape(u.Opaque)
		at := strings.LastIndexByte(address, '@')
		if err != nil || at < 1 || at == len(address)-1 || strings.ContainsAny(address, "\r\n\x00<>, \t") {
			return Destination{}, false
		}
		return Destination{Mail: address}, true
	case "https":
		if u.Hostname() == "" || u.User != nil {
			return Destination{}, false
		}
		u.Fragment, u.RawFragment = "", ""
		return Destination{URL: u.String()}, true
	}
	return Destination{}, false
}

// printable are the characters that an URI may have. RFC 3986 §2
const printable = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%"
