package report

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/format/aggregate"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/reports"
	"waxwing/trust/dmarc"
)

// An Author is in whose name reports go out.
type Author struct {
	// Address is in a domain of ours; zero for the postmaster of one of them.
	Address mail.Address
	// Organization is how reports call us; "" for the domain of the address.
	Organization string
	// Hostname is the server's.
	Hostname string
	// Generator is the program and its version.
	Generator string
}

// of gives the author with everything filled in.
func (a Author) of(ctx context.Context, d *deliver.Deliverer) Author {
	if a.Address.Domain == "" {
		a.Address = d.Postmaster(ctx, mail.Address{}, a.Hostname)
	}
	if ascii, err := idna.Lookup.ToASCII(a.Address.Domain); err == nil {
		a.Address.Domain = ascii
	}
	a.Organization = cmp.Or(a.Organization, a.Address.Domain)
	return a
}

// Aggregates makes DMARC aggregate reports. It is a Source.
type Aggregates struct {
	store     *reports.Store
	deliverer *deliver.Deliverer
	resolver  dns.Resolver
	author    Author
}

// NewAggregates makes one.
func NewAggregates(s *reports.Store, d *deliver.Deliverer, r dns.Resolver, a Author) *Aggregates {
	return &Aggregates{s, d, r, a}
}

// Kind is that of DMARC.
func (a *Aggregates) Kind() reports.Kind { return reports.DMARC }

// Report makes the report of a domain, for all who are to get it.
func (a *Aggregates) Report(ctx context.Context, now time.Time, subject reports.Subject) (Daily, error) {
	gathered, err := a.store.Gathered(ctx, subject)
	if err != nil {
		return Daily{}, err
	}
	published, wanted, err := parsePolicy(gathered.About)
	if err != nil || len(gathered.Rows) == 0 { // RFC 9990 §3.1.1.2: there must be a record
		return Daily{}, fmt.Errorf("%w: nothing was counted that can be read", ErrNever)
	}
	to, refused, err := agreed(ctx, a.resolver, subject.Domain, wanted, false)
	if err != nil {
		return Daily{}, err
	}
	if len(to) == 0 {
		return Daily{}, fmt.Errorf("%w: %s", ErrNever, cmp.Or(strings.Join(refused, "; "), "it names no mail address"))
	}
	author := a.author.of(ctx, a.deliverer)
	r, err := reportOf(author, subject, published, gathered)
	if err != nil {
		return Daily{}, err
	}
	packed, err := r.Compressed()
	if err != nil {
		return Daily{}, err
	}
	var daily Daily
	told := refused
	for _, d := range to {
		letter, err := aggregateLetter(now, author, r, packed, d)
		if err == nil && d.Limit > 0 && letter.Size() > d.Limit {
			err = fmt.Errorf("%w: %d octets to %s", ErrTooLarge, letter.Size(), d.Address)
		}
		if err != nil {
			told = append(told, err.Error())
			continue
		}
		told = append(told, "sent to "+letter.To.String())
		daily.Letters = append(daily.Letters, letter)
	}
	if daily.Outcome = strings.Join(told, "; "); len(daily.Letters) == 0 {
		return Daily{}, fmt.Errorf("%w: %s", ErrNever, daily.Outcome)
	}
	return daily, nil
}

// agreed gives those of some destinations who want reports about a domain, and
// says in words who does not. An error is of the DNS, and may pass.
func agreed(ctx context.Context, r dns.Resolver, domain string, wanted []dmarc.Destination, failure bool) (to []dmarc.Destination, refused []string, err error) {
	for _, d := range wanted {
		some, err := dmarc.Agreed(ctx, r, domain, d, failure)
		if errors.Is(err, dmarc.ErrUnwanted) {
			refused = append(refused, fmt.Sprintf("not sent to %s: its domain has no record %s._report._dmarc.%s", d.Address, domain, d.Domain()))
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("who wants reports about %s: %w", domain, err)
		}
		for _, one := range some {
			if !slices.ContainsFunc(to, func(had dmarc.Destination) bool { return strings.EqualFold(had.Address, one.Address) }) {
				to = append(to, one)
			}
		}
	}
	return to, refused, nil
}

// reportOf makes a report of what was counted.
func reportOf(author Author, subject reports.Subject, published aggregate.Policy, g reports.Gathering) (*aggregate.Report, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s", author.Hostname, subject.Domain))
	r := &aggregate.Report{
		Org: author.Organization, Email: author.Address.String(), Generator: author.Generator, Policy: published,
		ID:    fmt.Sprintf("%s.%s@%s", subject.Day.Start().Format("20060102"), hex.EncodeToString(sum[:8]), author.Address.Domain),
		Begin: subject.Day.Start(), End: subject.Day.End().Add(-time.Second),
	}
	r.Policy.Domain = subject.Domain
	for _, row := range g.Rows {
		record, err := parseRow(row.Data)
		if err != nil {
			return nil, err
		}
		record.Count = row.Count
		r.Records = append(r.Records, record)
	}
	slices.SortStableFunc(r.Records, func(a, b aggregate.Record) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.Source.Compare(b.Source))
	})
	if g.Lost > 0 {
		r.Errors = append(r.Errors, fmt.Sprintf("%d more messages were too many to be listed", g.Lost))
	}
	return r, nil
}

// aggregateLetter writes the mail that a report goes in. RFC 9990 §3.5.2
func aggregateLetter(now time.Time, author Author, r *aggregate.Report, packed []byte, to dmarc.Destination) (Letter, error) {
	address, err := mail.ParseAddress(to.Address[:strings.LastIndexByte(to.Address, '@')+1] + to.Domain())
	if err != nil {
		return Letter{}, fmt.Errorf("not sent to %s: %w", url.PathEscape(to.Address), err)
	}
	var passed, all uint64
	for _, record := range r.Records {
		if all += record.Count; record.Pass() {
			passed += record.Count
		}
	}
	text := fmt.Sprintf("This is a DMARC aggregate report (RFC 9990) from %s about mail in the name of %s,\nfor %s (UTC).\n\n"+
		"Messages: %d\nOf these proven to be from %s: %d\n\nIt is for programs, which find it attached. It is sent because the DMARC record of %s asks for it.\n",
		author.Organization, r.Policy.Domain, r.Begin.Format(time.DateOnly), all, r.Policy.Domain, passed, r.Policy.Domain)
	b := message.NewMultipart("mixed",
		message.NewText("plain", text),
		message.NewAttachment(r.Filename(author.Address.Domain), "application/gzip", bytes.NewReader(packed)),
	)
	envelope(b, now, author, address, r.Subject(author.Address.Domain))
	b.AddMessageIDs("Message-ID", r.ID)
	var out bytes.Buffer
	_, err = b.WriteTo(&out)
	return Letter{From: author.Address, To: address, Text: out.Bytes(), Limit: to.Limit}, err
}

// envelope adds what all reports have in their headers.
func envelope(b *message.Builder, now time.Time, author Author, to mail.Address, subject string) {
	b.AddDate("Date", now)
	b.AddAddresses("From", message.Address{Name: author.Organization, Local: author.Address.Local, Domain: author.Address.Domain})
	b.AddAddresses("To", message.Address{Local: to.Local, Domain: to.Domain})
	b.AddText("Subject", subject)
	b.AddRaw("Auto-Submitted", "auto-generated") // RFC 3834 §5
}
