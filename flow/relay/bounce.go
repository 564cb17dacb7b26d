package relay

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/format/dsn"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
)

// maxReturned is the largest message that comes back whole; of larger ones
// the header does. RFC 3461 §6.2 leaves that to us.
const maxReturned = 256 << 10

// notify makes the notification that tells the sender of failed recipients, as
// a submission whose Body the caller closes; nil if nobody is to be told.
// RFC 3464, RFC 3461 §6.2, RFC 5321 §6.1
func (a *attempt) notify(ctx context.Context, now time.Time, failed []outqueue.Result) (*outqueue.Submission, error) {
	env := a.item.Envelope
	failed = slices.DeleteFunc(failed, func(r outqueue.Result) bool {
		return env.To[r.Index].Notify == mail.NotifyNever
	})
	if len(failed) == 0 {
		return nil, nil
	}
	if env.From.IsNull() {
		// Nothing is sent about what is itself a notification. RFC 5321 §6.1
		a.log.Warn("a bounce cannot be delivered and is dropped", obs.Queue, a.item.ID.String(), obs.Msg, a.item.Message,
			obs.Rcpt, env.To[failed[0].Index].Address.String())
		return nil, nil
	}
	slices.SortFunc(failed, func(x, y outqueue.Result) int { return cmp.Compare(x.Index, y.Index) })
	status := dsn.Status{
		EnvelopeID:   env.ID,
		ReportingMTA: dsn.Host(a.hostname),
		Arrival:      a.item.Created,
	}
	for _, f := range failed {
		status.Recipients = append(status.Recipients, a.reportOf(f, now))
	}
	n := dsn.Notification{
		From: a.deliverer.Postmaster(ctx, env.From, a.hostname), To: env.From, Date: now,
		MessageID: message.NewMessageID(a.hostname), UTF8: env.UTF8, Status: status,
		Original: a.reader(), HeadersOnly: env.ReturnHeaders || a.item.Size > maxReturned,
		OriginalUTF8: env.UTF8, EightBit: env.EightBit,
	}
	var text bytes.Buffer
	if _, err := n.WriteTo(&text); err != nil {
		return nil, err
	}
	body, err := blob.StageBytes(ctx, a.blobs, text.Bytes())
	if err != nil {
		return nil, err
	}
	return &outqueue.Submission{
		Message: deliver.NewID(now), Body: body,
		Envelope: mail.Envelope{To: []mail.Recipient{{Address: env.From}}, UTF8: env.UTF8, EightBit: true},
		Origin:   outqueue.Origin{Service: "bounce"},
	}, nil
}

// reportOf says what became of one recipient. RFC 3464 §2.3
func (a *attempt) reportOf(f outqueue.Result, now time.Time) dsn.Recipient {
	to := a.item.Envelope.To[f.Index]
	r := dsn.Recipient{
		Final: dsn.Address(to.Address), Action: dsn.Failed, Status: f.Reply.Enhanced,
		LastAttempt: now, LogID: a.item.ID.String(),
	}
	if to.Original != "" {
		r.Original = dsn.ParseTyped(to.Original)
	}
	if f.Remote != "" {
		r.RemoteMTA = dsn.Host(hostOf(f.Remote))
	}
	if f.Reply.Code != 0 {
		r.Diagnostic = dsn.Reply(replyText(f.Reply))
	}
	switch {
	case f.State == outqueue.Expired:
		r.Status = "4.4.7" // delivery time expired, RFC 3463 §3.5
	case r.Status == "":
		r.Status = "5.0.0"
	}
	return r
}

// hostOf gives the host name of a remote, without the address and port that are
// for people, or the address literal of one that has no name. RFC 3464 §2.3.5
func hostOf(remote string) string {
	if at, err := netip.ParseAddrPort(remote); err == nil {
		return mail.FormatLiteral(at.Addr())
	}
	if i := strings.LastIndexByte(remote, '['); i > 0 {
		return remote[:i]
	}
	return remote
}
