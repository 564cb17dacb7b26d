package dsn

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/format/message"
)

// Limits on what is read of a stranger's report.
const (
	maxStatus     = 1 << 20
	maxRecipients = 10000
)

// A longer word is cut, so that lines stay under 998 octets. RFC 5322 §2.1.1
const maxWord = 900

// append writes the content of a message/delivery-status, or with utf8 that of
// a message/global-delivery-status.
func (s *Status) append(dst []byte, utf8 bool) []byte {
	w := fieldWriter{dst, utf8}
	if s.EnvelopeID != "" {
		w.text("Original-Envelope-Id", s.EnvelopeID)
	}
	w.typed("Reporting-MTA", s.ReportingMTA)
	w.typed("DSN-Gateway", s.Gateway)
	w.typed("Received-From-MTA", s.ReceivedFrom)
	w.date("Arrival-Date", s.Arrival)
	w.date("Deliver-By-Date", s.DeliverBy)
	if s.FutureRelease != "" {
		w.text("Future-Release-Request", s.FutureRelease)
	}
	for _, r := range s.Recipients {
		w.b = append(w.b, "\r\n"...)
		w.address("Original-Recipient", r.Original)
		w.address("Final-Recipient", r.Final)
		w.text("Action", string(r.Action))
		w.text("Status", r.Status)
		w.typed("Remote-MTA", r.RemoteMTA)
		w.typed("Diagnostic-Code", r.Diagnostic)
		w.date("Last-Attempt-Date", r.LastAttempt)
		if r.LogID != "" {
			w.text("Final-Log-Id", r.LogID)
		}
		w.date("Will-Retry-Until", r.RetryUntil)
	}
	return w.b
}

// fieldWriter writes fields of a status.
type fieldWriter struct {
	b    []byte
	utf8 bool
}

// text writes one field, folded at spaces where it would be too long; what
// could end the line becomes a space.
func (w *fieldWriter) text(name, value string) {
	w.b = append(w.b, name...)
	w.b = append(w.b, ':')
	column := len(name) + 1
	words := strings.FieldsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f })
	for i, word := range words {
		if !w.utf8 {
			word = strings.Map(toASCII, word)
		}
		for len(word) > maxWord {
			cut := maxWord
			for cut > maxWord-utf8.UTFMax && !utf8.RuneStart(word[cut]) {
				cut--
			}
			w.b = append(w.b, ' ')
			w.b = append(w.b, word[:cut]...)
			w.b = append(w.b, "\r\n"...)
			word, column = word[cut:], 0
		}
		if i > 0 && column > 0 && column+1+len(word) > 78 {
			w.b = append(w.b, "\r\n"...)
			column = 0
		}
		w.b = append(w.b, ' ')
		w.b = append(w.b, word...)
		column += 1 + len(word)
	}
	w.b = append(w.b, "\r\n"...)
}

func toASCII(r rune) rune {
	if r >= 0x80 {
		return '?'
	}
	return r
}

func (w *fieldWriter) typed(name string, t Typed) {
	if !t.IsZero() {
		w.text(name, t.Type+"; "+t.Value)
	}
}

func (w *fieldWriter) date(name string, t time.Time) {
	if !t.IsZero() {
		w.text(name, message.FormatDate(t))
	}
}

// address writes an address in the form that the content allows: UTF-8 as it
// is, or escaped. RFC 6533 §3
func (w *fieldWriter) address(name string, t Typed) {
	if t.Type == "utf-8" {
		plain := decodeUnitext(t.Value)
		if w.utf8 {
			t.Value = plain
		} else {
			t.Value = encodeUnitext(plain)
		}
	}
	w.typed(name, t)
}

// ParseStatus reads the content of a message/delivery-status or a
// message/global-delivery-status, its transfer encoding taken off. It takes
// what real reports look like: blank lines missing or too many, fields in any
// order. It fails if there is no recipient in it.
func ParseStatus(b []byte) (*Status, error) {
	b = b[:min(len(b), maxStatus)]
	s := &Status{}
	var r Recipient
	for len(b) > 0 && len(s.Recipients) < maxRecipients {
		head, rest := message.SplitHeader(b)
		for f := range message.Fields(head) {
			if r.starts(f) {
				s.add(&r)
			}
			if !r.take(f) {
				s.take(f)
			}
		}
		s.add(&r)
		b = bytes.TrimLeft(rest, "\r\n")
	}
	if len(s.Recipients) == 0 {
		return nil, errors.New("delivery status names no recipient")
	}
	return s, nil
}

// add puts a recipient on the list if anything was said of one.
func (s *Status) add(r *Recipient) {
	if *r != (Recipient{}) && len(s.Recipients) < maxRecipients {
		s.Recipients = append(s.Recipients, *r)
	}
	*r = Recipient{}
}

// take reads a per-message field. RFC 3464 §2.2
func (s *Status) take(f message.Field) {
	switch strings.ToLower(string(f.Name)) {
	case "original-envelope-id":
		s.EnvelopeID = text(f)
	case "reporting-mta":
		s.ReportingMTA = ParseTyped(text(f))
	case "dsn-gateway":
		s.Gateway = ParseTyped(text(f))
	case "received-from-mta":
		s.ReceivedFrom = ParseTyped(text(f))
	case "arrival-date":
		s.Arrival, _ = message.ParseDate(text(f))
	case "deliver-by-date":
		s.DeliverBy, _ = message.ParseDate(text(f))
	case "future-release-request":
		s.FutureRelease = text(f)
	}
}

// starts tells whether a field must belong to the next recipient.
func (r *Recipient) starts(f message.Field) bool {
	return f.Is("Final-Recipient") && !r.Final.IsZero() ||
		f.Is("Original-Recipient") && (!r.Original.IsZero() || !r.Final.IsZero() && r.Action != "")
}

// take reads a per-recipient field, and tells whether it was one.
// RFC 3464 §2.3
func (r *Recipient) take(f message.Field) bool {
	switch strings.ToLower(string(f.Name)) {
	case "original-recipient":
		r.Original = parseAddress(text(f))
	case "final-recipient":
		r.Final = parseAddress(text(f))
	case "action":
		r.Action = Action(strings.ToLower(firstWord(text(f))))
	case "status":
		r.Status = firstWord(text(f))
	case "remote-mta":
		r.RemoteMTA = ParseTyped(text(f))
	case "diagnostic-code":
		r.Diagnostic = ParseTyped(text(f))
	case "last-attempt-date":
		r.LastAttempt, _ = message.ParseDate(text(f))
	case "final-log-id":
		r.LogID = text(f)
	case "will-retry-until":
		r.RetryUntil, _ = message.ParseDate(text(f))
	default:
		return false
	}
	return true
}

// text gives a field's text without control characters.
func text(f message.Field) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, f.Text()))
}

func parseAddress(s string) Typed {
	t := ParseTyped(s)
	if t.Type == "utf-8" {
		t.Value = decodeUnitext(t.Value)
	}
	return t
}

// firstWord gives what stands before white space or a comment.
func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t("); i >= 0 {
		return s[:i]
	}
	return s
}

// Find gives the part of a message that holds the delivery status, or nil.
// RFC 6533 §4.4
func Find(m *message.Message) *message.Part { return find(&m.Root) }

func find(p *message.Part) *message.Part {
	if p.Type == "message" && (p.Subtype == "delivery-status" || p.Subtype == "global-delivery-status") {
		return p
	}
	if !p.IsMultipart() { // not that of a report which is being forwarded
		return nil
	}
	for i := range p.Parts {
		if found := find(&p.Parts[i]); found != nil {
			return found
		}
	}
	return nil
}

// Read finds and reads the delivery status of a message whose octets are in r.
func Read(r io.ReaderAt, m *message.Message) (*Status, error) {
	p := Find(m)
	if p == nil {
		return nil, errors.New("message has no delivery status")
	}
	body := io.NewSectionReader(r, p.Body, p.End-p.Body)
	b, err := io.ReadAll(io.LimitReader(message.DecodeBody(body, p.Encoding), maxStatus))
	if err != nil {
		return nil, err
	}
	return ParseStatus(b)
}
