// Package arf writes and reads abuse feedback reports about single messages:
// the Abuse Reporting Format of RFC 5965, with the reports of authentication
// failures of RFC 6591 and RFC 9991.
//
//	arf.go     the part that is for programs, and the message around it
//	redact.go  headers without what could betray people. RFC 6590
package arf

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/format/message"
)

// A Feedback is what a report says of a message. Empty fields are left out.
type Feedback struct {
	Type      string // "auth-failure", "abuse", ...
	UserAgent string
	Arrival   time.Time
	Source    netip.Addr
	Domains   []string // Reported-Domain
	MailFrom  string   // Original-Mail-From
	Envelope  string   // Original-Envelope-Id
	Incidents int      // how many such messages it stands for; 0 for one
	Results   string   // Authentication-Results, of one method

	// Of authentication failures. RFC 6591 §3.2
	Failure        string // "dmarc", "dkim", "spf", ...
	DeliveryResult string // "delivered", "spam", "policy", "reject", "other"
	Alignment      string // Identity-Alignment: those that failed, or "none". RFC 9991 §4
	DKIMDomain     string
	DKIMIdentity   string
	DKIMSelector   string
	SPFDNS         []string // such as `txt : example.com : "v=spf1 -all"`
}

// fields lists what there is to write. RFC 5965 §3.1, §3.2
func (f *Feedback) fields() [][2]string {
	all := [][2]string{
		{"Feedback-Type", f.Type}, {"User-Agent", f.UserAgent}, {"Version", "1"},
		{"Auth-Failure", f.Failure}, {"Authentication-Results", f.Results}, {"Identity-Alignment", f.Alignment},
		{"Delivery-Result", f.DeliveryResult}, {"DKIM-Domain", f.DKIMDomain}, {"DKIM-Identity", f.DKIMIdentity}, {"DKIM-Selector", f.DKIMSelector},
	}
	for _, s := range f.SPFDNS {
		all = append(all, [2]string{"SPF-DNS", s})
	}
	all = append(all, [2]string{"Original-Envelope-Id", f.Envelope}, [2]string{"Original-Mail-From", f.MailFrom})
	if !f.Arrival.IsZero() {
		all = append(all, [2]string{"Arrival-Date", message.FormatDate(f.Arrival)})
	}
	if f.Source.IsValid() {
		all = append(all, [2]string{"Source-IP", f.Source.String()})
	}
	for _, d := range f.Domains {
		all = append(all, [2]string{"Reported-Domain", d})
	}
	if f.Incidents > 1 {
		all = append(all, [2]string{"Incidents", strconv.Itoa(f.Incidents)})
	}
	return all
}

// Bytes gives the content of a message/feedback-report.
func (f *Feedback) Bytes() []byte {
	var b []byte
	for _, field := range f.fields() {
		if field[1] != "" {
			b = append(b, field[0]+": "+oneLine(field[1])+"\r\n"...)
		}
	}
	return b
}

// maxValue bounds a value, so that its line stays under 998 octets.
// RFC 5322 §2.1.1
const maxValue = 900

// oneLine makes a text that fits into a field in ASCII.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r >= 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)), " ")
	return s[:min(len(s), maxValue)]
}

// Message makes the report about a message with this header. Who it is from and
// to, the caller adds. RFC 5965 §2
func (f *Feedback) Message(text string, header []byte) *message.Builder {
	headers := message.NewBinary("text/rfc822-headers", bytes.NewReader(header))
	headers.Encoding = "quoted-printable"
	return message.NewMultipart("report",
		message.NewText("plain", text),
		message.NewContent("message/feedback-report", "7bit", bytes.NewReader(f.Bytes())),
		headers,
	).SetParam("report-type", "feedback-report")
}

// Limits of what others write.
const (
	maxFeedback = 64 << 10
	maxList     = 20
)

// ErrNotReport says that there is no feedback in what was read.
var ErrNotReport = errors.New("not a feedback report")

// Parse reads the content of a message/feedback-report.
func Parse(b []byte) (*Feedback, error) {
	f := &Feedback{}
	for field := range message.Fields(b[:min(len(b), maxFeedback)]) {
		f.take(strings.ToLower(string(field.Name)), oneLine(field.Text()))
	}
	if f.Type == "" {
		return nil, ErrNotReport
	}
	return f, nil
}

func (f *Feedback) take(name, value string) {
	word := strings.ToLower(value)
	switch name {
	case "feedback-type":
		f.Type = word
	case "user-agent":
		f.UserAgent = value
	case "arrival-date", "received-date": // QUIRK: the second is of drafts
		if t, ok := message.ParseDate(value); ok {
			f.Arrival = t
		}
	case "source-ip":
		if a, err := netip.ParseAddr(strings.Trim(value, "[] ")); err == nil {
			f.Source = a.Unmap().WithZone("")
		}
	case "reported-domain":
		if len(f.Domains) < maxList && word != "" {
			f.Domains = append(f.Domains, word)
		}
	case "original-mail-from":
		f.MailFrom = strings.Trim(value, "<>")
	case "original-envelope-id":
		f.Envelope = value
	case "incidents":
		if n, err := strconv.Atoi(value); err == nil && n > 1 && n < 1<<31 {
			f.Incidents = n
		}
	case "authentication-results":
		f.Results = value
	case "auth-failure":
		f.Failure = word
	case "delivery-result":
		f.DeliveryResult = word
	case "identity-alignment":
		f.Alignment = word
	case "dkim-domain":
		f.DKIMDomain = word
	case "dkim-identity":
		f.DKIMIdentity = value
	case "dkim-selector":
		f.DKIMSelector = value
	case "spf-dns":
		if len(f.SPFDNS) < maxList && value != "" {
			f.SPFDNS = append(f.SPFDNS, value)
		}
	}
}

// Read finds the feedback in a message, and the header of the message that it
// is about, which may be empty.
func Read(r io.ReaderAt, m *message.Message) (f *Feedback, header []byte, err error) {
	left := maxList
	report, original := find(&m.Root, &left)
	if report == nil {
		return nil, nil, ErrNotReport
	}
	b, err := content(r, report)
	if err != nil {
		return nil, nil, err
	}
	if f, err = Parse(b); err != nil || original == nil {
		return f, nil, err
	}
	text, err := content(r, original)
	header, _ = message.SplitHeader(text)
	return f, header, err
}

func content(r io.ReaderAt, p *message.Part) ([]byte, error) {
	in := io.NewSectionReader(r, p.Body, min(p.End-p.Body, maxFeedback))
	return io.ReadAll(io.LimitReader(message.DecodeBody(in, p.Encoding), maxFeedback))
}

// find looks for the parts of a report.
func find(p *message.Part, left *int) (report, original *message.Part) {
	if *left--; *left < 0 {
		return nil, nil
	}
	switch {
	case p.Type == "message" && p.Subtype == "feedback-report":
		return p, nil
	case p.IsMessage(), p.Type == "text" && p.Subtype == "rfc822-headers":
		return nil, p
	}
	for i := range p.Parts {
		r, o := find(&p.Parts[i], left)
		if report == nil {
			report = r
		}
		if original == nil {
			original = o
		}
	}
	return report, original
}
