// Package dmarc finds out whether the author that a message shows is the one
// that SPF and DKIM vouch for, and what the author's domain wants done if not:
// Domain-based Message Authentication, Reporting, and Conformance, RFC 9989
// (whose text is draft-ietf-dmarc-dmarcbis-41), which replaces RFC 7489.
//
// Organizational domains are found by walking up the DNS tree; no list of
// public suffixes is used. What is done with a message is for others to say.
package dmarc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/dns"
	"waxwing/dns/cache"
)

// A Result is what came of the check. RFC 8601 §2.7.2 calls it so.
type Result string

// The results.
const (
	NoRecord  Result = "none" // the domain takes no part
	Pass      Result = "pass"
	Fail      Result = "fail"
	TempError Result = "temperror"
	PermError Result = "permerror" // there is not one author's domain
)

// Evidence is what was proven otherwise.
type Evidence struct {
	// SPF is the domain of a MAIL FROM that passed, "" if it did not.
	SPF string
	// DKIM are the domains whose signatures passed.
	DKIM []string
	// MaybeSPF and MaybeDKIM are those of which it could not be found out for now
	// whether they pass.
	MaybeSPF  string
	MaybeDKIM []string
}

// A Verdict is what was found out.
type Verdict struct {
	Result Result
	Author string // the author's domain
	// Record is that which applies, and Domain where it was found; empty if
	// there is none.
	Record Record
	Domain string
	// Wanted is what the domain wants for this author's mail if it fails; with
	// t=y, one level below what it says. RFC 9989 §4.7
	Wanted Policy
	// SPF and DKIM say which of them is proof of the author's domain.
	SPF, DKIM bool
	Problem   string // in words, for errors
	// Authentic says that DNSSEC proves the record.
	Authentic bool
}

// maxIdentifiers bounds the domains that a walk is made for.
const maxIdentifiers = 10

// Check judges a message by its author's domain, in A-labels. RFC 9989 §5.3
func Check(ctx context.Context, r dns.Resolver, author string, e Evidence) Verdict {
	return (*Records)(nil).Check(ctx, r, author, e)
}

// Records remembers how the texts of records are read, a bounded number. It
// remembers nothing of who publishes them. The nil Records remembers nothing;
// safe for concurrent use.
type Records struct {
	read *cache.Cache[string, Record]
}

// maxRecords is how many octets of memory records may take.
const maxRecords = 2 << 20

// NewRecords makes one that is empty.
func NewRecords() *Records { return &Records{cache.New[string, Record](maxRecords)} }

// parse is ParseRecord.
func (rs *Records) parse(text string) (Record, bool) {
	if rs == nil {
		return ParseRecord(text)
	}
	r, _, ok := rs.read.Peek(text)
	if ok {
		return r, true
	}
	if r, ok = ParseRecord(text); ok {
		const each = 240 // of a record
		rs.read.Put(text, r, each+3*len(text), time.Time{})
	}
	return r, ok
}

// Check is Check.
func (rs *Records) Check(ctx context.Context, r dns.Resolver, author string, e Evidence) Verdict {
	author = canonical(author)
	v := Verdict{Author: author}
	if author == "" || strings.Contains(author, "..") {
		v.Result, v.Problem = PermError, "the author has no domain"
		return v
	}
	w := &walker{records: rs, resolver: r, seen: map[string][]found{}}
	if err := w.discover(ctx, &v); err != nil {
		v.Result, v.Problem = TempError, err.Error()
		return v
	}
	if v.Domain == "" {
		v.Result = NoRecord
		return v
	}
	v.Result = Fail
	var trouble error
	if v.SPF, v.DKIM, trouble = w.anyProof(ctx, &v, e.SPF, e.DKIM); v.SPF || v.DKIM {
		v.Result = Pass
		return v
	}
	if trouble == nil {
		var spf, dkim bool
		if spf, dkim, trouble = w.anyProof(ctx, &v, e.MaybeSPF, e.MaybeDKIM); spf || dkim {
			trouble = fmt.Errorf("the DNS does not tell for now whether %s vouches for it", author)
		}
	}
	if trouble != nil { // RFC 9989 §5.3.6: then it neither passes nor fails
		v.Result, v.Problem = TempError, trouble.Error()
	}
	return v
}

// anyProof tells whether a domain that SPF, or one that a signature has proven is
// the author's.
func (w *walker) anyProof(ctx context.Context, v *Verdict, sender string, signers []string) (spf, dkim bool, err error) {
	dkim, err = w.anyAligned(ctx, v.Author, signers, v.Record.StrictDKIM)
	if sender != "" {
		var trouble error
		spf, trouble = w.aligned(ctx, v.Author, sender, v.Record.StrictSPF)
		err = errors.Join(err, trouble)
	}
	return spf, dkim, err
}

// canonical gives a name in lower case without the last dot.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// A found is a record and where it was.
type found struct {
	domain string
	record Record
}

// A walker walks up the tree. RFC 9989 §4.10
type walker struct {
	records  *Records
	resolver dns.Resolver
	seen     map[string][]found // what walks from a domain have found
}

// discover finds the record that applies to the author. RFC 9989 §4.10.1
func (w *walker) discover(ctx context.Context, v *Verdict) error {
	record, ok, authentic, err := w.fetch(ctx, v.Author)
	if err != nil {
		return err
	}
	if ok {
		v.Record, v.Domain, v.Wanted, v.Authentic = record, v.Author, record.Policy, authentic
	} else if err := w.inherit(ctx, v); err != nil || v.Domain == "" {
		return err
	}
	if v.Record.Testing {
		v.Wanted = v.Wanted.weaker()
	}
	return nil
}

// inherit takes the record of the organizational domain, or of the public
// suffix above that.
func (w *walker) inherit(ctx context.Context, v *Verdict) error {
	walk, err := w.walk(ctx, v.Author)
	if err != nil || len(walk) == 0 {
		return err
	}
	organization := organizational(v.Author, walk)
	at := slices.IndexFunc(walk, func(f found) bool { return f.domain == organization })
	if at < 0 {
		at = slices.IndexFunc(walk, func(f found) bool { return f.record.PSD == 'y' })
	}
	if at < 0 {
		return nil
	}
	v.Record, v.Domain = walk[at].record, walk[at].domain
	v.Wanted = v.Record.Policy
	if v.Record.Subdomains != "" {
		v.Wanted = v.Record.Subdomains
	}
	if v.Record.Nonexistent == "" {
		return nil
	}
	nowhere, err := w.nonexistent(ctx, v.Author)
	if nowhere {
		v.Wanted = v.Record.Nonexistent
	}
	return err
}

// An Organization is what stands above a domain, and is the domain itself if
// nothing does. RFC 9989 §4.10.2
type Organization struct {
	Domain string
	// Record is what the organizational domain publishes itself; HasRecord says
	// that it does.
	Record    Record
	HasRecord bool
}

// Organization finds the organization of a domain, in A-labels.
func (rs *Records) Organization(ctx context.Context, r dns.Resolver, domain string) (Organization, error) {
	w := &walker{records: rs, resolver: r, seen: map[string][]found{}}
	domain = canonical(domain)
	walk, err := w.walk(ctx, domain)
	if err != nil {
		return Organization{}, err
	}
	o := Organization{Domain: organizational(domain, walk)}
	if at := slices.IndexFunc(walk, func(f found) bool { return f.domain == o.Domain }); at >= 0 {
		o.Record, o.HasRecord = walk[at].record, true
	}
	return o, nil
}

// nonexistent reports whether the DNS says that there is no such name at all.
// RFC 9989 §3.2.13, RFC 8020
func (w *walker) nonexistent(ctx context.Context, name string) (bool, error) {
	_, _, err := w.resolver.LookupAddr(ctx, name)
	if err == nil || !errors.Is(err, dns.ErrNotFound) {
		return false, err
	}
	e, ok := errors.AsType[*dns.Error](err)
	return ok && e.NoName, nil
}

// fetch gives the record at one domain, if there is exactly one.
func (w *walker) fetch(ctx context.Context, domain string) (r Record, ok, authentic bool, err error) {
	if len(domain) > 253-len("_dmarc.") {
		return r, false, false, nil
	}
	texts, result, err := w.resolver.LookupTXT(ctx, "_dmarc."+domain)
	if err != nil {
		if errors.Is(err, dns.ErrNotFound) {
			return r, false, result.Authentic, nil
		}
		return r, false, false, err
	}
	n := 0
	for _, text := range texts {
		if record, valid := w.records.parse(text); valid {
			r = record
			n++
		}
	}
	return r, n == 1, result.Authentic, nil
}

// walk gives the records from a domain upwards, at most eight lookups.
func (w *walker) walk(ctx context.Context, domain string) ([]found, error) {
	if known, ok := w.seen[domain]; ok {
		return known, nil
	}
	records := []found{}
	for target := domain; target != ""; {
		r, ok, _, err := w.fetch(ctx, target)
		if err != nil {
			return nil, err
		}
		if ok {
			records = append(records, found{target, r})
			if r.PSD != 'u' {
				break
			}
		}
		labels := strings.Split(target, ".")
		target = strings.Join(labels[max(1, len(labels)-7):], ".")
	}
	w.seen[domain] = records
	return records, nil
}

// organizational selects the organizational domain of one from which a walk has
// found these records. RFC 9989 §4.10.2
func organizational(domain string, walk []found) string {
	for _, f := range walk {
		switch {
		case f.record.PSD == 'n':
			return f.domain
		case f.record.PSD == 'y' && f.domain != domain:
			below := strings.TrimSuffix(domain, "."+f.domain)
			return below[strings.LastIndexByte(below, '.')+1:] + "." + f.domain
		}
	}
	if len(walk) > 0 {
		return walk[len(walk)-1].domain
	}
	return domain
}

// anyAligned reports whether one of some domains is the author's.
func (w *walker) anyAligned(ctx context.Context, author string, domains []string, strict bool) (bool, error) {
	var trouble error
	for _, d := range domains {
		if canonical(d) == author { // costs nothing
			return true, nil
		}
	}
	for _, d := range domains[:min(len(domains), maxIdentifiers)] {
		ok, err := w.aligned(ctx, author, d, strict)
		if ok {
			return true, nil
		}
		trouble = errors.Join(trouble, err)
	}
	return false, trouble
}

// aligned reports whether a domain that was proven is the author's, or of the
// same organization. RFC 9989 §3.2.10
func (w *walker) aligned(ctx context.Context, author, domain string, strict bool) (bool, error) {
	domain = canonical(domain)
	if domain == author || strict {
		return domain == author, nil
	}
	if top := func(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }; top(author) != top(domain) {
		return false, nil // they can have nothing in common, and none is walked from
	}
	ours, err := w.walk(ctx, author)
	if err != nil {
		return false, err
	}
	// Who lies outside of the author's organization is not asked: else whoever
	// has a domain that does not answer could keep any mail from failing.
	if o := organizational(author, ours); domain != o && !strings.HasSuffix(domain, "."+o) {
		return false, nil
	}
	theirs, err := w.walk(ctx, domain)
	if err != nil {
		return false, err
	}
	return organizational(author, ours) == organizational(domain, theirs), nil
}
