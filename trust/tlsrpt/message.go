package tlsrpt

import (
	"bytes"
	"fmt"
	"time"

	"waxwing/format/message"
)

// The types of a report on its way. RFC 8460 §6.4, §6.5
const (
	TypeJSON = "application/tlsrpt+json"
	TypeGzip = "application/tlsrpt+gzip"
)

// A Mail is a report that goes by mail. RFC 8460 §5.3
type Mail struct {
	Report    Report
	Domain    string // what it is about, in A-labels
	Submitter string // the domain of Report.Contact, in A-labels
	From, To  message.Address
	MessageID string
	Date      time.Time
}

// Bytes gives the message, which is to be signed with DKIM. RFC 8460 §3
func (m Mail) Bytes() ([]byte, error) {
	packed, err := m.Report.Compressed()
	if err != nil {
		return nil, err
	}
	var successful, failed Count
	for _, p := range m.Report.Policies {
		successful.Add(p.Summary.Successful)
		failed.Add(p.Summary.Failed)
	}
	text := fmt.Sprintf("This is an aggregate report of TLS (RFC 8460) from %s about %s,\nfor %s.\n\nSessions that were encrypted as they should be: %d\nSessions that were not: %d\n",
		m.Submitter, m.Domain, m.Report.Range.Start.UTC().Format(time.DateOnly), successful, failed)
	b := message.NewMultipart("report",
		message.NewText("plain", text),
		message.NewAttachment(m.Report.Filename(m.Submitter, m.Domain), TypeGzip, bytes.NewReader(packed)),
	).SetParam("report-type", "tlsrpt")
	b.AddDate("Date", m.Date)
	b.AddAddresses("From", m.From)
	b.AddAddresses("To", m.To)
	b.AddText("Subject", fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", m.Domain, m.Submitter, m.Report.ID))
	b.AddMessageIDs("Message-ID", m.MessageID)
	b.AddText("TLS-Report-Domain", m.Domain)
	b.AddText("TLS-Report-Submitter", m.Submitter)
	b.AddText("Auto-Submitted", "auto-generated") // RFC 3834 §5
	b.AddText("TLS-Required", "No")               // RFC 8460 §3, RFC 8689 §3: also to where TLS fails
	var out bytes.Buffer
	_, err = b.WriteTo(&out)
	return out.Bytes(), err
}
