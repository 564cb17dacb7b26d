package imapserver

import (
	"context"
	"strconv"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// copy is COPY and UID COPY. RFC 9051 §6.4.7
func (c *conn) copy(ctx context.Context, cmd imap.Copy) (reply, error) {
	done, _, err := c.transfer(ctx, cmd, c.view.mailbox.Copy)
	if err != nil || len(done.Source) == 0 {
		return reply{}, err
	}
	return reply{code: copyUID(&done)}, nil
}

// move is MOVE and UID MOVE. COPYUID goes out before the EXPUNGEs, which are
// the news of the mailbox. RFC 6851 §4.3
func (c *conn) move(ctx context.Context, cmd imap.Copy) (reply, error) {
	if err := c.mustWrite(); err != nil {
		return reply{}, err
	}
	done, limit, err := c.transfer(ctx, cmd, c.view.mailbox.Move)
	if err != nil || len(done.Source) == 0 {
		return reply{}, err
	}
	if code := copyUID(&done); code != "" {
		c.remark("OK", code, "Moved")
	}
	return reply{highest: limit == "", limit: limit}, nil // RFC 7162 §3.2.10.2
}

// transfer runs a copy or a move.
func (c *conn) transfer(ctx context.Context, cmd imap.Copy, do transfer) (done Copied, limit string, err error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return Copied{}, "", err
	}
	spans, err := c.view.resolve(cmd.Set, cmd.UID)
	if err != nil {
		return Copied{}, "", err
	}
	if cmd.Move { // it need not be all. RFC 9738 §3.1
		spans, limit = c.atMost(spans)
	}
	if !cmd.UID && c.view.missing(spans) {
		// All or none: who hears OK may throw the rest away. RFC 2180 §4.4.2,
		// RFC 5530 §3. UIDs without a message mean nothing, RFC 9051 §6.4.9.
		return Copied{}, "", &imap.Refusal{Code: imap.CodeExpungeIssued, Text: "Some messages are gone"}
	}
	uids := c.view.uids(spans)
	if len(uids) == 0 {
		return Copied{}, "", nil
	}
	if err := c.tooMany(uids); err != nil {
		return Copied{}, "", err
	}
	done, err = do(ctx, uids, name)
	c.brings(done.UIDValidity, done.Dest)
	return done, limit, tryCreate(err)
}

type transfer func(ctx context.Context, uids []mail.UID, to string) (Copied, error)

// copyUID is the response code COPYUID; empty where the user is not to know.
// RFC 4315 §3
func copyUID(d *Copied) string {
	if len(d.Dest) == 0 {
		return ""
	}
	b := append([]byte("COPYUID "), strconv.FormatUint(uint64(d.UIDValidity), 10)...)
	b = imap.AppendUIDSet(append(b, ' '), d.Source)
	return string(imap.AppendUIDSet(append(b, ' '), d.Dest))
}
