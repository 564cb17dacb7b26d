package report

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/store/reports"
	"waxwing/trust/tlsrpt"
)

// A TLSReader reads what others report about reaching us with TLS.
type TLSReader struct {
	store *reports.Store
	// ours tells whether a domain is one of ours.
	ours func(ctx context.Context, domain string) (bool, error)
}

// NewTLSReader makes one.
func NewTLSReader(s *reports.Store, ours func(ctx context.Context, domain string) (bool, error)) *TLSReader {
	return &TLSReader{s, ours}
}

// Read is a Reader. A report counts for the domains of ours that its policies
// are about, and where that is a server, for the domain that it was sent to.
func (t *TLSReader) Read(ctx context.Context, now time.Time, d Document) (string, error) {
	// Reports that nobody has signed must be ignored. RFC 8460 §3
	if d.Proven == "" && d.Mail.Results != "" {
		return "", fmt.Errorf("%w: nobody has signed it", ErrUnread)
	}
	r, err := tlsrpt.ParseReport(d.Text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnread, err)
	}
	to, err := mail.ParseAddress(d.Mail.To)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnread, err)
	}
	about := map[string][]tlsrpt.PolicyReport{}
	for _, p := range r.Policies {
		domain := to.Domain
		if p.Policy.Domain != "" && p.Policy.Domain != domain {
			ours, err := t.ours(ctx, p.Policy.Domain)
			if err != nil {
				return "", err
			}
			if ours {
				domain = p.Policy.Domain
			}
		}
		about[domain] = append(about[domain], p)
	}
	var told []string
	for domain, policies := range about {
		one := r
		one.Policies = policies
		what, err := t.keep(ctx, now, d, domain, one)
		if err != nil {
			return "", err
		}
		told = append(told, what)
	}
	return strings.Join(told, "; "), nil
}

// keep keeps what a report says about a domain.
func (t *TLSReader) keep(ctx context.Context, now time.Time, d Document, domain string, r tlsrpt.Report) (string, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnread, err)
	}
	what := fmt.Sprintf("TLS, about %s, from %s to %s, by %s", domain, r.Range.Start.Format(time.DateOnly), r.Range.End.Format(time.DateOnly), r.Organization)
	err = t.store.Keep(ctx, reports.Report{
		Kind: reports.TLS, Domain: domain, From: r.Range.Start, To: r.Range.End,
		Org: cmp.Or(r.Organization, r.Contact, d.Proven), ID: r.ID, Proven: d.Proven, Received: now, Data: data,
	})
	switch {
	case errors.Is(err, reports.ErrKnown):
		return what + " (known)", nil
	case errors.Is(err, reports.ErrNoRoom), errors.Is(err, reports.ErrTooLarge), errors.Is(err, reports.ErrDate):
		return "", fmt.Errorf("%w: %w", ErrUnread, err)
	}
	return what, err
}
