package trace

import "context"

// Limits of what one connection can have written.
const (
	maxRefusals        = 20  // kinds of refusals in one transaction
	maxRefusalsTold    = 100 // steps of one connection
	maxRefusedTogether = maxRecipients
)

// Refusals gathers what one connection is refused: recipients that are refused
// for the same reason make one step, and whoever is refused without end does
// not fill the trace. It is not safe for concurrent use.
type Refusals struct {
	recorder Recorder
	waiting  []Event
	told     int
}

// Gather begins for one connection.
func Gather(to Recorder) *Refusals { return &Refusals{recorder: to} }

// Add notes that a recipient, or the whole transaction where to is empty, has
// been refused. About is what is known of the connection and the sender.
func (r *Refusals) Add(about Event, to string) {
	for i := range r.waiting {
		same := &r.waiting[i]
		if same.Reason != about.Reason || same.From != about.From {
			continue
		}
		if to != "" && len(same.To) < maxRefusedTogether {
			same.To = append(same.To, to)
		}
		return
	}
	if len(r.waiting) >= maxRefusals {
		return
	}
	about.Step = Refused
	if to != "" {
		about.Step, about.To = Recipient, []string{to}
	}
	r.waiting = append(r.waiting, about)
}

// Tell records what has been gathered, as steps of a message if there was one.
func (r *Refusals) Tell(ctx context.Context, message string) {
	for _, e := range r.waiting {
		if r.told >= maxRefusalsTold && message == "" {
			break
		}
		r.told++
		e.Message = message
		r.recorder.Record(ctx, e)
	}
	r.waiting = nil
}
