// Package spf finds out whether a host may send mail in the name of a domain:
// the Sender Policy Framework of RFC 7208.
//
// Check is the check_host() function of the RFC. The record of a domain is
// parsed as a whole first, so that an error anywhere in it is found before any
// of it is believed; then its terms are evaluated, with all limits on lookups.
// What to do about a verdict is for others to say.
package spf

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"waxwing/dns"
	"waxwing/dns/cache"
)

// A Result is what RFC 7208 §2.6 calls so, in its word.
type Result string

// The seven results.
const (
	None      Result = "none"      // no record, or no name to look one up for
	Neutral   Result = "neutral"   // the domain says nothing of the host
	Pass      Result = "pass"      // the host may send for the domain
	Fail      Result = "fail"      // it may not
	SoftFail  Result = "softfail"  // it probably may not
	TempError Result = "temperror" // it could not be found out for now
	PermError Result = "permerror" // the domain's record cannot be understood
)

// A Query is what a verdict is wanted for.
type Query struct {
	IP   netip.Addr // of the host that sends
	Helo string     // what it calls itself
	// Sender is the address that the host names in MAIL FROM. Empty, the HELO
	// identity is checked, as postmaster@Helo. RFC 7208 §2.3, §2.4
	Sender string
	// Receiver is this host's name, for the macro r and the header field.
	Receiver string
	Now      time.Time // for the macro t
}

// A Verdict is what was found out.
type Verdict struct {
	Result Result
	// Domain is the one whose record was asked first, in lower case.
	Domain string
	// Term is the mechanism that matched, with the includes and redirects that
	// lead to it: "include:spf.example.net ip4:192.0.2.0/24". Empty if none did.
	Term string
	// Problem says in words why the result is an error, or none.
	Problem string
	// Explanation is what the domain says to those who fail. It is a
	// stranger's text, US-ASCII. RFC 7208 §6.2
	Explanation string
	// Authentic says that DNSSEC proves all records that were used.
	Authentic bool
}

// Check finds out whether the host may send. RFC 7208 §4
//
// It asks at most 1+10+10*10 questions or so (RFC 7208 §4.6.4); the context
// bounds its time, at the end of which the result is a TempError.
func Check(ctx context.Context, r dns.Resolver, q Query) Verdict {
	return (*Policies)(nil).Check(ctx, r, q)
}

// Policies remembers how the texts of records are read, a bounded number. It
// remembers nothing of who publishes them. The nil Policies remembers nothing;
// safe for concurrent use.
type Policies struct {
	read *cache.Cache[string, record]
}

// maxPolicies is how many octets of memory policies may take.
const maxPolicies = 4 << 20

// NewPolicies makes one that is empty.
func NewPolicies() *Policies { return &Policies{cache.New[string, record](maxPolicies)} }

// parse is parse.
func (p *Policies) parse(text string) (record, error) {
	if p == nil {
		return parse(text)
	}
	r, _, ok := p.read.Peek(text)
	if ok {
		return r, nil
	}
	r, err := parse(text)
	if err == nil {
		const each = 160 // of a directive, with what it points to
		p.read.Put(text, r, 2*len(text)+each*len(r.directives), time.Time{})
	}
	return r, err
}

// Check is Check.
func (p *Policies) Check(ctx context.Context, r dns.Resolver, q Query) Verdict {
	q.IP = q.IP.Unmap()
	local, domain := "postmaster", q.Helo // RFC 7208 §2.4
	if q.Sender != "" {
		at := strings.LastIndexByte(q.Sender, '@')
		if at > 0 {
			local = q.Sender[:at] // RFC 7208 §4.3: else it is postmaster
		}
		domain = q.Sender[at+1:]
	}
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	c := &check{policies: p, resolver: r, query: q, local: local, sender: domain, authentic: true}
	v := Verdict{Domain: domain}
	// RFC 7208 §4.3: nothing is looked up for what is no name of several labels.
	if !lookable(domain) || !strings.Contains(domain, ".") {
		v.Result, v.Problem = None, "no domain name to look up"
		return v
	}
	o := c.host(ctx, domain)
	v.Result, v.Term, v.Problem = o.result, strings.Join(o.terms, " "), o.problem
	v.Authentic = c.authentic
	if o.result == Fail && o.explain != nil {
		v.Explanation = c.explanation(ctx, o.explain, o.domain)
	}
	return v
}

// lookable reports whether a name can be asked for: labels of 1 to 63 octets,
// 253 in all, printable US-ASCII.
func lookable(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c >= 0x7f || c == '[' || c == ']' {
			return false
		}
	}
	return true
}
