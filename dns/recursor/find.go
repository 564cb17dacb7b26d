package recursor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// A found is one link of an answer, before it goes to the cache.
type found struct {
	question
	entry *entry
	ttl   time.Duration
}

// find asks, validates, and keeps what was found. An answer that is bogus is
// asked for once more, elsewhere if there is an elsewhere.
func (t *task) find(ctx context.Context, q question) ([]*entry, error) {
	all, err := t.findOnce(ctx, q)
	if errors.Is(err, errUnjudged) || err == nil && slices.ContainsFunc(all, found.bogus) {
		t.say("that is asked for once more")
		t.r.raw.Delete(q) // DS records that a referral brought
		all, err = t.findOnce(ctx, q)
	}
	if err != nil {
		return nil, t.keepFailure(q, err)
	}
	entries := make([]*entry, len(all))
	for i, f := range all {
		entries[i] = f.entry
		t.r.answers.Put(f.question, f.entry, f.entry.size(), t.now.Add(f.ttl))
	}
	return entries, nil
}

func (t *task) findOnce(ctx context.Context, q question) ([]found, error) {
	resp, err := t.iterate(ctx, q.name, q.qtype)
	if err != nil {
		return nil, err
	}
	t.say("%v answers for %s %s", resp.server, q.name, wire.Type(q.qtype))
	parts := links(resp)
	if len(parts) == 0 {
		return nil, failed(q.name, q.qtype, wire.ExtendedErrorCodeInvalidData, "the answer of %v makes no sense", resp.server)
	}
	var all []found
	for _, l := range parts {
		j, err := t.judge(ctx, l)
		if err != nil {
			t.avoid[resp.server] = true
			return nil, fmt.Errorf("%w: %w", errUnjudged, err)
		}
		f := l.entry(j)
		t.say("%s %s: %s%s", l.name, wire.Type(l.qtype), describeLink(l), describeFinding(j.finding))
		if f.bogus() {
			t.avoid[resp.server] = true
			f.ttl = bogusTTL
		}
		all = append(all, f)
	}
	return all, nil
}

// errUnjudged: there is an answer, but the keys to judge it by are not to be
// had.
var errUnjudged = errors.New("the answer cannot be judged")

func (f found) bogus() bool { return f.entry.answer.Finding.Security == dns.Bogus }

// entry makes what is kept of a link.
func (l *link) entry(j judgement) found {
	a := &dns.Answer{Name: l.name, Finding: j.finding, Asked: j.finding.Security}
	e := &entry{answer: a, target: l.target}
	switch {
	case j.finding.Security == dns.Bogus:
		e.target = ""
	case l.kind == positive:
		a.Records = l.set.Records
	case l.kind != alias:
		a.NoName, a.Detail = j.noName, "no records"
		if a.NoName {
			a.Detail = "the name does not exist"
		}
	}
	return found{question{l.name, l.qtype}, e, max(j.ttl, 0)}
}

// size is what an entry takes in the cache, about.
func (e *entry) size() int {
	n := 250 + len(e.answer.Name) + len(e.target)
	for _, rr := range e.answer.Records {
		n += 100 + wire.Len(rr)
	}
	return n
}

// keepFailure remembers for a moment that a question has no answer, so that
// dead servers are not asked for every message, for longer each time; or that
// what has expired has to serve on. RFC 9520 §3.2, RFC 8767 §5
func (t *task) keepFailure(q question, err error) error {
	var failure *dns.Error
	if !errors.As(err, &failure) {
		failure = &dns.Error{Detail: err.Error()}
	}
	now := time.Now() // it may have taken long to find out that there is none
	old, expires, known := t.r.answers.Peek(q)
	if known && old.mayServe(expires, now, t.r.options.Stale) {
		kept := *old
		if kept.expired.IsZero() {
			kept.expired = expires
		}
		t.r.answers.Put(q, &kept, kept.size(), now.Add(staleTTL))
	} else {
		e := &entry{answer: &dns.Answer{Name: q.name, Detail: failure.Detail}, failed: failureTTL}
		if known && old.failed > 0 && now.Sub(expires) < maxFailureTTL {
			e.failed = min(2*old.failed, maxFailureTTL)
		}
		t.r.answers.Put(q, e, e.size(), now.Add(e.failed))
	}
	return failed(q.name, q.qtype, failure.Code, "%s", failure.Detail)
}

func describeLink(l link) string {
	switch l.kind {
	case positive:
		return "records, "
	case alias:
		return "an alias of " + l.target + ", "
	case noName:
		return "no such name, "
	}
	return "no such records, "
}

func describeFinding(f dns.Finding) string {
	if f.Reason == "" {
		return f.Security.String()
	}
	return f.Security.String() + ": " + f.Reason
}
