package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
)

// A Letter is a report that goes by mail.
type Letter struct {
	// From is the author, of a domain of ours: it stands in the header, and the
	// letter is signed for its domain. The reverse-path is null: nobody wants to
	// hear what becomes of a report, and none can follow from it.
	From mail.Address
	To   mail.Address
	// Text is the whole message, not signed.
	Text []byte
	// Limit is how large it may be, in octets; 0 for no limit.
	Limit int64
	// OptionalTLS sends it however its way is secured. RFC 8689 §3
	OptionalTLS bool
}

// ErrTooLarge says that a letter is larger than those who get it want.
var ErrTooLarge = errors.New("the report is larger than the domain wants it")

// A Post sends letters. It is safe for concurrent use.
type Post struct {
	deliverer *deliver.Deliverer
	queue     *outqueue.Queue
	blobs     blob.Store
	trace     trace.Recorder
}

// NewPost makes a Post. The recorder is told what goes out; nil for nobody.
func NewPost(d *deliver.Deliverer, q *outqueue.Queue, blobs blob.Store, t trace.Recorder) *Post {
	if t == nil {
		t = trace.Discard{}
	}
	return &Post{deliverer: d, queue: q, blobs: blobs, trace: t}
}

// Send puts letters into the outqueue, all or none, and returns when they are
// durable. A token that is not empty makes that happen once within a day.
func (p *Post) Send(ctx context.Context, now time.Time, token string, letters ...Letter) (err error) {
	var all []outqueue.Submission
	defer func() {
		for _, s := range all {
			err = errors.Join(err, s.Body.Close())
		}
	}()
	for i, l := range letters {
		if l.Limit > 0 && l.Size() > l.Limit {
			return fmt.Errorf("%w: %s", ErrTooLarge, l.To)
		}
		body, err := blob.StageBytes(ctx, p.blobs, l.Text)
		if err != nil {
			return err
		}
		s := outqueue.Submission{
			Message: deliver.NewID(now), Body: body, Prefix: p.deliverer.SignOwn(ctx, now, l.From.Domain, l.Text),
			Envelope: mail.Envelope{To: []mail.Recipient{{Address: l.To, Notify: mail.NotifyNever}}, OptionalTLS: l.OptionalTLS},
			Origin:   outqueue.Origin{Service: "report"},
		}
		if token != "" {
			s.Token = fmt.Sprintf("report %s %d", token, i)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil
	}
	ids, err := p.queue.Enqueue(ctx, now, all...)
	if err != nil {
		return err
	}
	for i, s := range all {
		p.trace.Record(ctx, trace.Event{
			Time: now, Step: trace.Queued, Message: s.Message, Queue: ids[i].String(), Service: "report",
			To: []string{letters[i].To.String()}, Size: s.Body.Size(), Reason: "a report is on its way",
		})
	}
	return nil
}

// Size gives how large the letter is on its way.
func (l Letter) Size() int64 { return int64(len(l.Text)) }
