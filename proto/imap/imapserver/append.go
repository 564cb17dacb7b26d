package imapserver

import (
	"context"
	"errors"
	"fmt"

	"waxwing/proto/imap"
)

// append is APPEND. The message goes from the connection into the account's
// staging as it comes. RFC 9051 §6.3.12, RFC 4315 §3, RFC 6855 §4
//
// Deviation: RFC 6855 §4 wants NO for 8-bit octets in the header of a message
// that comes without UTF8. Old mail is full of them, and whoever moves here
// would lose it.
func (c *conn) append(ctx context.Context, cmd imap.Append) (reply, error) {
	name, err := c.acceptAppend(ctx, cmd)
	if err != nil {
		if cmd.Literal.NonSync { // the answer goes out first
			return reply{then: func() error { return c.skip(cmd.Literal) }}, err
		}
		return reply{}, err
	}
	if !cmd.Literal.NonSync {
		c.out.line("+ OK")
	}
	body := c.account.Stage(ctx)
	defer body.Close() //nolint:errcheck // what was not kept is thrown away
	writeErr, readErr := c.in.copyTo(body, cmd.Literal.Size, c.patience())
	if readErr != nil {
		return reply{}, lost(readErr)
	}
	if err := c.endAppend(cmd); err != nil {
		return reply{}, err
	}
	if writeErr != nil {
		return reply{}, writeErr
	}
	done, err := c.account.Append(ctx, name, NewMessage{
		Body: body, Flags: cmd.Flags.Flags, Keywords: cmd.Flags.Keywords, Internal: cmd.Date,
	})
	if err != nil {
		return reply{}, tryCreate(err)
	}
	return reply{code: appendUID(done)}, nil
}

// acceptAppend says whether the message is wanted, before any of it is read.
func (c *conn) acceptAppend(ctx context.Context, cmd imap.Append) (string, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return "", err
	}
	switch {
	case cmd.Literal.Size > int64(c.server.options.MaxMessage):
		return "", tooBigMessage
	case cmd.Literal.Size == 0:
		return "", &imap.Refusal{Text: "Message is empty"}
	case cmd.UTF8 && !c.utf8:
		return "", &imap.SyntaxError{Text: "ENABLE UTF8=ACCEPT first"} // RFC 6855 §4
	}
	info, err := c.account.Mailbox(ctx, name)
	if err != nil {
		return "", tryCreate(err)
	}
	if info.NoSelect {
		return "", tryCreate(&imap.Refusal{Code: imap.CodeNonexistent, Text: "There is only the name of the mailbox"})
	}
	return name, nil
}

var tooBigMessage = &imap.Refusal{Code: imap.CodeTooBig, Text: "Message is too large"}

// endAppend reads what follows the message.
func (c *conn) endAppend(cmd imap.Append) error {
	line, err := c.in.line(nil, maxEarlyCommand, c.patience())
	if err != nil {
		return lost(err)
	}
	want := ""
	if cmd.UTF8 {
		want = ")"
	}
	if string(line) == want {
		return nil
	}
	if lit, more := imap.LineLiteral(line); more && lit.NonSync {
		if err := c.skip(lit); err != nil {
			return lost(err)
		}
	}
	return &imap.SyntaxError{Text: "Unexpected text after the message"}
}

// tryCreate turns "no such mailbox" into a hint to make it. RFC 9051 §6.3.12
func tryCreate(err error) error {
	if r, ok := errors.AsType[*imap.Refusal](err); ok && r.Code == imap.CodeNonexistent {
		return &imap.Refusal{Code: imap.CodeTryCreate, Text: r.Text, Err: r.Err}
	}
	return err
}

// appendUID is the response code APPENDUID. RFC 4315 §3
func appendUID(a Appended) string {
	return fmt.Sprintf("APPENDUID %d %s", a.UIDValidity, imap.AppendUIDSet(nil, a.UIDs))
}
