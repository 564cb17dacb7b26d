package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"waxwing/dns"
	"waxwing/mail"
	"waxwing/proto/smtp"
)

// maxHosts is how many mail exchangers of a domain are tried in one attempt;
// RFC 5321 §5.1 wants at least two.
const maxHosts = 5

// exchangers gives the hosts that take mail for a domain, best first, as
// names or address literals, and what is known of the way there. RFC 5321 §5.1.
// self is our own name: we and all hosts behind us are left out. Errors are
// *smtp.Refusal.
func exchangers(ctx context.Context, resolver dns.Resolver, domain, self string) ([]string, road, error) {
	if strings.HasPrefix(domain, "[") {
		return []string{domain}, road{}, nil
	}
	name, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return nil, road{}, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 2}, Text: domain + " is not a domain name", Err: err}
	}
	records, result, err := resolver.LookupMX(ctx, name)
	var failure *dns.Error
	switch {
	case errors.As(err, &failure) && failure.NoName:
		return nil, road{}, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 2}, Text: "the domain " + domain + " does not exist", Err: err}
	case errors.Is(err, dns.ErrNotFound):
		// The implicit MX: the domain itself. RFC 5321 §5.1
		return []string{name}, road{source: named, target: result.Name}, nil
	case err != nil:
		return nil, road{}, &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 4, 3}, Text: "cannot look up where mail for " + domain + " goes", Err: err}
	}
	if len(records) == 1 && records[0].Host == "." {
		return nil, road{}, &smtp.Refusal{Code: 556, Enhanced: smtp.Enhanced{5, 1, 10}, Text: "the domain " + domain + " takes no mail (null MX)"} // RFC 7505 §4.1
	}
	hosts := better(records, self)
	if len(hosts) == 0 {
		return nil, road{}, &smtp.Refusal{
			Code: 554, Enhanced: smtp.Enhanced{5, 4, 6},
			Text: fmt.Sprintf("mail for %s loops back to us: we are its best MX, but it is not one of our domains", domain),
		}
	}
	way := road{source: byMX, target: result.Name}
	if result.Security == dns.Secure {
		way.source = byProvenMX // RFC 7672 §2.2.1
	}
	return hosts[:min(len(hosts), maxHosts)], way, nil
}

// better gives the hosts before ourselves: who is no better than we are would
// give the message back to us. RFC 5321 §5.1
func better(records []dns.MX, self string) (hosts []string) {
	at := slices.IndexFunc(records, func(mx dns.MX) bool { return strings.EqualFold(mx.Host, self) })
	for _, mx := range records {
		if at >= 0 && mx.Preference >= records[at].Preference {
			break
		}
		hosts = append(hosts, mx.Host)
	}
	return hosts
}

// addresses gives the addresses of one exchanger. Errors are *smtp.Refusal.
func addresses(ctx context.Context, resolver dns.Resolver, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, "[") {
		ip, err := mail.ParseLiteral(host)
		if err != nil {
			return nil, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 2}, Text: host + " is not an address", Err: err}
		}
		return []netip.Addr{ip}, nil
	}
	addrs, _, err := resolver.LookupAddr(ctx, host)
	return addrs, noAddress(host, err)
}
