package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/store/outqueue"
)

// recordAgain is how long to wait when the queue cannot write.
const recordAgain = 5 * time.Second

// settle records what came of a group. What a peer has taken is recorded at
// once; refusals and delays wait for the last group, so that the sender gets
// one notification.
func (a *attempt) settle(ctx context.Context, g group, answers []answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open -= len(g.indexes)
	last := a.open == 0
	for n, i := range g.indexes {
		a.answers[i] = answers[n]
	}
	a.forgetInterrupted()
	if last {
		a.conclude(ctx)
	} else {
		a.record(ctx, a.delivered())
	}
	for n, i := range g.indexes {
		a.say(i, answers[n])
	}
}

// say logs one answer.
func (a *attempt) say(i int, w answer) {
	attrs := []any{
		obs.Queue, a.item.ID.String(), obs.Msg, a.item.Message, obs.From, a.item.Envelope.From.String(),
		obs.Rcpt, a.item.Envelope.To[i].Address.String(), obs.Remote, w.remote,
	}
	switch {
	case errors.Is(w.err, errCrowded):
		a.log.Debug("message has to wait", attrs...)
	case w.err == nil && w.remote == "":
		a.log.Debug("queued message delivered", attrs...) // deliver says so at Info
	case w.err == nil:
		a.log.Info("message sent", append(attrs, obs.Reply, w.reply, obs.Took, time.Since(a.began))...)
	case temporary(w.err):
		a.log.Info("message put off", append(attrs, obs.Err, w.err)...)
	default:
		a.log.Info("message refused", append(attrs, obs.Err, w.err)...)
	}
}

// forgetInterrupted drops failures that come from our own end: they say
// nothing about the recipients.
func (a *attempt) forgetInterrupted() {
	for i, w := range a.answers {
		if errors.Is(w.err, context.Canceled) {
			delete(a.answers, i)
		}
	}
}

// delivered gives the part of the attempt that must not be lost.
func (a *attempt) delivered() outqueue.Attempt {
	done := outqueue.Attempt{Keep: true}
	for i, w := range a.answers {
		if w.err == nil {
			done.Results = append(done.Results, result(i, w, outqueue.Delivered))
			delete(a.answers, i)
		}
	}
	return done
}

// conclude records the rest and gives the item back to the queue.
func (a *attempt) conclude(ctx context.Context) {
	now := time.Now()
	next, again := a.schedule.next(now, a.item.Created, a.item.Tries+1)
	end := outqueue.Attempt{Next: next, Try: outqueue.Try{Began: a.began, Took: now.Sub(a.began)}}
	var failed []outqueue.Result
	crowded := "" // a domain that had no place
	for i, w := range a.answers {
		state := outqueue.Delivered
		switch {
		case w.err == nil:
		case errors.Is(w.err, errCrowded) && again:
			crowded = a.item.Envelope.To[i].Address.Domain
			delete(a.answers, i)
			continue // as if it had not been tried
		case !temporary(w.err):
			state = outqueue.Failed
		case !again:
			state = outqueue.Expired
		default:
			state = outqueue.Pending
		}
		res := result(i, w, state)
		end.Results = append(end.Results, res)
		if state == outqueue.Failed || state == outqueue.Expired {
			failed = append(failed, res)
		}
		end.Try.Remote, end.Try.Text = w.remote, describe(w)
	}
	if len(a.answers) == 0 { // nothing was tried
		end.Try = outqueue.Try{}
		end.Next = now // at the next start
		if crowded != "" {
			end.Next = now.Add(a.places.later(crowded))
		}
	}
	if len(failed) > 0 { // a notification takes its time
		a.record(ctx, a.delivered())
	}
	notice, err := a.notify(context.WithoutCancel(ctx), now, failed)
	if err != nil {
		// Without a notification the failure must not be final.
		a.log.Error("cannot make a bounce", obs.Queue, a.item.ID.String(), obs.Err, err)
		return
	}
	if notice != nil {
		defer func() { _ = notice.Body.Close() }()
		end.Then = append(end.Then, *notice)
	}
	a.record(ctx, end)
}

func result(i int, w answer, state outqueue.State) outqueue.Result {
	r := outqueue.Result{Index: i, State: state, Reply: replyOf(w)}
	if w.err == nil || said(w.err) {
		r.Remote = w.remote // whose words the reply is
	}
	return r
}

// said tells whether an error is what a host said, and not our own finding.
func said(err error) bool {
	var refusal *smtp.Refusal
	var step smtpclient.InReplyTo
	return errors.As(err, &refusal) && errors.As(err, &step)
}

// replyOf puts an answer in the words of the queue.
func replyOf(w answer) outqueue.Reply {
	if w.err == nil {
		_, text, _ := strings.Cut(w.reply, " ")
		return outqueue.Reply{Code: 250, Text: text}
	}
	var refusal *smtp.Refusal
	if errors.As(w.err, &refusal) {
		enhanced := ""
		if refusal.Enhanced != (smtp.Enhanced{}) {
			enhanced = refusal.Enhanced.String()
		}
		return outqueue.Reply{Code: refusal.Code, Enhanced: enhanced, Text: refusal.Text}
	}
	return outqueue.Reply{Text: w.err.Error()}
}

// replyText gives a reply as one line.
func replyText(r outqueue.Reply) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)), " ")
}

// describe gives one line for the item's history, with causes of ours, which
// only the operator sees.
func describe(w answer) string {
	if w.err == nil {
		return w.reply
	}
	var refusal *smtp.Refusal
	if errors.As(w.err, &refusal) && said(w.err) {
		return refusal.Reply().String()
	}
	return w.err.Error()
}

// record makes results durable. It does not give up while the lease is ours:
// a peer that has taken the message would otherwise get it again.
func (a *attempt) record(ctx context.Context, done outqueue.Attempt) {
	if done.Keep && len(done.Results) == 0 {
		return
	}
	for {
		err := a.queue.Result(context.WithoutCancel(ctx), time.Now(), a.lease, done)
		if err == nil {
			return
		}
		a.log.Error("cannot record an attempt", obs.Queue, a.item.ID.String(), obs.Err, err)
		if errors.Is(err, outqueue.ErrLeaseLost) || errors.Is(err, outqueue.ErrNotFound) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recordAgain):
		}
	}
}
