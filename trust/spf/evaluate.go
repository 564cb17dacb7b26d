package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"waxwing/dns"
)

// Limits of one check. RFC 7208 §4.6.4
const (
	maxLookups = 10 // terms that ask the DNS
	maxVoid    = 2  // answers without a record
	maxNames   = 10 // exchangers of an mx, names of a ptr
)

// A check is one evaluation with all that it includes.
type check struct {
	policies  *Policies
	resolver  dns.Resolver
	query     Query
	local     string // of the sender's address
	sender    string // its domain
	lookups   int
	void      int
	authentic bool
	validated []string // the names that the address has, once they were looked up
	looked    bool
}

// An outcome is what the record of one domain says.
type outcome struct {
	result  Result
	terms   []string
	problem string
	explain macroString // of the record that failed
	domain  string      // whose record that is
}

// A trouble ends the evaluation.
type trouble struct {
	result  Result // TempError or PermError
	problem string
}

func (t *trouble) Error() string { return t.problem }

func permanent(format string, args ...any) error {
	return &trouble{PermError, fmt.Sprintf(format, args...)}
}

// host is check_host() for a domain that can be looked up. RFC 7208 §4
func (c *check) host(ctx context.Context, domain string) outcome {
	o, err := c.evaluate(ctx, domain)
	if err != nil {
		t := new(trouble)
		if !errors.As(err, &t) {
			t = &trouble{TempError, err.Error()}
		}
		o.result, o.problem, o.explain = t.result, t.problem, nil
	}
	return o
}

func (c *check) evaluate(ctx context.Context, domain string) (outcome, error) {
	r, found, err := c.fetch(ctx, domain)
	if err != nil {
		return outcome{}, err
	}
	if !found {
		return outcome{result: None, problem: domain + " has no SPF record"}, nil
	}
	for _, d := range r.directives {
		matches, path, err := c.matches(ctx, domain, d)
		if err != nil {
			return outcome{terms: append([]string{d.text}, path...)}, err
		}
		if matches {
			return outcome{result: d.result, terms: append([]string{d.text}, path...), explain: r.exp, domain: domain}, nil
		}
	}
	if r.redirect == nil {
		return outcome{result: Neutral}, nil // RFC 7208 §4.7
	}
	// RFC 7208 §6.1
	if err := c.count(); err != nil {
		return outcome{}, err
	}
	to, err := c.target(ctx, r.redirect, domain)
	if err != nil || !lookable(to) {
		return outcome{}, permanent("redirect leads to no domain: %q", to)
	}
	o := c.host(ctx, to)
	o.terms = append([]string{"redirect=" + to}, o.terms...)
	if o.result == None {
		return o, permanent("redirect=%s: %s", to, o.problem)
	}
	return o, nil
}

// fetch gives the record of a domain. RFC 7208 §4.4, §4.5
func (c *check) fetch(ctx context.Context, domain string) (r record, found bool, err error) {
	texts, result, err := c.resolver.LookupTXT(ctx, domain)
	c.authentic = c.authentic && result.Authentic
	if err != nil {
		if errors.Is(err, dns.ErrNotFound) {
			return r, false, nil
		}
		return r, false, err
	}
	text := ""
	for _, t := range texts {
		if !isRecord(t) {
			continue
		}
		if found {
			return r, false, permanent("%s has more than one SPF record", domain)
		}
		text, found = t, true
	}
	if !found {
		return r, false, nil
	}
	if r, err = c.policies.parse(text); err != nil {
		return r, false, permanent("the record of %s: %v", domain, err)
	}
	return r, true, nil
}

// count counts a term that asks the DNS.
func (c *check) count() error {
	if c.lookups++; c.lookups > maxLookups {
		return permanent("more than %d terms ask the DNS", maxLookups)
	}
	return nil
}

// empty counts an answer without a record.
func (c *check) empty() error {
	if c.void++; c.void > maxVoid {
		return permanent("more than %d lookups found nothing", maxVoid)
	}
	return nil
}

// matches evaluates a mechanism; path is what lies behind an include.
func (c *check) matches(ctx context.Context, domain string, d directive) (_ bool, path []string, err error) {
	switch d.kind {
	case all:
		return true, nil, nil
	case ip4, ip6:
		return d.prefix.Contains(c.query.IP), nil, nil
	}
	if err := c.count(); err != nil {
		return false, nil, err
	}
	target := domain
	if d.domain != nil {
		target, err = c.target(ctx, d.domain, domain)
		if errors.Is(err, errNotASCII) {
			return false, nil, nil
		}
		if err != nil {
			return false, nil, permanent("%s: %v", d.text, err)
		}
	}
	if !lookable(target) {
		if d.kind == include {
			return false, nil, permanent("%s leads to no domain", d.text)
		}
		return false, nil, nil // RFC 7208 §4.8: as if it did not exist
	}
	var ok bool
	switch d.kind {
	case include:
		return c.included(ctx, target)
	case a:
		ok, err = c.hasAddress(ctx, target, d)
	case mx:
		ok, err = c.hasExchanger(ctx, target, d)
	case ptr:
		ok, err = c.hasName(ctx, target)
	case exists:
		ok, err = c.resolves(ctx, target)
	}
	return ok, nil, err
}

// included evaluates the record of another domain. RFC 7208 §5.2
func (c *check) included(ctx context.Context, target string) (bool, []string, error) {
	o := c.host(ctx, target)
	switch o.result {
	case Pass:
		return true, o.terms, nil
	case TempError:
		return false, o.terms, &trouble{TempError, o.problem}
	case PermError, None:
		return false, o.terms, permanent("include:%s: %s", target, o.problem)
	}
	return false, nil, nil
}

// addresses looks a host up. Those of the other family are not asked for: they
// do not count, nor does trouble with them. RFC 7208 §5
func (c *check) addresses(ctx context.Context, host string, f dns.Family) ([]netip.Addr, error) {
	ips, result, err := c.resolver.LookupFamily(ctx, host, f)
	c.authentic = c.authentic && result.Authentic
	switch {
	case err != nil && !errors.Is(err, dns.ErrNotFound):
		return nil, err
	case len(ips) == 0:
		return nil, c.empty()
	}
	return ips, nil
}

// hasAddress is the mechanism a. RFC 7208 §5.3
func (c *check) hasAddress(ctx context.Context, host string, d directive) (bool, error) {
	ips, err := c.addresses(ctx, host, dns.FamilyOf(c.query.IP))
	if err != nil {
		return false, err
	}
	bits := d.bits4
	if c.query.IP.Is6() {
		bits = d.bits6
	}
	for _, ip := range ips {
		if netip.PrefixFrom(ip, bits).Contains(c.query.IP) {
			return true, nil
		}
	}
	return false, nil
}

// hasExchanger is the mechanism mx. RFC 7208 §5.4
func (c *check) hasExchanger(ctx context.Context, domain string, d directive) (bool, error) {
	exchangers, result, err := c.resolver.LookupMX(ctx, domain)
	c.authentic = c.authentic && result.Authentic
	if errors.Is(err, dns.ErrNotFound) {
		return false, c.empty()
	}
	if err != nil {
		return false, err
	}
	if len(exchangers) > maxNames { // RFC 7208 §4.6.4
		return false, permanent("%s has more than %d exchangers", domain, maxNames)
	}
	for _, x := range exchangers {
		if !lookable(x.Host) { // such as the null MX
			continue
		}
		if ok, err := c.hasAddress(ctx, x.Host, d); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// resolves is the mechanism exists: an A record, whatever the host's address
// is. RFC 7208 §5.7
func (c *check) resolves(ctx context.Context, name string) (bool, error) {
	ips, err := c.addresses(ctx, name, dns.IPv4)
	return len(ips) > 0, err
}

// hasName is the mechanism ptr. RFC 7208 §5.5
func (c *check) hasName(ctx context.Context, domain string) (bool, error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	for _, name := range c.names(ctx) {
		if within(name, domain) {
			return true, nil
		}
	}
	return false, nil
}

func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// names gives the names of the host's address that lead back to it. What fails
// is left out. RFC 7208 §5.5
func (c *check) names(ctx context.Context) []string {
	if c.looked {
		return c.validated
	}
	c.looked = true
	all, result, err := c.resolver.LookupPTR(ctx, c.query.IP)
	c.authentic = c.authentic && result.Authentic
	if err != nil {
		return nil
	}
	for _, name := range all[:min(len(all), maxNames)] { // RFC 7208 §4.6.4: the rest is ignored
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if !lookable(name) {
			continue
		}
		ips, _, err := c.resolver.LookupFamily(ctx, name, dns.FamilyOf(c.query.IP))
		if err != nil {
			continue
		}
		for _, ip := range ips {
			if ip == c.query.IP {
				c.validated = append(c.validated, name)
				break
			}
		}
	}
	return c.validated
}
