package report

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/format/aggregate"
	"waxwing/mail"
	"waxwing/store/reports"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/verify"
)

// A Tally counts messages for the domains that want reports about mail in
// their name. It is a receive.Witness, safe for concurrent use, and costs a
// message some microseconds.
type Tally struct {
	store    *reports.Store
	failures *Failures
}

// NewTally makes a Tally. Failures is told of messages that fail; nil for
// nobody.
func NewTally(s *reports.Store, f *Failures) *Tally { return &Tally{s, f} }

// Proven counts a message, if its author's domain wants that. Reports are not
// reported about.
func (t *Tally) Proven(now time.Time, a *deliver.Arrival, env mail.Envelope, to []deliver.Recipient, f verify.Findings, v policy.Verdict) {
	if f.DMARC.Domain == "" || deliver.ForReports(to) {
		return
	}
	if len(f.DMARC.Record.Aggregate) > 0 {
		b := appendPolicy(make([]byte, 0, usualOctets), f.DMARC)
		n := len(b)
		b = appendRow(b, rowOf(f, v))
		t.store.Count(now, reports.DMARC, f.DMARC.Domain, b[:n], b[n:], 1)
	}
	if t.failures != nil {
		t.failures.consider(now, a, env, f, v)
	}
}

// usualOctets is what a policy and a row take, as a rule.
const usualOctets = 1 << 10

// Limits of what a row holds.
const (
	maxSignatures = 10
	maxReason     = 80
)

// rowOf says what became of a message as a report does.
func rowOf(f verify.Findings, v policy.Verdict) aggregate.Record {
	r := aggregate.Record{
		Source: f.Origin.IP.Unmap(), DKIM: f.DMARC.DKIM, SPF: f.DMARC.SPF, HeaderFrom: f.DMARC.Author,
	}
	if at := strings.LastIndexByte(f.Origin.Sender, '@'); at >= 0 {
		r.EnvelopeFrom = strings.ToLower(f.Origin.Sender[at+1:])
	}
	r.Disposition, r.Reasons = disposed(f, v)
	r.AuthDKIM = make([]aggregate.DKIM, 0, min(len(f.DKIM), maxSignatures))
	for _, s := range preferred(f) {
		r.AuthDKIM = append(r.AuthDKIM, aggregate.DKIM{Domain: s.Domain, Selector: s.Selector, Result: string(s.Status), Text: short(s.Reason)})
	}
	if f.SPF.Domain != "" {
		// With the null sender that is postmaster at the HELO's name, and still the
		// identity of MAIL FROM. RFC 7208 §2.4, RFC 9990 §3.1.1.13
		r.AuthSPF = []aggregate.SPF{{Domain: f.SPF.Domain, Scope: "mfrom", Result: string(f.SPF.Result), Text: short(f.SPF.Problem)}}
	}
	return r
}

// disposed says what was done with a message, and why, if its domain wants
// something else.
func disposed(f verify.Findings, v policy.Verdict) (aggregate.Disposition, []aggregate.Reason) {
	d := f.DMARC
	if d.Result == dmarc.Pass {
		if d.Wanted == dmarc.None {
			return aggregate.None, nil
		}
		return aggregate.Pass, nil
	}
	var reasons []aggregate.Reason
	switch {
	case f.Sealer != "": // RFC 8617 §7.2.2
		reasons = append(reasons, aggregate.Reason{Type: aggregate.TrustedForwarder, Comment: "arc=pass as." + f.Sealer})
	case v.Override != policy.None:
		reasons = append(reasons, aggregate.Reason{Type: string(v.Override)})
	}
	if d.Record.Testing && (d.Record.Policy != dmarc.None || d.Wanted != dmarc.None) {
		reasons = append(reasons, aggregate.Reason{Type: aggregate.PolicyTestMode})
	}
	if d.Result == dmarc.TempError {
		reasons = append(reasons, aggregate.Reason{Type: aggregate.Other, Comment: "the DNS did not answer"})
	}
	switch {
	case v.Refusal != nil:
		return aggregate.Reject, reasons
	case v.Junk:
		return aggregate.Quarantine, reasons
	}
	return aggregate.None, reasons
}

// preferred gives the signatures that a report names, those that tell most
// first. RFC 9990 §3.1.3
func preferred(f verify.Findings) []dkim.Result {
	rank := func(s dkim.Result) int {
		switch {
		case s.Status == dkim.Pass && s.Domain == f.DMARC.Author:
			return 0
		case s.Status == dkim.Pass && (strings.HasSuffix(f.DMARC.Author, "."+s.Domain) || strings.HasSuffix(s.Domain, "."+f.DMARC.Author)):
			return 1
		case s.Status == dkim.Pass:
			return 2
		}
		return 3
	}
	all := f.DKIM
	if len(all) > 1 {
		all = slices.SortedStableFunc(slices.Values(all), func(a, b dkim.Result) int { return rank(a) - rank(b) })
	}
	return all[:min(len(all), maxSignatures)]
}

func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxReason)], "") }

// Rows and policies lie in the store as texts in their order, each behind its
// length, after a version. A row is
//
//	version address(16) disposition aligned header-from envelope-from
//	n (type comment)* n (domain selector result text)* n (domain scope result text)*
//
// and a policy
//
//	version domain p sp np fo adkim aspf testing n (address limit)*
const rowVersion = 1

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTexts(b []byte, list ...string) []byte {
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func appendRow(b []byte, r aggregate.Record) []byte {
	address := r.Source.As16()
	b = append(append(b, rowVersion), address[:]...)
	aligned := byte(0)
	if r.DKIM {
		aligned |= 1
	}
	if r.SPF {
		aligned |= 2
	}
	b = append(appendText(b, string(r.Disposition)), aligned)
	b = appendTexts(b, r.HeaderFrom, r.EnvelopeFrom)
	b = binary.AppendUvarint(b, uint64(len(r.Reasons)))
	for _, x := range r.Reasons {
		b = appendTexts(b, x.Type, x.Comment)
	}
	b = binary.AppendUvarint(b, uint64(len(r.AuthDKIM)))
	for _, x := range r.AuthDKIM {
		b = appendTexts(b, x.Domain, x.Selector, x.Result, x.Text)
	}
	b = binary.AppendUvarint(b, uint64(len(r.AuthSPF)))
	for _, x := range r.AuthSPF {
		b = appendTexts(b, x.Domain, x.Scope, x.Result, x.Text)
	}
	return b
}

// A cutter takes texts off.
type cutter struct {
	b   []byte
	bad bool
}

var errRow = errors.New("a row of a report is damaged")

func (c *cutter) number() uint64 {
	n, used := binary.Uvarint(c.b)
	if used <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[used:]
	return n
}

func (c *cutter) octets(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	cut := c.b[:n]
	c.b = c.b[n:]
	return cut
}

func (c *cutter) text() string { return string(c.octets(c.number())) }

// each calls fn as often as a number says.
func (c *cutter) each(fn func()) {
	for n := c.number(); n > 0 && !c.bad; n-- {
		fn()
	}
}

func (c *cutter) end() error {
	if c.bad || len(c.b) > 0 {
		return errRow
	}
	return nil
}

func parseRow(b []byte) (r aggregate.Record, err error) {
	if len(b) < 17 || b[0] != rowVersion {
		return r, errRow
	}
	c := &cutter{b: b[17:]}
	r.Source = netip.AddrFrom16([16]byte(b[1:17])).Unmap()
	r.Disposition = aggregate.Disposition(c.text())
	if aligned := c.octets(1); len(aligned) == 1 {
		r.DKIM, r.SPF = aligned[0]&1 != 0, aligned[0]&2 != 0
	}
	r.HeaderFrom, r.EnvelopeFrom = c.text(), c.text()
	c.each(func() { r.Reasons = append(r.Reasons, aggregate.Reason{Type: c.text(), Comment: c.text()}) })
	c.each(func() {
		r.AuthDKIM = append(r.AuthDKIM, aggregate.DKIM{Domain: c.text(), Selector: c.text(), Result: c.text(), Text: c.text()})
	})
	c.each(func() {
		r.AuthSPF = append(r.AuthSPF, aggregate.SPF{Domain: c.text(), Scope: c.text(), Result: c.text(), Text: c.text()})
	})
	return r, c.end()
}

func appendPolicy(b []byte, d dmarc.Verdict) []byte {
	r := d.Record
	b = appendTexts(append(b, rowVersion), d.Domain, string(r.Policy), string(r.Subdomains), string(r.Nonexistent),
		strings.Join(r.Options, ":"), strictness(r.StrictDKIM), strictness(r.StrictSPF), yes(r.Testing))
	b = binary.AppendUvarint(b, uint64(len(r.Aggregate)))
	for _, to := range r.Aggregate {
		b = binary.AppendUvarint(appendText(b, to.Address), uint64(to.Limit))
	}
	return b
}

func parsePolicy(b []byte) (p aggregate.Policy, to []dmarc.Destination, err error) {
	if len(b) == 0 || b[0] != rowVersion {
		return p, nil, errRow
	}
	c := &cutter{b: b[1:]}
	p = aggregate.Policy{
		Discovery: "treewalk", Domain: c.text(), P: c.text(), SP: c.text(), NP: c.text(), FO: c.text(),
		ADKIM: c.text(), ASPF: c.text(), Testing: c.text(),
	}
	c.each(func() { to = append(to, dmarc.Destination{Address: c.text(), Limit: int64(c.number() & (1<<63 - 1))}) })
	return p, to, c.end()
}

func strictness(strict bool) string {
	if strict {
		return "s"
	}
	return "r"
}

func yes(b bool) string {
	if b {
		return "y"
	}
	return "n"
}
