package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"waxwing/mail"
	"waxwing/proto/smtp"
)

// pipelined bounds what is sent ahead of its replies. A server that writes
// replies while nobody reads them, to a client that writes commands, would
// wait for ever. RFC 2920 §3.1
const pipelined = 4000

// maxRcpt is more than one RCPT takes.
const maxRcpt = 1200

// block is how much of a message is written at once.
const block = 64 << 10

// An Outcome is what became of one transaction.
type Outcome struct {
	// Refused has one element for each recipient, in their order: nil when
	// the peer has accepted it, else mostly a *smtp.Refusal.
	Refused []error
	// Reply is what the peer said to the whole message; the zero value when
	// it did not get that far.
	Reply smtp.Reply
	// Replies are, with LMTP, the answers to the message of those recipients
	// that were not refused before; nil otherwise. RFC 2033 §4.2
	Replies []smtp.Reply
}

// Send is one transaction: MAIL, RCPT for each recipient, and the message.
// Extensions that the peer does not offer are left out of the parameters
// where that is allowed (SIZE, DSN, and of m.Uses those about when and how a
// message goes on) and refused on the spot where it is not (8BITMIME,
// BINARYMIME, SMTPUTF8, REQUIRETLS). m.Size is the size of the message, zero
// if it is not known.
//
// A message that is binary, or so large that it pays, goes in chunks if the
// peer takes them. RFC 3030 §2
//
// With LMTP an element of Outcome.Refused may also be the answer to the
// message, and Outcome.Reply is the first one that accepts. RFC 2033 §4.2
//
// With a nil error the peer has accepted the message for every recipient
// whose element in Outcome.Refused is nil, if there is such a one; body is
// not read when there is none. Otherwise the error holds for all recipients
// that were not refused by themselves: a *smtp.Refusal of MAIL, DATA or the
// message, a *Lost, or what reading body failed with.
func (c *Client) Send(ctx context.Context, m smtp.Mail, to []smtp.Rcpt, body io.Reader) (Outcome, error) {
	o := Outcome{Refused: make([]error, len(to))}
	if c.broken != nil {
		return o, c.broken
	}
	if err := c.fit(&m, to); err != nil {
		return o, err
	}
	if c.open && !c.extensions.Has(smtp.Pipelining) {
		if err := c.Reset(ctx); err != nil {
			return o, err
		}
	}
	defer c.watch(ctx)()
	t := &transaction{c: c, mail: m, to: to, refused: o.Refused, steps: make([]step, 0, len(to)+3)}
	if err := t.envelope(ctx); err != nil {
		return o, err
	}
	if t.accepted == 0 {
		return o, nil
	}
	if c.lmtp {
		o.Replies = make([]smtp.Reply, len(to))
	}
	t.reply, t.replies = &o.Reply, o.Replies
	err := t.message(ctx, body)
	return o, err
}

// wishes are the extensions of which the caller says whether they are used.
const wishes = smtp.DeliverBy | smtp.MTPriority | smtp.FutureRelease

// chunkFrom is from which size on a message goes in chunks: without looking
// for dots, and with an answer on the way.
const chunkFrom = 1 << 20

// fit decides which parameters are given.
func (c *Client) fit(m *smtp.Mail, to []smtp.Rcpt) error {
	m.Uses = c.extensions & (smtp.Size | smtp.DSN | m.Uses&wishes)
	if m.Solicit != "" {
		m.Uses |= c.extensions & smtp.NoSoliciting
	}
	if m.RequireTLS {
		m.Uses |= smtp.RequireTLS
	}
	if m.Binary {
		m.Uses |= smtp.BinaryMIME
		m.EightBit = true
	}
	if m.EightBit {
		m.Uses |= smtp.EightBitMIME
	}
	if m.UTF8 {
		m.Uses |= smtp.SMTPUTF8
	}
	switch {
	case m.RequireTLS && (c.tls == nil || !c.extensions.Has(smtp.RequireTLS)):
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 30}, Text: "Peer does not promise REQUIRETLS", Err: InReplyTo("EHLO")} // RFC 8689 §4.2.1
	case m.Binary && !c.extensions.Has(smtp.BinaryMIME|smtp.Chunking):
		// RFC 3030 §3: under no circumstances
		return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 6, 3}, Text: "Peer does not take binary messages", Err: InReplyTo("EHLO")}
	case m.EightBit && !c.extensions.Has(smtp.EightBitMIME):
		// RFC 6152 §3, RFC 3463 §3.7: conversion required but not supported
		return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 6, 3}, Text: "Peer does not take 8-bit messages", Err: InReplyTo("EHLO")}
	case m.UTF8 && !c.extensions.Has(smtp.SMTPUTF8):
		// RFC 6531 §3.5
		return &smtp.Refusal{Code: 553, Enhanced: smtp.Enhanced{5, 6, 7}, Text: "Peer does not take internationalized messages", Err: InReplyTo("EHLO")}
	case c.maxSize > 0 && m.Size > c.maxSize:
		// RFC 1870 §6.1
		return &smtp.Refusal{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: fmt.Sprintf("Peer takes at most %d octets", int64(c.maxSize)), Err: InReplyTo("EHLO")}
	case !sayable(m.From):
		return &smtp.Refusal{Code: 501, Enhanced: smtp.Enhanced{5, 1, 7}, Text: "Bad sender address"}
	}
	for _, r := range to {
		if !sayable(r.To) || r.To.IsNull() {
			return &smtp.Refusal{Code: 501, Enhanced: smtp.Enhanced{5, 1, 3}, Text: "Bad recipient address"}
		}
	}
	return nil
}

// sayable tells whether an address can stand in a command: nothing in it may
// end a line, wherever it came from.
func sayable(a mail.Address) bool {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	return !strings.ContainsFunc(a.Local, control) && !strings.ContainsFunc(a.Domain, func(r rune) bool {
		return r <= ' ' || r == '<' || r == '>' || control(r)
	})
}

// A transaction is the part of Send before the message: its commands, in
// groups as RFC 2920 allows, and what they were answered with.
type transaction struct {
	c        *Client
	mail     smtp.Mail
	to       []smtp.Rcpt
	refused  []error
	accepted int

	mailErr error
	dataErr error
	data    bool // 354 was said
	chunks  bool // the message goes with BDAT
	reply   *smtp.Reply
	replies []smtp.Reply

	steps []step // sent, and not answered yet
}

// A step is a command whose reply is awaited.
type step struct {
	verb  string
	class int
	rcpt  int
}

// envelope says MAIL, RCPT and DATA.
func (t *transaction) envelope(ctx context.Context) error {
	c := t.c
	pipelining := c.extensions.Has(smtp.Pipelining)
	t.chunks = t.mail.Binary || t.mail.Size >= chunkFrom && c.extensions.Has(smtp.Chunking)
	if c.open {
		c.out = append(c.out, "RSET\r\n"...)
		t.steps = append(t.steps, step{verb: "RSET", class: 2})
	}
	c.open = true
	c.out = t.mail.Append(c.out)
	t.steps = append(t.steps, step{verb: "MAIL", class: 2})
	for i, r := range t.to {
		if !pipelining || len(c.out) > pipelined-maxRcpt {
			if err := t.exchange(ctx); err != nil {
				return err
			}
			if t.mailErr != nil {
				return t.mailErr
			}
		}
		r.Uses = c.extensions & smtp.DSN
		c.out = r.Append(c.out)
		t.steps = append(t.steps, step{verb: "RCPT", class: 2, rcpt: i})
	}
	if !pipelining {
		if err := t.exchange(ctx); err != nil {
			return err
		}
		if t.mailErr != nil || t.accepted == 0 {
			return t.mailErr
		}
	}
	if t.chunks {
		// No 354 is waited for, and what is sent to nobody must not be.
		if len(t.steps) > 0 {
			if err := t.exchange(ctx); err != nil {
				return err
			}
		}
		return t.settle(ctx)
	}
	c.out = append(c.out, "DATA\r\n"...)
	t.steps = append(t.steps, step{verb: "DATA", class: 3})
	if err := t.exchange(ctx); err != nil {
		return err
	}
	return t.settle(ctx)
}

// exchange sends the group and reads all of its replies.
func (t *transaction) exchange(ctx context.Context) error {
	c := t.c
	c.within(ctx, commandTimeout)
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.logSent(ctx, "group", string(c.out))
	}
	if err := c.flush(ctx, t.steps[0].verb); err != nil {
		return err
	}
	for _, s := range t.steps {
		wait := commandTimeout
		if s.verb == "DATA" {
			wait = dataTimeout
		}
		_, err := c.expect(ctx, s.verb, s.class, wait) // each has its own time
		if isLost(err) {
			return err
		}
		t.note(s, err)
		if c.broken != nil {
			// 421: nothing more will be said. RFC 5321 §3.8
			return err
		}
	}
	t.steps = t.steps[:0]
	return nil
}

func (t *transaction) note(s step, err error) {
	switch s.verb {
	case "MAIL":
		t.mailErr = err
	case "RCPT":
		t.refused[s.rcpt] = err
		if err == nil {
			t.accepted++
		}
	case "DATA":
		t.dataErr, t.data = err, err == nil
	}
}

// settle judges the group that ended with DATA.
func (t *transaction) settle(ctx context.Context) error {
	if t.data && (t.mailErr != nil || t.accepted == 0) {
		// The peer wants a message although it has no recipients: it gets an
		// empty one, which goes nowhere. RFC 2920 §3.1
		if err := t.emptyMessage(ctx); err != nil {
			return err
		}
	}
	switch {
	case t.mailErr != nil:
		clear(t.refused) // they were refused for want of MAIL
		return t.mailErr
	case t.accepted == 0:
		return nil
	}
	return t.dataErr
}

func (t *transaction) emptyMessage(ctx context.Context) error {
	c := t.c
	c.within(ctx, finalTimeout)
	c.out = append(c.out, ".\r\n"...)
	if err := c.flush(ctx, "message"); err != nil {
		return err
	}
	_, err := c.readReply(ctx, "message", finalTimeout)
	c.open = false
	return err
}

// message sends the message and reads the final reply.
func (t *transaction) message(ctx context.Context, body io.Reader) error {
	c := t.c
	w := &dataWriter{c: c, ctx: ctx}
	var err error
	if t.chunks {
		err = t.inChunks(ctx, body)
	} else {
		err = w.dotted(body)
	}
	if err == nil {
		return t.final(ctx)
	}
	var refused *smtp.Refusal
	switch {
	case errors.As(err, &refused):
		return err
	case w.failed != nil || isLost(err):
		return c.lastWord(ctx, err)
	}
	// Without its end the peer does not take it. RFC 5321 §4.1.1.4
	c.broken = &Lost{Step: "message", Err: err}
	_ = c.nc.Close()
	return fmt.Errorf("read the message to send: %w", err)
}

// dotted sends the message after 354.
func (w *dataWriter) dotted(body io.Reader) error {
	if _, err := io.Copy(w, body); err != nil {
		return err
	}
	w.c.out = w.stuffer.Finish(w.c.out)
	return w.flush()
}

// final reads what the peer says to the message: with LMTP as often as it has
// accepted a recipient. RFC 2033 §4.2
func (t *transaction) final(ctx context.Context) error {
	c := t.c
	replies := 1
	if c.lmtp {
		replies = t.accepted
	}
	at := 0
	for range replies {
		r, err := c.expect(ctx, "message", 2, finalTimeout)
		if lost, ok := errors.AsType[*Lost](err); ok {
			lost.Unknown = true
			return err
		}
		if !c.lmtp {
			*t.reply = r
			c.open = false
			return err
		}
		for t.refused[at] != nil {
			at++
		}
		t.replies[at] = r
		if t.refused[at] = err; err == nil && t.reply.Code == 0 {
			*t.reply = r
		}
		at++
		if c.broken != nil { // 421: the others have not been answered
			return err
		}
	}
	c.open = false
	return nil
}

// lastWord looks whether the peer has said why it does not listen any more.
func (c *Client) lastWord(ctx context.Context, failed error) error {
	r, err := c.readReply(ctx, "message", lastWordTimeout)
	if err == nil && (r.Code/100 == 4 || r.Code/100 == 5) {
		return refusal(r, "message")
	}
	return failed
}

// A dataWriter sends what is written to it, stuffed, in blocks.
type dataWriter struct {
	c       *Client
	ctx     context.Context
	stuffer smtp.Stuffer
	failed  error
}

// Write queues, and sends whole blocks.
func (w *dataWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), block)
		w.c.out = w.stuffer.Append(w.c.out, p[:k])
		p = p[k:]
		if len(w.c.out) >= block {
			if err := w.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (w *dataWriter) flush() error {
	w.c.within(w.ctx, blockTimeout)
	w.failed = w.c.flush(w.ctx, "message")
	return w.failed
}
