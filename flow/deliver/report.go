package deliver

import (
	"bytes"
	"context"
	"io"
	"time"

	"waxwing/format/dsn"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
)

// maxReturned is the largest message that comes back whole; of larger ones
// the header does. RFC 3461 §6.2 leaves that to us.
const maxReturned = 256 << 10

// A Report tells the sender of a message what has become of it for some of
// its recipients.
type Report struct {
	Envelope   mail.Envelope // of the message
	Arrival    time.Time
	Recipients []dsn.Recipient
	Original   io.Reader // the message, from its first octet
	Size       mail.ByteCount
	MessageID  string // of the message, if known
}

// Report makes a delivery status notification, to be enqueued; the caller
// closes its Body. It is nil if nobody is to be told: nothing is sent about
// what came from the null reverse-path, so that notifications about
// notifications are impossible. RFC 5321 §6.1, RFC 3461 §6
func (d *Deliverer) Report(ctx context.Context, now time.Time, r Report) (*outqueue.Submission, error) {
	env := r.Envelope
	if len(r.Recipients) == 0 || env.From.IsNull() {
		return nil, nil
	}
	n := dsn.Notification{
		From: d.Postmaster(ctx, env.From, d.hostname), To: env.From, Date: now,
		MessageID: message.NewMessageID(d.hostname), UTF8: env.UTF8,
		Status: dsn.Status{
			EnvelopeID: env.ID, ReportingMTA: dsn.Host(d.hostname), Arrival: r.Arrival,
			DeliverBy:     env.By.At, // RFC 2852 §5
			FutureRelease: env.Hold,  // RFC 4865 §5.1.2
			Recipients:    r.Recipients,
		},
		Original: r.Original, OriginalID: r.MessageID,
		// RFC 8689 §5: what needed TLS does not come back whole.
		HeadersOnly:  env.ReturnHeaders || env.RequireTLS || r.Size > maxReturned || env.Binary,
		OriginalUTF8: env.UTF8, EightBit: env.EightBit,
	}
	var text bytes.Buffer
	if _, err := n.WriteTo(&text); err != nil {
		return nil, err
	}
	body, err := blob.StageBytes(ctx, d.blobs, text.Bytes())
	if err != nil {
		return nil, err
	}
	service := "report"
	if n.Status.Has(dsn.Failed) {
		service = "bounce"
	}
	return &outqueue.Submission{
		Message: NewID(now), Body: body, Prefix: d.SignOwn(ctx, now, n.From.Domain, text.Bytes()),
		Envelope: mail.Envelope{
			To:   []mail.Recipient{{Address: env.From, Notify: mail.NotifyNever}}, // RFC 3461 §6.1
			UTF8: env.UTF8, EightBit: true,
			RequireTLS: env.RequireTLS, Priority: env.Priority, // RFC 8689 §5, RFC 6710 §4.6
		},
		Origin: outqueue.Origin{Service: service},
	}, nil
}

// Final begins what a report says of one recipient. RFC 3461 §6.3 (d), (e)
func Final(to mail.Recipient, action dsn.Action, status string) dsn.Recipient {
	r := dsn.Recipient{Final: dsn.Address(to.Address), Action: action, Status: status}
	if to.Original != "" {
		r.Original = dsn.ParseTyped(to.Original)
	}
	return r
}

// delivered makes the notification for those who asked to hear of success and
// whose recipients have the message, or stand for others who will get it.
// RFC 3461 §5.2.3, §5.2.7.3 (c)
func (d *Deliverer) delivered(ctx context.Context, now time.Time, a *Arrival, env mail.Envelope, trace []byte, to []Recipient, failures []failure) (*outqueue.Submission, error) {
	if env.From.IsNull() {
		return nil, nil
	}
	var told []dsn.Recipient
	for _, r := range to {
		if r.Notify&mail.NotifySuccess == 0 || !r.Local() {
			continue
		}
		switch {
		case r.expands():
			told = append(told, Final(r.Recipient, dsn.Expanded, "2.1.5"))
		case len(r.Route.Accounts) == 1 && !failedFor(failures, r):
			told = append(told, Final(r.Recipient, dsn.Delivered, "2.0.0"))
		}
	}
	if len(told) == 0 {
		return nil, nil
	}
	header, err := a.Header()
	if err != nil {
		return nil, err
	}
	s, err := d.Report(ctx, now, Report{
		Envelope: env, Arrival: now, Recipients: told, Size: a.Body.Size(), MessageID: a.Parsed.Envelope.MessageID,
		Original: io.MultiReader(bytes.NewReader(trace), bytes.NewReader(header)),
	})
	if s != nil {
		s.Token = a.token("report " + to[0].Address.String())
	}
	return s, err
}

// expands tells whether the recipient is an alias of several.
func (r Recipient) expands() bool { return len(r.Route.Accounts)+len(r.Route.Forwards) > 1 }

// onward gives the recipient's wishes for those whom it stands for: if they
// are several, success is told when it has been expanded. RFC 3461 §5.2.7.3 (c)
func (r Recipient) onward() mail.Recipient {
	to := r.Recipient
	if r.expands() && to.Notify&mail.NotifySuccess != 0 {
		if to.Notify &^= mail.NotifySuccess; to.Notify == 0 {
			to.Notify = mail.NotifyNever
		}
	}
	return to
}

func failedFor(failures []failure, r Recipient) bool {
	for _, f := range failures {
		if f.local.Account == r.Route.Accounts[0].Account {
			return true
		}
	}
	return false
}
