package aggregate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/format/charset"
)

// Limits of what others write.
const (
	MaxRecords = 20_000
	maxText    = 300 // octets of a name or a word
	maxList    = 100 // signatures, reasons and so on of a record. RFC 9990 §3.1.3
	maxCount   = 1 << 40
)

// ErrNotReport says that a document is no aggregate report, or too little of
// one to be of use.
var ErrNotReport = errors.New("not a DMARC aggregate report")

// Elements as others write them: numbers and words are texts first, and names
// are known by what stands behind the colon.
type (
	anyMetadata struct {
		Org       string       `xml:"org_name"`
		Email     string       `xml:"email"`
		Contact   string       `xml:"extra_contact_info"`
		ID        string       `xml:"report_id"`
		Begin     string       `xml:"date_range>begin"`
		End       string       `xml:"date_range>end"`
		Errors    list[string] `xml:"error"`
		Generator string       `xml:"generator"`
	}
	anyPolicy struct {
		Domain    string `xml:"domain"`
		Discovery string `xml:"discovery_method"`
		P         string `xml:"p"`
		SP        string `xml:"sp"`
		NP        string `xml:"np"`
		FO        string `xml:"fo"`
		ADKIM     string `xml:"adkim"`
		ASPF      string `xml:"aspf"`
		Testing   string `xml:"testing"`
		Percent   string `xml:"pct"`
	}
	anyRecord struct {
		Row struct {
			Source    string `xml:"source_ip"`
			Count     string `xml:"count"`
			Evaluated struct {
				Disposition string          `xml:"disposition"`
				DKIM        string          `xml:"dkim"`
				SPF         string          `xml:"spf"`
				Reasons     list[anyReason] `xml:"reason"`
			} `xml:"policy_evaluated"`
		} `xml:"row"`
		Identifiers anyIdentifiers `xml:"identifiers"`
		Identities  anyIdentifiers `xml:"identities"` // QUIRK: of the drafts before RFC 7489
		Auth        struct {
			DKIM list[anyResult] `xml:"dkim"`
			SPF  list[anyResult] `xml:"spf"`
		} `xml:"auth_results"`
	}
	anyIdentifiers struct {
		HeaderFrom   string `xml:"header_from"`
		EnvelopeFrom string `xml:"envelope_from"`
		EnvelopeTo   string `xml:"envelope_to"`
	}
	anyReason struct {
		Type    string `xml:"type"`
		Comment string `xml:"comment"`
	}
	anyResult struct {
		Domain   string `xml:"domain"`
		Selector string `xml:"selector"`
		Scope    string `xml:"scope"`
		Result   string `xml:"result"`
		Text     string `xml:"human_result"`
	}
)

// A list has so many elements at most; the rest is passed over. An empty element
// of a few octets would take a hundred of memory.
type list[T any] []T

// UnmarshalXML implements xml.Unmarshaler: it is called for each element.
func (l *list[T]) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if len(*l) == maxList {
		return d.Skip()
	}
	var one T
	if err := d.DecodeElement(&one, &start); err != nil {
		return err
	}
	*l = append(*l, one)
	return nil
}

// Parse reads a report as others write it. What is beside the point may be
// wrong: order, name spaces, unknown elements, the case of words, extensions. A
// document that breaks off gives what came before, and Cut is set. Any error
// is ErrNotReport.
func Parse(document []byte) (*Report, error) {
	p := &reader{report: &Report{}}
	err := p.read(document)
	r := p.report
	switch {
	case !p.root:
		return nil, fmt.Errorf("%w: there is no feedback in it", ErrNotReport)
	case r.Policy.Domain == "":
		return nil, fmt.Errorf("%w: it does not name the domain", ErrNotReport)
	case r.Org == "" && strings.TrimRight(r.Email, "@ ") == "":
		return nil, fmt.Errorf("%w: it does not say who reports", ErrNotReport)
	case r.Begin.IsZero() || r.End.IsZero() || r.End.Before(r.Begin):
		return nil, fmt.Errorf("%w: it does not say which time it is about", ErrNotReport)
	case len(r.Records) == 0 && err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotReport, err)
	}
	r.Cut = r.Cut || err != nil
	if r.Org == "" { // QUIRK: some give an address only
		r.Org = text(r.Email[strings.LastIndexByte(r.Email, '@')+1:])
	}
	if r.ID == "" { // QUIRK: or no id
		sum := sha256.Sum256(document)
		r.ID = hex.EncodeToString(sum[:8])
	}
	return r, nil
}

// A reader goes through a document.
type reader struct {
	report *Report
	root   bool // the root element has come
}

func (p *reader) read(document []byte) error {
	d := xml.NewDecoder(bytes.NewReader(legible(document)))
	d.Strict = false // QUIRK: bare ampersands, HTML's entities
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) { return charset.NewReader(in, label), nil }
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if !p.root {
			if !strings.EqualFold(start.Name.Local, "feedback") {
				return fmt.Errorf("the document is a %.40q", start.Name.Local)
			}
			p.root = true
			continue
		}
		if err := p.element(d, start); err != nil {
			return err
		}
	}
}

// element reads an element inside feedback.
func (p *reader) element(d *xml.Decoder, start xml.StartElement) error {
	switch strings.ToLower(start.Name.Local) {
	case "report_metadata":
		var m anyMetadata
		if err := d.DecodeElement(&m, &start); err != nil {
			return err
		}
		p.metadata(m)
	case "policy_published":
		var a anyPolicy
		if err := d.DecodeElement(&a, &start); err != nil {
			return err
		}
		p.report.Policy = Policy{
			Domain: domain(a.Domain), Discovery: word(a.Discovery), P: word(a.P), SP: word(a.SP), NP: word(a.NP), FO: word(a.FO),
			ADKIM: word(a.ADKIM), ASPF: word(a.ASPF), Testing: word(a.Testing), Percent: word(a.Percent),
		}
	case "record":
		if len(p.report.Records) == MaxRecords {
			p.report.Cut = true
			return d.Skip()
		}
		var a anyRecord
		if err := d.DecodeElement(&a, &start); err != nil {
			return err
		}
		if r, ok := a.record(); ok {
			p.report.Records = append(p.report.Records, r)
		} else {
			p.report.Cut = true
		}
	default:
		return d.Skip()
	}
	return nil
}

func (p *reader) metadata(m anyMetadata) {
	r := p.report
	r.Org, r.Email, r.Contact, r.ID, r.Generator = text(m.Org), text(m.Email), text(m.Contact), text(m.ID), text(m.Generator)
	r.ID = strings.Trim(r.ID, "<> ")
	r.Begin, r.End = moment(m.Begin), moment(m.End)
	for _, e := range m.Errors {
		if e = text(e); e != "" {
			r.Errors = append(r.Errors, e)
		}
	}
}

// record takes over what others write of messages; false if it says nothing of
// use.
func (a *anyRecord) record() (Record, bool) {
	ids := a.Identifiers
	if ids == (anyIdentifiers{}) {
		ids = a.Identities
	}
	r := Record{
		Source: source(a.Row.Source), Count: count(a.Row.Count),
		DKIM: word(a.Row.Evaluated.DKIM) == "pass", SPF: word(a.Row.Evaluated.SPF) == "pass",
		HeaderFrom: domain(ids.HeaderFrom), EnvelopeFrom: domain(ids.EnvelopeFrom), EnvelopeTo: domain(ids.EnvelopeTo),
	}
	switch d := Disposition(word(a.Row.Evaluated.Disposition)); d {
	case Pass, Quarantine, Reject:
		r.Disposition = d
	default: // QUIRK: "monitor", "delivered", nothing
		r.Disposition = None
	}
	for _, reason := range a.Row.Evaluated.Reasons {
		r.Reasons = append(r.Reasons, Reason{word(reason.Type), text(reason.Comment)})
	}
	for _, d := range a.Auth.DKIM {
		if d.Domain != "" || d.Selector != "" { // QUIRK: an empty element for "no signature"
			r.AuthDKIM = append(r.AuthDKIM, DKIM{domain(d.Domain), text(d.Selector), result(d.Result), text(d.Text)})
		}
	}
	for _, s := range a.Auth.SPF {
		r.AuthSPF = append(r.AuthSPF, SPF{domain(s.Domain), word(s.Scope), result(s.Result), text(s.Text)})
	}
	return r, r.Source.IsValid() && r.Count > 0
}

// legible takes out of a document what no XML may hold, and what stands before
// it.
func legible(b []byte) []byte {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		b = decoded(b[2:], "utf-16le")
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		b = decoded(b[2:], "utf-16be")
	}
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n\x00")
	if !utf8.Valid(b) && !bytes.Contains(b[:min(len(b), 100)], []byte("encoding=")) || declaresUTF8(b) {
		b = bytes.ToValidUTF8(b, []byte("?"))
	}
	if bytes.ContainsFunc(b, isControl) {
		b = slices.DeleteFunc(bytes.Clone(b), func(c byte) bool { return isControl(rune(c)) })
	}
	return b
}

// declaresUTF8 tells whether a document says that it is in UTF-8.
func declaresUTF8(b []byte) bool {
	first, _, _ := bytes.Cut(b[:min(len(b), 100)], []byte("?>"))
	return bytes.Contains(bytes.ToLower(first), []byte("utf-8"))
}

// decoded makes UTF-8 of UTF-16, and takes out what names the old charset.
func decoded(b []byte, label string) []byte {
	text, err := io.ReadAll(charset.NewReader(bytes.NewReader(b), label))
	if err != nil {
		return b
	}
	if end := bytes.Index(text, []byte("?>")); end >= 0 && bytes.HasPrefix(bytes.TrimSpace(text), []byte("<?xml")) {
		return text[end+2:]
	}
	return text
}

func isControl(c rune) bool { return c < ' ' && c != '\t' && c != '\n' && c != '\r' }

// text is a text in one line, and not too long.
func text(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s[:min(len(s), 4*maxText)], "?")), " ")
	return clip(s)
}

func clip(s string) string {
	return strings.TrimSpace(strings.ToValidUTF8(s[:min(len(s), maxText)], ""))
}

// word is a word of the protocol.
func word(s string) string { return clip(strings.ToLower(text(s))) }

// domain is a name in the DNS, of which some write an address.
func domain(s string) string {
	s = word(s)
	return strings.Trim(s[strings.LastIndexByte(s, '@')+1:], "<>. ")
}

// result is a result of SPF or DKIM, some of which have had other names.
func result(s string) string {
	switch s = word(s); s {
	case "hardfail":
		return "fail"
	case "unknown", "tempfail", "tmperror":
		return "temperror"
	case "error", "invalid":
		return "permerror"
	case "":
		return "none"
	}
	return s
}

// source reads an address of the Internet.
func source(s string) netip.Addr {
	s = strings.TrimPrefix(strings.Trim(word(s), "[] "), "ipv6:")
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

func count(s string) uint64 {
	s = strings.Map(func(c rune) rune {
		if c == ',' || c == ' ' || c == '_' {
			return -1
		}
		return c
	}, text(s))
	s, _, _ = strings.Cut(s, ".")
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return min(n, maxCount)
}

// moment reads a time: seconds since 1970, or what some write in their place.
func moment(s string) time.Time {
	s = text(s)
	whole, _, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil {
		if n > 1e11 && n < 1e14 { // QUIRK: milliseconds
			n /= 1000
		}
		return sensible(time.Unix(n, 0))
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return sensible(t)
		}
	}
	return time.Time{}
}

// sensible gives a time that a report can be about, in whole seconds.
func sensible(t time.Time) time.Time {
	if n := t.Unix(); n <= 0 || n > 1e10 {
		return time.Time{}
	}
	return time.Unix(t.Unix(), 0).UTC()
}
