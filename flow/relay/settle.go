package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"waxwing/format/dsn"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpclient"
	"waxwing/store/outqueue"
)

// recordAgain is how long to wait when the queue cannot write.
const recordAgain = 5 * time.Second

// notSentAgain is when those come again for whom a connection had no room.
const notSentAgain = 30 * time.Second

// settle records what came of a group. What a peer has taken is recorded at
// once; refusals and delays wait for the last group, so that the sender gets
// one notification.
func (a *attempt) settle(ctx context.Context, g *group, answers []answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now() // what is recorded and what is told are of one moment
	a.open -= len(g.indexes)
	last := a.open == 0
	for n, i := range g.indexes {
		a.answers[i] = answers[n]
	}
	a.forgetInterrupted()
	if last {
		a.conclude(ctx, now)
	} else {
		done := a.delivered(ctx, now)
		a.record(ctx, done)
		closeBodies(done.Then)
	}
	for n, i := range g.indexes {
		a.say(ctx, i, answers[n])
		a.tell(ctx, now, i, answers[n])
	}
	a.tellNotices(ctx)
	if last && a.left == 0 {
		a.tellDone(ctx)
	}
}

// say logs one answer.
func (a *attempt) say(ctx context.Context, i int, w answer) {
	level, message, last := slog.LevelInfo, "message sent", slog.Any(obs.Err, w.err)
	switch {
	case errors.Is(w.err, errCrowded), errors.Is(w.err, errNotSent):
		level, message, last = slog.LevelDebug, "message has to wait", slog.Attr{}
	case w.err == nil && w.remote == "":
		level, message, last = slog.LevelDebug, "queued message delivered", slog.Attr{} // deliver says so at Info
	case w.err == nil:
		last = slog.String(obs.Reply, w.reply)
	case temporary(w.err):
		message = "message put off"
	default:
		message = "message refused"
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	attrs := [7]slog.Attr{
		slog.String(obs.Queue, a.name), slog.String(obs.Msg, a.item.Message), slog.String(obs.From, a.from),
		slog.String(obs.Rcpt, a.rcpt(i)), slog.String(obs.Remote, w.remote), last,
	}
	if w.err == nil && w.remote != "" {
		attrs[6] = slog.Duration(obs.Took, time.Since(a.began))
	}
	obs.Log(ctx, a.log, level, message, attrs[:]...)
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

// delivered gives the part of the attempt that must not be lost, with what the
// sender is to be told of it. The caller closes the bodies of Then.
func (a *attempt) delivered(ctx context.Context, now time.Time) outqueue.Attempt {
	done := outqueue.Attempt{Keep: true}
	var about []dsn.Recipient
	for i := range a.item.Envelope.To {
		w, ok := a.answers[i]
		if !ok || w.err != nil {
			continue
		}
		res := result(i, w, outqueue.Delivered)
		done.Results = append(done.Results, res)
		if report, ok := a.success(res, w, now); ok {
			about = append(about, report)
		}
		delete(a.answers, i)
	}
	then, err := a.notice(ctx, now, about)
	if err != nil {
		// That the peer has the message must be kept, whatever else fails.
		a.log.Error("cannot make a notification of success", obs.Queue, a.name, obs.Err, err)
	}
	done.Then = then
	return done
}

// conclude records the rest and gives the item back to the queue.
func (a *attempt) conclude(ctx context.Context, now time.Time) {
	tried := len(a.answers) > 0
	// That nobody could be reached is found out again, if need be.
	end := outqueue.Attempt{Patient: tried && !a.brought, Try: outqueue.Try{Began: a.began, Took: now.Sub(a.began), Calls: a.calls}}
	for _, w := range a.answers {
		end.Try.Remote, end.Try.Text = w.remote, describe(w)
	}
	done := a.delivered(ctx, now)
	defer closeBodies(done.Then)
	soon, about := a.rest(now, &end)
	switch {
	case !tried: // at the next start
		end.Try, end.Next = outqueue.Try{}, now
	case soon > 0 && len(end.Results)+len(done.Results) == 0:
		end.Try, end.Next = outqueue.Try{}, now.Add(soon)
	case soon > 0:
		end.Next = now.Add(soon)
	}
	if len(about) > 0 { // a notification takes its time
		a.record(ctx, done)
	} else {
		end.Results, end.Then = append(end.Results, done.Results...), done.Then
	}
	notice, err := a.notice(ctx, now, about)
	if err != nil {
		// Without a notification the failure must not be final.
		a.log.Error("cannot make a bounce", obs.Queue, a.name, obs.Err, err)
		return
	}
	defer closeBodies(notice)
	end.Then = append(end.Then, notice...)
	a.record(ctx, end)
}

// rest sorts the recipients that the message was not delivered to into the
// results, and gives what the sender is to be told, and the delay after which
// those come again that had no place; zero if there are none.
func (a *attempt) rest(now time.Time, end *outqueue.Attempt) (soon time.Duration, about []dsn.Recipient) {
	if len(a.answers) == 0 {
		return 0, nil
	}
	for _, i := range slices.Sorted(maps.Keys(a.answers)) {
		w := a.answers[i]
		next, again := a.scheduleOf(i).next(now, a.since(), a.item.Tries+1)
		if end.Next.IsZero() || next.Before(end.Next) {
			end.Next = next
		}
		state := outqueue.Pending
		switch {
		case errors.Is(w.err, errCrowded) && again:
			soon = max(soon, a.places.later(w.hop))
			continue // as if it had not been tried
		case errors.Is(w.err, errNotSent) && again:
			soon = max(soon, notSentAgain)
			continue
		case !temporary(w.err):
			state = outqueue.Failed
		case !again:
			state = outqueue.Expired
		}
		res := result(i, w, state)
		var report dsn.Recipient
		var tell bool
		if state == outqueue.Pending {
			report, tell = a.delay(&res, now)
		} else {
			report, tell = a.failure(res, now)
		}
		if tell {
			about = append(about, report)
		}
		end.Results = append(end.Results, res)
	}
	if by := a.item.Envelope.By; !by.IsZero() && by.At.After(now) && by.At.Before(end.Next) {
		end.Next = by.At // then it is tried for the last time, or the sender told
	}
	return soon, about
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
	if errors.As(w.err, &refusal) && (said(w.err) || explained(refusal)) {
		return refusal.Reply().String()
	}
	return w.err.Error()
}

// explained tells whether what a refusal of ours says ends as its error does,
// which then says nothing new: "cannot connect to host: connection refused".
func explained(r *smtp.Refusal) bool {
	_, why, ok := strings.Cut(r.Text, ": ")
	return ok && r.Err != nil && strings.HasSuffix(r.Err.Error(), why)
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
			a.noticed = append(a.noticed, done.Then...)
			return
		}
		a.log.Error("cannot record an attempt", obs.Queue, a.name, obs.Err, err)
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
