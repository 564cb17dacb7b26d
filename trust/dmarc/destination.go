package dmarc

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"waxwing/dns"
)

// A Destination is where a domain wants reports to go.
type Destination struct {
	Address string // a mail address
	// Limit is how large a report may be, in octets; 0 for no limit. RFC 9989
	// knows no such limit any more, but records have it. RFC 7489 §6.2
	Limit int64
}

// Domain gives the domain of the address, in A-labels.
func (d Destination) Domain() string {
	domain := canonical(d.Address[strings.LastIndexByte(d.Address, '@')+1:])
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return domain
}

// maxReportAddresses bounds who gets reports.
const maxReportAddresses = 10

// destinations reads a list of URIs, and keeps those that are mail addresses.
// RFC 9989 §4.6
func destinations(list string) []Destination {
	var out []Destination
	for uri := range strings.SplitSeq(list, ",") {
		uri, limit, _ := strings.Cut(strings.TrimSpace(uri), "!")
		u, err := url.Parse(strings.TrimSpace(uri))
		if err != nil || !strings.EqualFold(u.Scheme, "mailto") {
			continue
		}
		address, err := url.PathUnescape(u.Opaque)
		if at := strings.LastIndexByte(address, '@'); err != nil || at < 1 || at == len(address)-1 ||
			strings.ContainsAny(address, "\r\n\x00<> \t") {
			continue
		}
		if out = append(out, Destination{address, size(limit)}); len(out) == maxReportAddresses {
			break
		}
	}
	return out
}

// size reads a limit such as "10m". One that cannot be read is none.
func size(s string) int64 {
	s = strings.ToLower(strings.TrimSpace(s))
	shift := 0
	if s != "" {
		if i := strings.IndexByte("kmgt", s[len(s)-1]); i >= 0 {
			s, shift = s[:len(s)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return 0
	}
	return n << shift
}

// ErrUnwanted says that a destination has not agreed to get reports about a
// domain.
var ErrUnwanted = errors.New("the destination has not said that it wants reports about this domain")

// Agreed finds out whether a destination wants reports about a domain, the one
// whose record names it, and where they are to go: a destination of the same
// organization always does; any other says so in the DNS, and may name
// addresses of its own in place of the one that was asked for. Failure says
// that the reports are those of ruf.
//
// The errors are ErrUnwanted and those of the DNS, which may pass.
// RFC 9990 §4, RFC 7489 §7.1
func Agreed(ctx context.Context, r dns.Resolver, domain string, d Destination, failure bool) ([]Destination, error) {
	domain = canonical(domain)
	host := d.Domain()
	w := &walker{resolver: r, seen: map[string][]found{}}
	if ours, err := w.aligned(ctx, domain, host, false); err != nil || ours {
		return []Destination{d}, err
	}
	name := domain + "._report._dmarc." + host
	if len(name) > 253 {
		return nil, ErrUnwanted
	}
	texts, _, err := r.LookupTXT(ctx, name)
	if errors.Is(err, dns.ErrNotFound) {
		return nil, ErrUnwanted
	}
	if err != nil {
		return nil, err
	}
	agreed, instead := false, []Destination(nil)
	for _, text := range texts {
		first, rest, _ := strings.Cut(text, ";")
		if tag, value, _ := strings.Cut(first, "="); strings.TrimSpace(tag) != "v" || strings.TrimSpace(value) != "DMARC1" {
			continue
		}
		agreed = true
		for part := range strings.SplitSeq(rest, ";") {
			tag, value, _ := strings.Cut(part, "=")
			tag = strings.ToLower(strings.TrimSpace(tag))
			if tag == "rua" && !failure || tag == "ruf" && failure {
				instead = append(instead, destinations(value)...)
			}
		}
	}
	if !agreed {
		return nil, ErrUnwanted
	}
	if instead == nil {
		return []Destination{d}, nil
	}
	for _, other := range instead {
		if other.Domain() != host { // nobody may send reports on to a third
			return nil, ErrUnwanted
		}
	}
	return instead[:min(len(instead), maxReportAddresses)], nil
}
