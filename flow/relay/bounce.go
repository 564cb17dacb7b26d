package relay

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/format/dsn"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/outqueue"
)

// wants tells whether the sender is to hear of something that befalls a
// recipient; unasked says whether that is so where nothing was said.
// RFC 3461 §5.2
func wants(to mail.Recipient, what mail.Notify, unasked bool) bool {
	if to.Notify == 0 {
		return unasked
	}
	return to.Notify&what != 0
}

// reportOf says what became of one recipient. RFC 3464 §2.3, RFC 3461 §6.3
func (a *attempt) reportOf(f outqueue.Result, action dsn.Action, status string, now time.Time) dsn.Recipient {
	r := deliver.Final(a.item.Envelope.To[f.Index], action, status)
	r.LastAttempt, r.LogID = now, a.item.ID.String()
	if f.Remote != "" {
		r.RemoteMTA = dsn.Host(hostOf(f.Remote))
	}
	if f.Reply.Code != 0 && action != dsn.Delivered {
		r.Diagnostic = dsn.Reply(replyText(f.Reply))
	}
	if action == dsn.Delayed {
		r.RetryUntil = a.since().Add(a.scheduleOf(f.Index).Lifetime) // RFC 3464 §2.3.9
		if by := a.item.Envelope.By; by.Return && !by.IsZero() && by.At.Before(r.RetryUntil) {
			r.RetryUntil = by.At
		}
	}
	return r
}

// failure says that a recipient will not get the message, if the sender wants
// to know. RFC 3461 §5.2.6
func (a *attempt) failure(f outqueue.Result, now time.Time) (dsn.Recipient, bool) {
	if !wants(a.item.Envelope.To[f.Index], mail.NotifyFailure, true) {
		return dsn.Recipient{}, false
	}
	status := f.Reply.Enhanced
	switch {
	case f.State == outqueue.Expired:
		status = "4.4.7" // delivery time expired, RFC 3463 §3.5
	case status == "":
		status = "5.0.0" // RFC 3461 §6.3 (g)
	}
	return a.reportOf(f, dsn.Failed, status, now), true
}

// delay says that a recipient still waits, once when it has taken long
// (RFC 3461 §5.2.5), and once when a deadline has passed (RFC 2852 §4.1.3). It
// notes in f what the sender has been told.
func (a *attempt) delay(f *outqueue.Result, now time.Time) (dsn.Recipient, bool) {
	told := a.item.Status[f.Index].Told
	by := a.item.Envelope.By
	status := f.Reply.Enhanced
	switch {
	case !by.IsZero() && !by.Return && !now.Before(by.At) && told&outqueue.ToldDeadline == 0:
		f.Told, status = outqueue.ToldDelay|outqueue.ToldDeadline, "4.4.7"
	case a.warnAfter >= 0 && now.Sub(a.since()) >= a.warnAfter && told&outqueue.ToldDelay == 0:
		f.Told = outqueue.ToldDelay
	default:
		return dsn.Recipient{}, false
	}
	if status == "" || status[0] != '4' {
		status = "4.0.0"
	}
	if !wants(a.item.Envelope.To[f.Index], mail.NotifyDelay, true) {
		return dsn.Recipient{}, false
	}
	return a.reportOf(*f, dsn.Delayed, status, now), true
}

// success says that the message has gone on, if the sender wants to know and
// nobody else will tell.
func (a *attempt) success(f outqueue.Result, w answer, now time.Time) (dsn.Recipient, bool) {
	to, by := a.item.Envelope.To[f.Index], a.item.Envelope.By
	asked := wants(to, mail.NotifySuccess, false)
	if w.reported || to.Notify == mail.NotifyNever {
		return dsn.Recipient{}, false
	}
	switch {
	case w.filed && asked && !w.tellsOn:
		return a.reportOf(f, dsn.Delivered, "2.0.0", now), true // RFC 3461 §5.2.3
	case w.filed:
	case asked && !w.tellsOn, // RFC 3461 §5.2.2 (b)
		!by.IsZero() && by.Trace,                                     // RFC 2852 §4.1.4
		!by.IsZero() && !by.Return && !w.inTime && now.Before(by.At): // RFC 2852 §4.1.4.2
		return a.reportOf(f, dsn.Relayed, "2.0.0", now), true
	}
	return dsn.Recipient{}, false
}

// notice makes the notification of some recipients, as a submission whose Body
// the caller closes; none if nobody is to be told.
func (a *attempt) notice(ctx context.Context, now time.Time, about []dsn.Recipient) ([]outqueue.Submission, error) {
	if len(about) == 0 {
		return nil, nil
	}
	if a.item.Envelope.From.IsNull() {
		// Nothing is sent about what is itself a notification. RFC 5321 §6.1
		if about[0].Action == dsn.Failed {
			a.log.Warn("a bounce cannot be delivered and is dropped", obs.Queue, a.item.ID.String(), obs.Msg, a.item.Message,
				obs.Rcpt, about[0].Final.Value)
		}
		return nil, nil
	}
	ctx = context.WithoutCancel(ctx)
	if err := a.openBody(ctx); err != nil {
		return nil, err
	}
	s, err := a.deliverer.Report(ctx, now, deliver.Report{
		Envelope: a.item.Envelope, Arrival: a.item.Created, Recipients: about, Original: a.reader(), Size: a.item.Size,
		MessageID: a.messageID(),
	})
	if err != nil || s == nil {
		return nil, err
	}
	return []outqueue.Submission{*s}, nil
}

// messageID gives the Message-ID of the message, so that the notification stands
// beside it in the sender's mailbox; empty if it has none.
func (a *attempt) messageID() string {
	header, err := a.header()
	if err != nil {
		return ""
	}
	for f := range message.Fields(header) {
		if !f.Is("Message-ID") {
			continue
		}
		if ids := message.ParseMessageIDs(string(f.Value)); len(ids) > 0 {
			return ids[0]
		}
	}
	return ""
}

// maxHeaderLooked is how much of a header is looked at.
const maxHeaderLooked = 256 << 10

// header reads the header of the message, whose body is open.
func (a *attempt) header() ([]byte, error) {
	header := make([]byte, min(int64(a.body.Size()), maxHeaderLooked))
	n, err := a.body.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	header, _ = message.SplitHeader(header[:n])
	return header, nil
}

func closeBodies(all []outqueue.Submission) {
	for _, s := range all {
		_ = s.Body.Close() // they are in the queue, or not wanted
	}
}

// since is from when on the message could go.
func (a *attempt) since() time.Time {
	if hold := a.item.Envelope.HoldUntil; hold.After(a.item.Created) {
		return hold
	}
	return a.item.Created
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
