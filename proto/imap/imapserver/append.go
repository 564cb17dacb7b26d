package imapserver

import (
	"context"
	"errors"
	"fmt"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// An appending is an APPEND or REPLACE of which the first stretch has been
// read, up to the announcement of its first literal.
type appending struct {
	imap.Append
	parser *imap.AppendParser
	steps  []imap.AppendStep
}

// literal gives the literal that the stretch ends with, nil if there is none.
func (a *appending) literal() *imap.Literal {
	if n := len(a.steps); n > 0 && a.steps[n-1].Kind == imap.AppendText {
		return &a.steps[n-1].Literal
	}
	return nil
}

// Limits of one APPEND.
const (
	// appendTotal is how many times the largest message its messages may
	// have together.
	appendTotal = 20
	// appendMemory is how much of its messages is held in memory, each of
	// which stays there up to appendSpool, as package blob has it.
	appendMemory = 32 << 20
	appendSpool  = 64 << 10
	appendCost   = 2 << 10 // what a message takes besides
	// appendURLs is how many URLs it may have.
	appendURLs = 5000
)

// An incoming is what an APPEND has brought so far.
type incoming struct {
	name     string // of the mailbox
	messages []NewMessage
	size     int64 // of the last message
	total    int64
	memory   int64
	urls     int
}

// append is APPEND. Messages go from the connection into the account's staging
// as they come. RFC 9051 §6.3.12, RFC 3502, RFC 4315 §3, RFC 6855 §4
//
// Deviation: RFC 6855 §4 wants NO for 8-bit octets in the header of a message
// that comes without UTF8. Old mail is full of them, and whoever moves here
// would lose it.
func (c *conn) append(ctx context.Context, cmd *appending) (reply, error) {
	in := &incoming{}
	defer in.discard()
	if r, err := c.receive(ctx, cmd, in); err != nil {
		return r, err
	}
	done, err := c.account.Append(ctx, in.name, in.messages...)
	if err != nil {
		return reply{}, tryCreate(err)
	}
	c.brings(done.UIDValidity, done.UIDs)
	return reply{code: appendUID(&done)}, nil
}

// discard throws away what has not been kept.
func (in *incoming) discard() {
	for _, m := range in.messages {
		_ = m.Body.Close() // what was not kept is thrown away
	}
}

// receive takes all messages of a command. When it fails the reply has what is
// left to do: what a client sends without waiting has to be read.
func (c *conn) receive(ctx context.Context, cmd *appending, in *incoming) (reply, error) {
	err := c.acceptMailbox(ctx, cmd, in)
	for err == nil {
		for i := range cmd.steps {
			if err = c.receiveStep(ctx, in, &cmd.steps[i]); err != nil {
				if i == len(cmd.steps)-1 && isRead(err) {
					cmd.steps = nil
				}
				break
			}
		}
		if err != nil || cmd.parser.Done() {
			break
		}
		err = c.nextStretch(cmd)
	}
	if err == nil {
		err = in.complete()
	}
	var r reply
	if lit := cmd.literal(); err != nil && lit != nil && lit.NonSync {
		r.then = func() error { return c.skip(*lit) } // the answer goes out first
	}
	if read, ok := errors.AsType[*literalRead](err); ok {
		err = read.err
		r.then = c.skipRest
	}
	return r, err
}

// A literalRead is a failure that came up when a literal was read to its end.
type literalRead struct{ err error }

func (e *literalRead) Error() string { return e.err.Error() }

func isRead(err error) bool {
	_, ok := errors.AsType[*literalRead](err)
	return ok
}

// skipRest throws away what follows a literal.
func (c *conn) skipRest() error {
	line, err := c.in.line(nil, maxEarlyCommand, c.patience())
	if err != nil {
		return err
	}
	if lit, more := imap.LineLiteral(line); more && lit.NonSync {
		return c.skip(lit)
	}
	return nil
}

// acceptMailbox says whether messages are wanted, before any of them is read.
func (c *conn) acceptMailbox(ctx context.Context, cmd *appending, in *incoming) (err error) {
	if in.name, err = c.mailboxName(cmd.Mailbox); err != nil {
		return err
	}
	return tryCreate(c.account.Accepts(ctx, in.name))
}

// nextStretch reads on behind a literal.
func (c *conn) nextStretch(cmd *appending) error {
	var text []byte
	cmd.steps = nil
	for {
		var err error
		if text, err = c.in.line(text, c.server.options.MaxCommand-len(text), c.patience()); err != nil {
			return lost(err)
		}
		steps, missing, err := cmd.parser.Next(text)
		lit, announced := imap.LineLiteral(text)
		if missing && lit.Size > int64(c.server.options.MaxCommand-len(text)) {
			err = tooBig
		}
		if err != nil {
			if announced { // what it announces is to be skipped
				cmd.steps = []imap.AppendStep{{Kind: imap.AppendText, Literal: lit}}
			}
			return err
		}
		if !missing {
			cmd.steps = steps
			return nil
		}
		if text, err = c.readLiteral(text, lit); err != nil {
			return lost(err)
		}
	}
}

// receiveStep carries out one step.
func (c *conn) receiveStep(ctx context.Context, in *incoming, step *imap.AppendStep) error {
	switch step.Kind {
	case imap.AppendMessage:
		if err := in.complete(); err != nil {
			return err
		}
		if len(in.messages) > 0 {
			if err := in.body().Complete(); err != nil {
				return err
			}
		}
		if n := c.server.options.MessageLimit; len(in.messages) >= n { // RFC 9738 §3.1
			return &imap.Refusal{Code: fmt.Sprintf("MESSAGELIMIT %d", n), Text: "Too many messages at once"}
		}
		in.messages = append(in.messages, NewMessage{
			Body: c.account.Stage(ctx), Flags: step.Flags.Flags, Keywords: step.Flags.Keywords, Internal: step.Date,
		})
		in.size = 0
		return nil
	case imap.AppendURL:
		if in.urls++; in.urls > appendURLs {
			return &imap.Refusal{Code: imap.CodeLimit, Text: "Too many URLs"}
		}
		return c.catenate(ctx, in, step.URL)
	}
	if step.UTF8 && !c.utf8 {
		return &imap.SyntaxError{Text: "ENABLE UTF8=ACCEPT first"} // RFC 6855 §4
	}
	if step.Literal.Size == 0 && !step.Part {
		return in.complete()
	}
	if err := c.makeRoom(in, step.Literal.Size); err != nil {
		return err
	}
	if !step.Literal.NonSync {
		c.out.line("+ OK")
	}
	writeErr, readErr := c.in.copyTo(in.body(), step.Literal.Size, c.patience())
	if readErr != nil {
		return lost(readErr)
	}
	if writeErr != nil {
		return &literalRead{writeErr}
	}
	return nil
}

func (in *incoming) body() Staged { return in.messages[len(in.messages)-1].Body }

// makeRoom says whether n more octets of a message are wanted.
func (c *conn) makeRoom(in *incoming, n int64) error {
	most := int64(c.server.options.MaxMessage)
	if n > most-in.size {
		return tooBigMessage
	}
	in.memory -= min(in.size, appendSpool)
	in.size += n
	in.total += n
	in.memory += min(in.size, appendSpool)
	if in.total > appendTotal*most || in.memory+appendCost*int64(len(in.messages)) > appendMemory {
		return &imap.Refusal{Code: imap.CodeLimit, Text: "Too many messages at once"}
	}
	return nil
}

// complete ends the last message.
func (in *incoming) complete() error {
	if len(in.messages) > 0 && in.size == 0 {
		return &imap.Refusal{Text: "Message is empty"} // RFC 3502 §6.3.11: a zero-length literal cancels
	}
	return nil
}

var tooBigMessage = &imap.Refusal{Code: imap.CodeTooBig, Text: "Message is too large"}

// tryCreate turns "no such mailbox" into a hint to make it. RFC 9051 §6.3.12
func tryCreate(err error) error {
	if r, ok := errors.AsType[*imap.Refusal](err); ok && r.Code == imap.CodeNonexistent {
		return &imap.Refusal{Code: imap.CodeTryCreate, Text: r.Text, Err: r.Err}
	}
	return err
}

// appendUID is the response code APPENDUID; empty where the user is not to
// know. RFC 4315 §3, RFC 3502 §6.3.11, RFC 9051 §6.3.12
func appendUID(a *Appended) string {
	if len(a.UIDs) == 0 {
		return ""
	}
	return fmt.Sprintf("APPENDUID %d %s", a.UIDValidity, imap.AppendUIDSet(nil, a.UIDs))
}

// replace is REPLACE and UID REPLACE: an APPEND and the expunging of another
// message, as one. RFC 8508 §3
func (c *conn) replace(ctx context.Context, cmd *appending) (reply, error) {
	uid, err := c.replaced(cmd)
	if err != nil {
		cmd.parser = nil
		if lit := cmd.literal(); lit != nil && lit.NonSync {
			return reply{then: func() error { return c.skip(*lit) }}, err
		}
		return reply{}, err
	}
	in := &incoming{}
	defer in.discard()
	if r, err := c.receive(ctx, cmd, in); err != nil {
		return r, err
	}
	done, err := c.view.mailbox.Replace(ctx, uid, in.name, in.messages[0])
	if err != nil {
		return reply{}, tryCreate(err)
	}
	c.brings(done.UIDValidity, done.UIDs)
	// The code goes out before the EXPUNGE. RFC 8508 §4.3
	if code := appendUID(&done); code != "" {
		c.remark("OK", code, "Replacement message ready")
	}
	return reply{highest: true}, nil
}

// replaced finds the message that a REPLACE names.
func (c *conn) replaced(cmd *appending) (mail.UID, error) {
	if c.uidOnly && !cmd.UID {
		return 0, uidRequired
	}
	if err := c.mustWrite(); err != nil {
		return 0, err
	}
	spans, err := c.view.resolve(imap.Set{Ranges: []imap.Range{{From: cmd.Message, To: cmd.Message}}}, cmd.UID)
	if err != nil {
		return 0, err
	}
	uids := c.view.uids(spans)
	if len(uids) == 0 {
		return 0, &imap.Refusal{Code: imap.CodeNonexistent, Text: "There is no such message to be replaced"}
	}
	return uids[0], nil
}
