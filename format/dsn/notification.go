package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
)

// A Notification is a delivery status notification to be written.
type Notification struct {
	From      mail.Address // a person in charge, RFC 3464 §2
	To        mail.Address // the reverse-path of the original
	Date      time.Time
	MessageID string // without angle brackets

	// UTF8 allows UTF-8 in addresses and header: the notification is then
	// sent with SMTPUTF8. RFC 6533
	UTF8 bool

	Status Status

	// Subject and Text are for people; they are made from Status if empty.
	Subject string
	Text    string

	// Original is the message from its first octet; nil returns nothing. It
	// is returned whole only if it failed for someone and HeadersOnly (RET=HDRS)
	// is not set; otherwise its header is. RFC 3461 §4.3, §6.2
	Original     io.Reader
	OriginalID   string // its message id, if known
	HeadersOnly  bool
	OriginalUTF8 bool // it came with SMTPUTF8
	EightBit     bool // its body may hold octets above 127
}

// maxHeader is how much of an original's header is returned.
const maxHeader = 256 << 10

// WriteTo writes the notification. Original is read, so it can be called only
// once.
func (n *Notification) WriteTo(w io.Writer) (int64, error) {
	b, err := n.build()
	if err != nil {
		return 0, err
	}
	return b.WriteTo(w)
}

func (n *Notification) build() (*message.Builder, error) {
	text := n.Text
	if text == "" {
		text = n.text()
	}
	parts := []*message.Builder{message.NewText("plain", text), n.status()}
	if n.Original != nil {
		original, err := n.original()
		if err != nil {
			return nil, err
		}
		parts = append(parts, original)
	}
	b := message.NewMultipart("report", parts...)
	b.SetParam("report-type", "delivery-status") // RFC 3464 §2 (a)
	b.UTF8 = n.UTF8
	b.AddAddresses("From", message.Address{Name: "Mail Delivery System", Local: n.From.Local, Domain: n.From.Domain})
	b.AddAddresses("To", message.Address{Local: n.To.Local, Domain: n.To.Domain})
	subject := n.Subject
	if subject == "" {
		subject = n.subject()
	}
	b.AddText("Subject", subject)
	b.AddDate("Date", n.Date)
	b.AddMessageIDs("Message-ID", n.MessageID)
	b.AddMessageIDs("In-Reply-To", n.OriginalID)
	b.AddMessageIDs("References", n.OriginalID)
	b.AddRaw("Auto-Submitted", "auto-replied") // RFC 3834 §5
	return b, nil
}

// status makes the part for programs; the traditional form if it loses
// nothing. RFC 6533 §4.4
func (n *Notification) status() *message.Builder {
	kind, encoding := "message/delivery-status", "7bit"
	utf8 := n.UTF8 && !n.Status.isASCII()
	if utf8 {
		kind, encoding = "message/global-delivery-status", "8bit"
	}
	return message.NewContent(kind, encoding, bytes.NewReader(n.Status.append(nil, utf8)))
}

// original makes the part that returns the message or its header.
func (n *Notification) original() (*message.Builder, error) {
	whole := n.Status.Has(Failed) && !n.HeadersOnly
	if !whole {
		header, err := readHeader(n.Original)
		if err != nil {
			return nil, err
		}
		return n.header(header), nil
	}
	switch {
	case n.OriginalUTF8 && n.UTF8:
		return message.NewContent("message/global", "8bit", n.Original), nil
	case n.OriginalUTF8:
		// 7-bit encodings are allowed for this type only. RFC 6533 §4.5
		return message.NewBinary("message/global", n.Original), nil
	case n.EightBit:
		return message.NewContent("message/rfc822", "8bit", n.Original), nil
	}
	return message.NewContent("message/rfc822", "7bit", n.Original), nil
}

func (n *Notification) header(header []byte) *message.Builder {
	kind, encoding := "text/rfc822-headers", "7bit"
	if n.OriginalUTF8 {
		kind = "message/global-headers"
	}
	for _, c := range header {
		if c >= 0x80 {
			encoding = "8bit"
			if !n.UTF8 { // a transfer encoding is allowed for both, RFC 6533 §4.4
				b := message.NewBinary(kind, bytes.NewReader(header))
				b.Encoding = "quoted-printable"
				return b
			}
		}
	}
	return message.NewContent(kind, encoding, bytes.NewReader(header))
}

// readHeader reads up to the first empty line, whole lines up to a limit.
func readHeader(r io.Reader) ([]byte, error) {
	in := bufio.NewReader(io.LimitReader(r, maxHeader))
	var header []byte
	for {
		line, err := in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			header = append(header, line...)
			line, err = in.ReadSlice('\n')
		}
		blank := string(line) == "\r\n" || string(line) == "\n"
		if blank && (len(header) == 0 || header[len(header)-1] == '\n') {
			return header, nil
		}
		header = append(header, line...)
		if errors.Is(err, io.EOF) {
			return header, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (n *Notification) subject() string {
	switch {
	case n.Status.Has(Failed):
		return "Your message could not be delivered"
	case n.Status.Has(Delayed):
		return "Your message is delayed"
	case n.Status.Has(Delivered), n.Status.Has(Expanded):
		return "Your message has been delivered"
	}
	return "Your message has been passed on"
}

// text explains the status to people. RFC 6522 §3 (1)
func (n *Notification) text() string {
	var b strings.Builder
	b.WriteString("This is the mail system at " + n.Status.ReportingMTA.Value + ".\n")
	for _, k := range []struct {
		action Action
		text   string
	}{
		{Failed, "Your message could not be delivered to these recipients, and no further\nattempt will be made:"},
		{Delayed, "Your message could not be delivered yet to these recipients. You need not\nsend it again, we keep trying:"},
		{Delivered, "Your message has been delivered to these recipients:"},
		{Relayed, "Your message has been passed on to systems that may not tell you more, for\nthese recipients:"},
		{Expanded, "Your message has been delivered to these addresses, which passed it on to\nseveral recipients:"},
	} {
		if !n.Status.Has(k.action) {
			continue
		}
		b.WriteString("\n" + k.text + "\n")
		for _, r := range n.Status.Recipients {
			if r.Action != k.action {
				continue
			}
			r.explain(&b)
			if k.action == Failed && r.Status == "4.4.7" && !n.Status.Arrival.IsZero() { // RFC 3463 §3.5
				b.WriteString("    we have tried since " + message.FormatDate(n.Status.Arrival) + "\n")
			}
		}
	}
	return b.String()
}

func (r *Recipient) explain(b *strings.Builder) {
	b.WriteString("\n  <" + oneLine(r.Final.Value) + ">")
	o := oneLine(r.Original.Value)
	if r.Original.Type == "utf-8" {
		o = oneLine(decodeUnitext(o))
	}
	if o != "" && !strings.EqualFold(o, r.Final.Value) {
		b.WriteString(" (you wrote to <" + o + ">)")
	}
	b.WriteString("\n")
	if d := oneLine(r.Diagnostic.Value); d != "" {
		who := ""
		if !r.RemoteMTA.IsZero() {
			who = oneLine(r.RemoteMTA.Value) + " said: "
		}
		b.WriteString("    " + who + d + "\n")
	} else if r.Status != "" {
		b.WriteString("    status " + r.Status + "\n")
	}
	if !r.RetryUntil.IsZero() {
		b.WriteString("    we try until " + message.FormatDate(r.RetryUntil) + "\n")
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
