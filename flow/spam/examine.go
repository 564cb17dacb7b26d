package spam

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/milter"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
)

// A Message is what is to be examined, and what has become of it.
type Message struct {
	Arrival  *deliver.Arrival
	Envelope mail.Envelope // without To
	To       []deliver.Recipient
	Trace    []byte // what we put in front of the header

	// Discarded says that a filter wants the message to be gone, and nobody
	// told.
	Discarded bool
}

// ID gives the transaction's id, which the filters know already; empty if
// there is none.
func (d *Dialogue) ID() string {
	if d == nil {
		return ""
	}
	return d.id
}

// Examine asks everybody about a message that has been received whole, and
// changes m as they say. If there is a new arrival the old one is closed. A
// *smtp.Refusal refuses the message.
func (d *Dialogue) Examine(ctx context.Context, now time.Time, m *Message) error {
	if d == nil {
		return nil
	}
	if d.discard {
		m.Discarded = true
		return nil
	}
	c, err := load(m.Arrival)
	if err != nil {
		return err
	}
	defer func() { c.close() }()
	e := &examination{Dialogue: d, m: m, content: c}
	for _, ask := range []func(context.Context) error{e.askMilters, e.askClamAV, e.askRspamd} {
		if err := ask(ctx); err != nil || m.Discarded {
			return err
		}
	}
	return e.finish(ctx, now)
}

// An examination is one message's.
type examination struct {
	*Dialogue
	m       *Message
	content *content
	junk    bool
}

// askMilters sends the message to each milter that wants it.
func (e *examination) askMilters(ctx context.Context) error {
	err := e.each(ctx, aboutMessage, func(l *listener) (milter.Verdict, error) {
		v, err := l.conn.Data(ctx)
		if err != nil || v.Reply != milter.Continue {
			return v, err
		}
		var changes []milter.Change
		fresh := 0 // pieces of a new body
		v, err = l.conn.Message(ctx, e.content.milterFields, e.content.bodyReader(), func(c milter.Change) error {
			if b, ok := c.(milter.ReplaceBody); ok {
				return e.replaceBody(ctx, b, &fresh)
			}
			changes = append(changes, c)
			return nil
		})
		if err != nil || refuses(v) {
			return v, err
		}
		l.passMessage = true // it has said what there is to say
		if n := len(changes) + fresh; n > 0 {
			l.found(strconv.Itoa(n) + " changes")
		} else {
			l.found("nothing against it")
		}
		return v, e.apply(ctx, changes)
	})
	e.m.Discarded = e.discard
	return err
}

func refuses(v milter.Verdict) bool {
	return v.Reply != milter.Continue && v.Reply != milter.Accept && v.Reply != milter.Discard
}

// replaceBody writes a piece of a milter's new body. The first piece begins a
// new one, whatever milters before have written.
func (e *examination) replaceBody(ctx context.Context, b milter.ReplaceBody, pieces *int) error {
	if *pieces == 0 && e.content.body != nil {
		e.content.close()
		e.content.body = nil
	}
	*pieces++
	_, err := e.content.heed(b, func() *blob.Staged { return blob.Stage(ctx, e.filters.o.Blobs) })
	return err
}

// apply makes the changes of one milter.
func (e *examination) apply(ctx context.Context, changes []milter.Change) error {
	for _, change := range changes {
		if done, err := e.content.heed(change, nil); err != nil || done {
			if err != nil {
				return err
			}
			continue
		}
		switch c := change.(type) {
		case milter.ChangeFrom:
			e.m.Envelope.From = c.From
		case milter.DeleteRecipient:
			e.m.To = slices.DeleteFunc(slices.Clone(e.m.To), func(r deliver.Recipient) bool {
				return same(r.Address, c.To)
			})
		case milter.AddRecipient:
			to, err := e.filters.o.Resolve(ctx, mail.Recipient{Address: c.To})
			if err != nil {
				// The milter's slip must not cost the others their mail.
				e.filters.o.Log.Warn("a milter adds a recipient who is none", obs.Msg, e.id, obs.Rcpt, c.To.String(), obs.Err, err)
				continue
			}
			if !slices.ContainsFunc(e.m.To, func(r deliver.Recipient) bool { return same(r.Address, c.To) }) {
				e.m.To = append(slices.Clone(e.m.To), to)
			}
		case milter.Quarantine:
			e.filters.o.Log.Info("set aside by a milter", obs.Msg, e.id, "reason", c.Reason)
			e.found("quarantine", c.Reason)
			e.setAside = true
		}
	}
	return nil
}

func same(a, b mail.Address) bool {
	return strings.EqualFold(a.Local, b.Local) && a.Domain == b.Domain
}

// finish makes of the content what is delivered.
func (e *examination) finish(ctx context.Context, now time.Time) error {
	if len(e.m.To) == 0 {
		e.m.Discarded = true // a filter has taken out everybody
		return nil
	}
	// Rspamd and SpamAssassin say so in their milters with a field.
	for _, l := range slices.Concat(e.content.top, e.content.fields) {
		e.junk = e.junk || l.ours && deliver.SaysJunk(l.name, string(l.raw))
	}
	e.junk = e.junk || e.setAside
	if e.junk && e.filters.o.Outgoing {
		if e.setAside {
			return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "this message cannot be sent: it is held to be dangerous"}
		}
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "this message cannot be sent: it is held to be spam"}
	}
	if !e.filters.o.Outgoing {
		// Only those whom we ask may say what is spam.
		e.content.remove(func(l line) bool { return !l.ours && isMark(l.name) })
	}
	if e.junk && !slices.ContainsFunc(e.content.top, func(l line) bool { return deliver.SaysJunk(l.name, string(l.raw)) }) {
		e.content.top = slices.Insert(e.content.top, 0, newLine("X-Spam", " Yes"))
	}
	e.m.Trace = append(appendLines(nil, e.content.top), e.m.Trace...)
	e.m.Arrival.Junk = e.junk
	if !e.content.changed {
		return nil
	}
	return e.restage(ctx, now)
}

// restage puts the changed message in the place of the old one.
func (e *examination) restage(ctx context.Context, now time.Time) error {
	was := e.m.Arrival
	if int64(e.filters.o.MaxMessage) < e.content.size() {
		return &smtp.Refusal{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: "the message has become too large"}
	}
	fresh, err := deliver.Stage(ctx, e.filters.o.Blobs, now, e.content.reader())
	if err != nil {
		return err
	}
	fresh.ID, fresh.Origin, fresh.Token, fresh.Junk = was.ID, was.Origin, was.Token, was.Junk
	fresh.TLS, fresh.Facts, fresh.Solicits = was.TLS, was.Facts, was.Solicits
	fresh.Chain, fresh.Results = was.Chain, was.Results
	e.m.Arrival = fresh
	return was.Close()
}

// isMark tells whether a field is one by which a filter speaks to the
// recipient's programs; strangers must not.
func isMark(name string) bool {
	name = strings.ToLower(name)
	return name == "x-spam" || strings.HasPrefix(name, "x-spam-") ||
		strings.HasPrefix(name, "x-spamd-") || strings.HasPrefix(name, "x-rspamd-") || name == "x-virus"
}

// whole reads the message as it would lie in a mailbox, with our Received.
func (e *examination) whole() (io.Reader, int64) {
	top := append(appendLines(nil, e.content.top), e.m.Trace...)
	return io.MultiReader(bytes.NewReader(top), e.content.reader()), int64(len(top)) + e.content.size()
}

// unasked says what it means that somebody could not be asked.
func (e *examination) unasked(ctx context.Context, who string, w WhenDown, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.filters.o.Log.Warn(who+" does not answer", obs.Msg, e.id, "when_down", string(w), obs.Err, err)
	e.found(who, "not asked: "+err.Error())
	if w == Quarantine {
		e.setAside = true
	}
	if r := w.refusal(err); r != nil {
		return r
	}
	return nil
}

var errLong = errors.New("the answer is too long")
