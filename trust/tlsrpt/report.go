package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Report is one of a day, as JSON has it. RFC 8460 §4.4
type Report struct {
	Organization string         `json:"organization-name"`
	Range        DateRange      `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []PolicyReport `json:"policies"`
}

// A DateRange is the time that a report is about.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Day gives the day of UTC that a time is in: 00:00:00 to 23:59:59, which is
// how others write 24:00. RFC 8460 §4.1
func Day(t time.Time) DateRange {
	start := t.UTC().Truncate(24 * time.Hour)
	return DateRange{start, start.Add(24*time.Hour - time.Second)}
}

// A PolicyReport is what was seen under one policy.
type PolicyReport struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// A Summary counts sessions.
type Summary struct {
	Successful Count `json:"total-successful-session-count"`
	Failed     Count `json:"total-failure-session-count"`
}

// A Failure is one way to fail, and how often it was met.
type Failure struct {
	Result      ResultType `json:"result-type"`
	SendingIP   string     `json:"sending-mta-ip,omitempty"`
	MX          string     `json:"receiving-mx-hostname,omitempty"`
	Helo        string     `json:"receiving-mx-helo,omitempty"`
	ReceivingIP string     `json:"receiving-ip,omitempty"`
	Sessions    Count      `json:"failed-session-count"`
	Information string     `json:"additional-information,omitempty"`
	Reason      string     `json:"failure-reason-code,omitempty"`
}

// A Count is a number of sessions.
type Count uint64

// UnmarshalJSON takes numbers also where they are texts or have a fraction, and
// nothing for less than none.
func (c *Count) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `" `)
	if text == "null" || text == "" {
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no number", cut(text, 40))
	case !(n > 0): // also what is no number at all
		n = 0
	case n > maxCount:
		n = maxCount
	}
	*c = Count(n)
	return nil
}

// maxCount is the largest number that I-JSON carries. RFC 7493 §2.2
const maxCount = 1<<53 - 1

// Add adds without going beyond what JSON carries.
func (c *Count) Add(n Count) { *c = min(*c+min(n, maxCount), maxCount) }

// UnmarshalJSON takes days without a time too, and times without a zone.
func (d *DateRange) UnmarshalJSON(b []byte) error {
	var texts struct {
		Start string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	}
	err := json.Unmarshal(b, &texts)
	if err == nil {
		d.Start, err = parseTime(texts.Start)
	}
	if err == nil {
		d.End, err = parseTime(texts.End)
	}
	return err
}

func parseTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(form, strings.TrimSpace(text)); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", cut(text, 40))
}

// lines is a list of texts.
type lines []string

// UnmarshalJSON takes one text in place of a list too: the examples of RFC 8460
// appendix B have it so.
func (l *lines) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		err := json.Unmarshal(b, &one)
		*l = lines{one}
		return err
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// UnmarshalJSON reads a policy.
func (p *Policy) UnmarshalJSON(b []byte) error {
	var w struct {
		Type   PolicyType `json:"policy-type"`
		Text   lines      `json:"policy-string"`
		Domain string     `json:"policy-domain"`
		MX     lines      `json:"mx-host"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*p = Policy{w.Type, w.Domain, w.Text, w.MX}
	return nil
}

// Limits on reports of others.
const (
	// MaxReport is how many octets of JSON are read.
	MaxReport  = 4 << 20
	maxObjects = 20_000 // an object takes some 200 octets of memory, whatever it takes of JSON
	maxLists   = 64     // texts in one list
	maxText    = 500    // octets of one text
	maxName    = 255    // octets of a name
)

// ErrTooLarge says that a report is beyond our limits.
var ErrTooLarge = errors.New("the report is too large")

// ParseReport reads a report of another. Senders err in small things, which are
// forgiven; what has no id, no time or no policies is no report. Its texts are
// cut to a few hundred octets and hold no control characters; what they say is
// a stranger's word all the same.
func ParseReport(b []byte) (Report, error) {
	if len(b) > MaxReport || bytes.Count(b, []byte{'{'}) > maxObjects {
		return Report{}, ErrTooLarge
	}
	var r Report
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) // QUIRK: some begin with a byte order mark
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, fmt.Errorf("the report is malformed: %w", err)
	}
	r.clean()
	switch {
	case r.ID == "":
		return Report{}, errors.New("the report has no id")
	case r.Range.Start.IsZero() || r.Range.End.Before(r.Range.Start):
		return Report{}, errors.New("the report does not say what time it is about")
	case len(r.Policies) == 0:
		return Report{}, errors.New("the report is about no policy")
	}
	return r, nil
}

// clean bounds all texts.
func (r *Report) clean() {
	r.Organization, r.Contact, r.ID = clean(r.Organization, maxName), clean(r.Contact, maxName), clean(r.ID, maxName)
	for i := range r.Policies {
		p := &r.Policies[i]
		p.Policy.Type = PolicyType(clean(string(p.Policy.Type), 40))
		p.Policy.Domain = strings.ToLower(strings.TrimSuffix(clean(p.Policy.Domain, maxName), "."))
		p.Policy.Text, p.Policy.MX = cleanAll(p.Policy.Text, maxText), cleanAll(p.Policy.MX, maxName)
		for j := range p.Failures {
			f := &p.Failures[j]
			f.Result = ResultType(clean(string(f.Result), 60))
			f.SendingIP, f.ReceivingIP = clean(f.SendingIP, 45), clean(f.ReceivingIP, 45)
			f.MX, f.Helo = clean(f.MX, maxName), clean(f.Helo, maxName)
			f.Information, f.Reason = clean(f.Information, maxText), clean(f.Reason, maxText)
		}
	}
}

func cleanAll(list []string, most int) []string {
	list = list[:min(len(list), maxLists)]
	for i := range list {
		list[i] = clean(list[i], most)
	}
	return list
}

// clean gives a text without control characters, cut to some octets.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), most)
}

// cut shortens a text to some octets, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return strings.TrimSpace(s[:most])
}

// Compressed gives the report as JSON in gzip, which is how it travels.
// RFC 8460 §5.2
func (r Report) Compressed() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Filename gives the name of the file that holds the report in gzip: from
// submitter, about domain, both in A-labels. RFC 8460 §5.1
func (r Report) Filename(submitter, domain string) string {
	return fmt.Sprintf("%s!%s!%d!%d.json.gz", submitter, domain, r.Range.Start.Unix(), r.Range.End.Unix())
}
