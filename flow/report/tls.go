package report

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/reports"
	"waxwing/trust/tlsrpt"
)

// Sessions counts attempts to reach other servers with TLS, to be reported to
// the domains whose mail went there. It is safe for concurrent use, and costs an
// attempt some microseconds.
type Sessions struct{ store *reports.Store }

// NewSessions makes one.
func NewSessions(s *reports.Store) *Sessions { return &Sessions{s} }

// Count counts one.
func (s *Sessions) Count(session tlsrpt.Session) {
	s.store.Count(time.Now(), reports.TLS, session.Domain, nil, session.Row(), 1)
}

// TLSReports makes reports of TLS. It is a Source. RFC 8460
type TLSReports struct {
	store     *reports.Store
	deliverer *deliver.Deliverer
	resolver  dns.Resolver
	author    Author
	poster    *Poster
}

// NewTLSReports makes one.
func NewTLSReports(s *reports.Store, d *deliver.Deliverer, r dns.Resolver, a Author, p *Poster) *TLSReports {
	return &TLSReports{s, d, r, a, p}
}

// Kind is that of TLS.
func (t *TLSReports) Kind() reports.Kind { return reports.TLS }

// Report makes the report of a domain, for all who are to get it. Whether the
// domain wants one is looked up only now. RFC 8460 §3
func (t *TLSReports) Report(ctx context.Context, now time.Time, subject reports.Subject) (Daily, error) {
	record, _, err := tlsrpt.Lookup(ctx, t.resolver, subject.Domain)
	switch {
	case errors.Is(err, dns.ErrTemporary):
		return Daily{}, err
	case err != nil:
		return Daily{}, fmt.Errorf("%w: %w", ErrNever, err)
	}
	gathered, err := t.store.Gathered(ctx, subject)
	if err != nil {
		return Daily{}, err
	}
	var tally tlsrpt.Tally
	for _, r := range gathered.Rows {
		if err := tally.Add(r.Data, r.Count); err != nil {
			return Daily{}, fmt.Errorf("%w: what was counted cannot be read: %w", ErrNever, err)
		}
	}
	author := t.author.of(ctx, t.deliverer)
	report := tlsrpt.Report{
		Organization: author.Organization, Contact: author.Address.String(), Range: tlsrpt.Day(subject.Day.Start()),
		ID: reportID(author, subject), Policies: tally.Policies(),
	}
	if len(report.Policies) == 0 {
		return Daily{}, fmt.Errorf("%w: nothing was counted", ErrNever)
	}
	// What nobody has signed is ignored. RFC 8460 §3
	keys, err := t.deliverer.SigningKeys(ctx, now, author.Address.Domain)
	if err != nil {
		return Daily{}, err
	}
	return t.daily(now, author, subject.Domain, record, report, len(keys) > 0)
}

// reportID names a report: the same whenever it is made. RFC 8460 §4.4
func reportID(author Author, subject reports.Subject) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "tls %s %s", author.Hostname, subject.Domain))
	return fmt.Sprintf("%s.%s@%s", subject.Day.Start().Format("20060102"), hex.EncodeToString(sum[:8]), author.Address.Domain)
}

// daily says where a report goes.
func (t *TLSReports) daily(now time.Time, author Author, domain string, record tlsrpt.Record, report tlsrpt.Report, signed bool) (Daily, error) {
	var daily Daily
	var told, urls []string
	for _, to := range record.To {
		if to.URL != "" {
			urls = append(urls, to.URL)
			continue
		}
		letter, err := tlsLetter(now, author, domain, report, to.Mail)
		if err == nil && !signed {
			err = fmt.Errorf("no key signs for %s", author.Address.Domain)
		}
		if err != nil {
			told = append(told, fmt.Sprintf("not sent to %s: %s", to, err))
			continue
		}
		daily.Letters = append(daily.Letters, letter)
		told = append(told, "sent to "+letter.To.String())
	}
	daily.Outcome = strings.Join(told, "; ")
	switch {
	case len(urls) > 0:
		packed, err := report.Compressed()
		if err != nil {
			return Daily{}, err
		}
		daily.Deliver = func(ctx context.Context) (string, error) {
			return t.post(ctx, urls, packed, slices.Clone(told), len(daily.Letters) > 0)
		}
	case len(daily.Letters) == 0:
		return Daily{}, fmt.Errorf("%w: %s", ErrNever, daily.Outcome)
	}
	return daily, nil
}

// post sends a report by HTTPS to all who want it so. It fails, to be tried
// again, if nobody takes it and it does not go by mail either: one destination
// is enough. RFC 8460 §3, §5.5
func (t *TLSReports) post(ctx context.Context, urls []string, packed []byte, told []string, mailed bool) (string, error) {
	var failed error
	taken := mailed
	for _, url := range urls {
		if err := t.poster.Post(ctx, url, tlsrpt.TypeGzip, packed); err != nil {
			failed = errors.Join(failed, err)
			told = append(told, fmt.Sprintf("not sent to %s: %s", url, err))
			continue
		}
		taken = true
		told = append(told, "sent to "+url)
	}
	if !taken {
		return "", failed
	}
	return strings.Join(told, "; "), nil
}

// tlsLetter writes the mail that a report goes in. It is on its way whatever
// becomes of TLS: its readers want to hear of that. RFC 8460 §3, §5.3
func tlsLetter(now time.Time, author Author, domain string, report tlsrpt.Report, address string) (Letter, error) {
	to, err := mail.ParseAddress(address)
	if err != nil {
		return Letter{}, err
	}
	if ascii, err := idna.Lookup.ToASCII(to.Domain); err == nil {
		to.Domain = ascii
	}
	text, err := tlsrpt.Mail{
		Report: report, Domain: domain, Submitter: author.Address.Domain,
		From: message.Address{Name: author.Organization, Local: author.Address.Local, Domain: author.Address.Domain},
		To:   message.Address{Local: to.Local, Domain: to.Domain}, MessageID: rand.Text() + "." + report.ID, Date: now,
	}.Bytes()
	return Letter{From: author.Address, To: to, Text: text, OptionalTLS: true}, err
}
