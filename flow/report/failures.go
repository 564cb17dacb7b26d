package report

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"waxwing/dns"
	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/format/arf"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/reports"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
	"waxwing/trust/verify"
)

// Limits of reports about single messages.
const (
	// maxWaiting is how many wait to be made; more are left out.
	maxWaiting = 100
	// maxHeader is how much is looked at of a header.
	maxHeader = 64 << 10
	// maxRemembered bounds the domains and sources that are told apart.
	maxRemembered = 10_000
)

// FailureOptions say how single messages are reported.
type FailureOptions struct {
	Author Author
	// PerDay is how many reports one domain gets in a day at most; of one source
	// it gets one.
	PerDay int
	Log    *slog.Logger
}

// Failures reports single messages that are not proven to be from the domain
// in their From, to domains that ask for that. RFC 9991
//
// The reports are made when there is time, and not kept: what waits when the
// server stops is not sent.
type Failures struct {
	post     *Post
	resolver dns.Resolver
	o        FailureOptions
	key      []byte // of what replaces local parts
	waiting  chan failure

	mu    sync.Mutex // guards what follows
	day   reports.Day
	sent  map[string]int // domain -> reports today
	again map[failed]int // messages like one that was reported, since
}

// A failed source is one that is reported once a day.
type failed struct {
	domain string
	source netip.Addr
}

// A failure is a message to be reported.
type failure struct {
	at       time.Time
	findings verify.Findings
	result   string // what was done with it, RFC 6591 §3.2.2
	mailFrom string
	header   []byte
}

// NewFailures makes one.
func NewFailures(p *Post, r dns.Resolver, o FailureOptions) *Failures {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &Failures{
		post: p, resolver: r, o: o, key: key, waiting: make(chan failure, maxWaiting), sent: map[string]int{}, again: map[failed]int{},
	}
}

// wanted tells whether a domain wants to hear of a message. RFC 9989 §4.7, fo
func wanted(f verify.Findings) bool {
	d := f.DMARC
	// Public suffixes get no such reports. RFC 9991
	if len(d.Record.Failure) == 0 || d.Record.PSD == 'y' || d.Result == dmarc.TempError {
		return false
	}
	for _, option := range d.Record.Options {
		switch {
		case option == "0" && d.Result == dmarc.Fail, option == "1" && !(d.SPF && d.DKIM):
			return true
		case option == "d" && slices.ContainsFunc(f.DKIM, func(s dkim.Result) bool { return s.Status != dkim.Pass && s.Status != dkim.TempError }):
			return true
		case option == "s" && f.SPF.Result != spf.Pass && f.SPF.Result != spf.TempError:
			return true
		}
	}
	return false
}

// consider has a message reported if its domain wants that.
func (x *Failures) consider(now time.Time, a *deliver.Arrival, env mail.Envelope, f verify.Findings, v policy.Verdict) {
	// What has no sender is about other mail, and a report about it could be
	// answered by another.
	if env.From.IsNull() || !wanted(f) || !x.mayReport(now, f) {
		return
	}
	header, err := a.Header()
	if err != nil {
		return
	}
	header = header[:min(len(header), maxHeader)]
	for field := range message.Fields(header) {
		if field.Is("Auto-Submitted") && !strings.EqualFold(field.Text(), "no") {
			return
		}
	}
	result := "delivered"
	switch {
	case v.Refusal != nil:
		result = "reject"
	case v.Junk:
		result = "spam"
	}
	select {
	case x.waiting <- failure{now, f, result, env.From.String(), bytes.Clone(header)}:
	default: // there are too many
	}
}

// mayReport tells whether a message is to be reported, and counts it.
func (x *Failures) mayReport(now time.Time, f verify.Findings) bool {
	source := failed{f.DMARC.Domain, f.Origin.IP}
	x.mu.Lock()
	defer x.mu.Unlock()
	if day := reports.DayOf(now); day != x.day {
		x.day = day
		clear(x.sent)
		clear(x.again)
	}
	n, known := x.again[source]
	switch {
	case known:
		x.again[source] = n + 1
		return false
	case x.sent[source.domain] >= x.o.PerDay, len(x.again) >= maxRemembered:
		return false
	}
	x.again[source] = 0
	x.sent[source.domain]++
	return true
}

// Run makes reports until ctx ends.
func (x *Failures) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-x.waiting:
			err := x.report(ctx, time.Now(), f)
			if err != nil && ctx.Err() == nil {
				x.o.Log.Info("a failure is not reported", obs.Domain, f.findings.DMARC.Domain, obs.Err, err)
			}
		}
	}
}

// report makes and sends the report of one message.
func (x *Failures) report(ctx context.Context, now time.Time, f failure) error {
	domain := f.findings.DMARC.Domain
	to, refused, err := agreed(ctx, x.resolver, domain, f.findings.DMARC.Record.Failure, true)
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return fmt.Errorf("%w: %s", ErrNever, strings.Join(refused, "; "))
	}
	author := x.o.Author.of(ctx, x.post.deliverer)
	feedback := x.feedback(ctx, f, author)
	text := fmt.Sprintf("This is an authentication failure report (RFC 9991) from %s about a message in the name of %s,\nreceived from %s on %s.\n",
		author.Organization, domain, f.findings.Origin.IP, message.FormatDate(f.at))
	var letters []Letter
	for _, d := range to {
		address, err := mail.ParseAddress(d.Address[:strings.LastIndexByte(d.Address, '@')+1] + d.Domain())
		if err != nil {
			continue
		}
		b := feedback.Message(text, arf.Redact(f.header, f.findings.DMARC.Author, x.key))
		envelope(b, now, author, address, "Report of a message in the name of "+domain)
		b.AddMessageIDs("Message-ID", message.NewMessageID(author.Address.Domain))
		var out bytes.Buffer
		if _, err := b.WriteTo(&out); err != nil {
			return err
		}
		if d.Limit == 0 || int64(out.Len()) <= d.Limit {
			letters = append(letters, Letter{From: author.Address, To: address, Text: out.Bytes()})
		}
	}
	if len(letters) == 0 {
		return errors.New("nobody takes it")
	}
	if err := x.post.Send(ctx, now, "", letters...); err != nil {
		return err
	}
	x.o.Log.Info("failure reported", obs.Domain, domain, obs.Remote, f.findings.Origin.IP.String())
	return nil
}

// feedback says what was found out. RFC 9991 §4
func (x *Failures) feedback(ctx context.Context, f failure, author Author) *arf.Feedback {
	d := f.findings.DMARC
	b := &arf.Feedback{
		Type: "auth-failure", UserAgent: author.Generator, Arrival: f.at, Source: f.findings.Origin.IP, Domains: []string{d.Author},
		MailFrom: "<" + arf.Address(f.mailFrom, d.Author, x.key) + ">",
		Results:  fmt.Sprintf("%s; dmarc=%s header.from=%s", author.Hostname, d.Result, d.Author),
		Failure:  "dmarc", DeliveryResult: f.result,
	}
	var failed []string
	if !d.DKIM {
		failed = append(failed, "dkim")
	}
	if !d.SPF {
		failed = append(failed, "spf")
	}
	if b.Alignment = strings.Join(failed, ", "); b.Alignment == "" {
		b.Alignment = "none"
	}
	for _, s := range f.findings.DKIM {
		if s.Status != dkim.Pass && related(s.Domain, d.Author) {
			b.DKIMDomain, b.DKIMIdentity, b.DKIMSelector = s.Domain, s.Identity, s.Selector
			break
		}
	}
	if !d.SPF && related(f.findings.SPF.Domain, d.Author) {
		texts, _, err := x.resolver.LookupTXT(ctx, f.findings.SPF.Domain)
		for _, text := range texts {
			if err == nil && strings.HasPrefix(strings.ToLower(text), "v=spf1") {
				b.SPFDNS = append(b.SPFDNS, fmt.Sprintf("txt : %s : %q", f.findings.SPF.Domain, text))
			}
		}
	}
	return b
}

// related tells whether one of two domains lies in the other.
func related(a, b string) bool {
	return a != "" && (a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a))
}
