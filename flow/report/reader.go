package report

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/dns"
	"waxwing/format/aggregate"
	"waxwing/format/arf"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/reports"
	"waxwing/trust/dmarc"
)

// An Inbox keeps the DMARC reports that come to us.
type Inbox struct {
	store    *reports.Store
	resolver dns.Resolver
	local    func(ctx context.Context, domain string) (bool, error)
}

// NewInbox makes an Inbox. Local tells whether a domain is ours.
func NewInbox(s *reports.Store, r dns.Resolver, local func(ctx context.Context, domain string) (bool, error)) *Inbox {
	return &Inbox{s, r, local}
}

// Aggregate reads a DMARC aggregate report. It is a Reader.
func (x *Inbox) Aggregate(ctx context.Context, now time.Time, d Document) (what string, err error) {
	r, err := aggregate.Parse(d.Text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnread, err)
	}
	if err := x.concerns(ctx, r.Policy.Domain, d.Mail.To); err != nil {
		return "", err
	}
	data, err := packReport(r)
	if err != nil {
		return "", err
	}
	what = fmt.Sprintf("aggregate report of %s about %s, %s", r.Org, r.Policy.Domain, r.Begin.Format(time.DateOnly))
	return x.keep(ctx, what, reports.Report{
		Kind: reports.DMARC, Domain: r.Policy.Domain, From: r.Begin, To: r.End, Org: r.Org, ID: r.ID, Proven: d.Proven, Received: now, Data: data,
	})
}

// Failure reads a report of a single message. It is a Reader.
func (x *Inbox) Failure(ctx context.Context, now time.Time, d Document) (what string, err error) {
	p := message.NewParser()
	_, _ = p.Write(d.Text) // never fails
	m := p.Finish()
	f, header, err := arf.Read(bytes.NewReader(d.Text), m)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnread, err)
	}
	if f.Type != "auth-failure" || len(f.Domains) == 0 {
		return "", fmt.Errorf("%w: it is of the type %q", ErrUnread, f.Type)
	}
	if err := x.concerns(ctx, f.Domains[0], d.Mail.To); err != nil {
		return "", err
	}
	org := d.Proven
	if org == "" && len(m.Envelope.From) > 0 {
		org = strings.ToLower(m.Envelope.From[0].Domain)
	}
	at := f.Arrival
	if at.IsZero() || at.After(now) {
		at = now
	}
	data, err := pack(failureRecord{f.Bytes(), header[:min(len(header), maxHeader)]})
	if err != nil {
		return "", err
	}
	what = fmt.Sprintf("failure report of %s about %s", org, f.Domains[0])
	return x.keep(ctx, what, reports.Report{
		Kind: reports.Failure, Domain: f.Domains[0], From: at, To: at, Org: org, ID: m.Envelope.MessageID, Proven: d.Proven, Received: now, Data: data,
	})
}

// keep keeps a report, and says what came of it.
func (x *Inbox) keep(ctx context.Context, what string, r reports.Report) (string, error) {
	switch err := x.store.Keep(ctx, r); {
	case err == nil:
		return what, nil
	case errors.Is(err, reports.ErrKnown):
		return what + " (has come before)", nil
	case errors.Is(err, reports.ErrTooLarge), errors.Is(err, reports.ErrNoRoom), errors.Is(err, reports.ErrDate):
		return "", fmt.Errorf("%w: %s: %w", ErrUnread, what, err)
	default:
		return "", err
	}
}

// concerns tells whether a report about a domain is for us: the domain is ours,
// or we have agreed to hear of it. Anything else strangers could make up without
// end.
func (x *Inbox) concerns(ctx context.Context, domain, to string) error {
	for name := domain; strings.Contains(name, "."); _, name, _ = strings.Cut(name, ".") {
		local, err := x.local(ctx, name)
		if err != nil {
			return err
		}
		if local {
			return nil
		}
	}
	address, err := mail.ParseAddress(to)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnread, err)
	}
	_, err = dmarc.Agreed(ctx, x.resolver, domain, dmarc.Destination{Address: address.String()}, false)
	if errors.Is(err, dmarc.ErrUnwanted) {
		return fmt.Errorf("%w: it is about %s, which is no domain of ours", ErrUnread, domain)
	}
	return err
}

// What is kept of reports begins with a version; CBOR in gzip follows.
const keptVersion = 1

// A failureRecord is what is kept of a failure report.
type failureRecord struct {
	Feedback []byte `cbor:"1,keyasint"`
	Header   []byte `cbor:"2,keyasint"`
}

// ReadFailure gives what is kept of a failure report, and the header of the
// message that it is about.
func ReadFailure(kept reports.Report) (*arf.Feedback, []byte, error) {
	var r failureRecord
	if err := unpackKept(kept.Data, &r); err != nil {
		return nil, nil, err
	}
	f, err := arf.Parse(r.Feedback)
	return f, r.Header, err
}

// maxKept bounds what is read back.
const maxKept = 64 << 20

func pack(v any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(keptVersion)
	z := gzip.NewWriter(&b)
	if err := cbor.NewEncoder(z).Encode(v); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

// packReport is pack for as many records of a report as there is room for.
func packReport(r *aggregate.Report) ([]byte, error) {
	for {
		data, err := pack(r)
		if err != nil || len(data) <= reports.MaxReport || len(r.Records) == 0 {
			return data, err
		}
		// The sources of most messages tell most.
		slices.SortStableFunc(r.Records, func(a, b aggregate.Record) int { return int(min(max(int64(b.Count)-int64(a.Count), -1), 1)) })
		r.Records, r.Cut = r.Records[:len(r.Records)/2], true
	}
}

func unpackKept(data []byte, v any) error {
	if len(data) == 0 || data[0] != keptVersion {
		return errors.New("a report that was kept has an unknown form")
	}
	z, err := gzip.NewReader(bytes.NewReader(data[1:]))
	if err != nil {
		return err
	}
	return cbor.NewDecoder(io.LimitReader(z, maxKept)).Decode(v)
}
