package imapserver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// mailboxName reads a name in the form that the session speaks.
func (c *conn) mailboxName(raw string) (string, error) {
	name, err := imap.DecodeMailbox(raw, c.utf8)
	if err != nil {
		return "", &imap.Refusal{Code: imap.CodeCannot, Text: "Mailbox name is malformed"}
	}
	return name, nil
}

// selectMailbox is SELECT and EXAMINE. RFC 9051 §6.3.2, §6.3.3
func (c *conn) selectMailbox(ctx context.Context, cmd imap.Select) (reply, error) {
	if c.view != nil {
		// The old mailbox is left even if the new one cannot be opened.
		c.deselect()
		c.remark("OK", imap.CodeClosed, "Previous mailbox is now closed")
	}
	if cmd.QResync != nil {
		if err := c.checkQResync(cmd.QResync); err != nil {
			return reply{}, err
		}
	}
	if cmd.CondStore || cmd.QResync != nil {
		c.condstore = true // HIGHESTMODSEQ is told in any case
	}
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	owner := mail.AccountID(0)
	if prefix := c.account.OthersPrefix(); prefix != "" && strings.HasPrefix(name, prefix) {
		info, err := c.account.Mailbox(ctx, name)
		if err != nil {
			return reply{}, err
		}
		owner = info.Owner
	}
	m, err := c.account.Open(ctx, name)
	if err != nil {
		return reply{}, err
	}
	v, err := c.newView(ctx, name, m, cmd.ReadOnly)
	if err != nil {
		m.Close()
		return reply{}, err
	}
	v.owner = owner
	c.view, c.state = v, selected
	return c.tellSelected(ctx, cmd)
}

// tellSelected tells what the client has to know of the mailbox.
func (c *conn) tellSelected(ctx context.Context, cmd imap.Select) (reply, error) {
	v := c.view
	info := v.told.Status()
	c.tellFlags()
	c.out.count(v.told.Len(), "EXISTS")
	if !c.rev2 {
		c.out.count(v.countRecent(), "RECENT")
		if first := firstUnseen(v.told, info.Unseen); first > 0 && !c.uidOnly {
			c.remark("OK", fmt.Sprint("UNSEEN ", first), "First unseen") // RFC 3501 §7.1
		}
	}
	c.tellPermanent()
	c.remark("OK", fmt.Sprint("UIDVALIDITY ", info.UIDValidity), "UIDs valid")
	c.remark("OK", fmt.Sprint("UIDNEXT ", info.UIDNext), "Predicted next UID")
	c.remark("OK", c.highestModSeq(), "Highest")                                       // RFC 7162 §3.1.2.1
	c.remark("OK", "MAILBOXID ("+objectID(v.owner, info.ID)+")", "Mailbox of this id") // RFC 8474 §4.2
	c.remark("OK", urlMech, "URLs may be authorized")                                  // RFC 4467 §8
	if c.rev2 {
		l, err := c.newLister(ctx)
		if err != nil {
			return reply{}, err
		}
		c.tellList(l.entry(c.view.nameNow(info), imap.ReturnChildren|imap.ReturnSubscribed|imap.ReturnSpecialUse), v.name)
	}
	if cmd.QResync != nil {
		if err := c.resync(ctx, cmd.QResync); err != nil {
			return reply{}, err
		}
	}
	return reply{code: v.mode()}, nil
}

// firstUnseen gives the sequence number of the first message without \Seen.
func firstUnseen(s Snapshot, unseen int) int {
	if unseen == 0 {
		return 0
	}
	for i, e := range entries(s, span{0, s.Len()}) {
		if e.Flags&mail.Seen == 0 {
			return i + 1
		}
	}
	return 0
}

// closeMailbox is CLOSE: what has \Deleted is expunged without a word.
// RFC 9051 §6.4.1
func (c *conn) closeMailbox(ctx context.Context, _ imap.Bare) (reply, error) {
	defer c.deselect()
	if c.view.readOnly || !c.view.rights.Has(mail.RightExpunge) { // RFC 4314 §4
		return reply{}, nil
	}
	return reply{}, c.view.mailbox.Expunge(ctx, deletedIn(c.view.mailbox.Snapshot()))
}

// unselect is UNSELECT. RFC 9051 §6.4.2
func (c *conn) unselect(context.Context, imap.Bare) (reply, error) {
	c.deselect()
	return reply{}, nil
}

// deletedIn gives the messages that have \Deleted.
func deletedIn(s Snapshot) []mail.UID {
	n := s.Status().Deleted
	if n == 0 {
		return nil
	}
	uids := make([]mail.UID, 0, n)
	for _, e := range entries(s, span{0, s.Len()}) {
		if e.Flags&mail.Deleted != 0 {
			uids = append(uids, e.UID)
		}
	}
	return uids
}

// expunge is EXPUNGE. The responses are the news of the mailbox, as with
// every other command. RFC 9051 §6.4.3
func (c *conn) expunge(ctx context.Context, _ imap.Bare) (reply, error) {
	if err := errors.Join(c.mustWrite(), c.view.need(mail.RightExpunge)); err != nil {
		return reply{}, err
	}
	uids := deletedIn(c.view.mailbox.Snapshot())
	if len(uids) == 0 {
		return reply{}, nil
	}
	return reply{highest: true}, c.view.mailbox.Expunge(ctx, uids)
}

// uidExpunge is UID EXPUNGE. RFC 4315 §2.1
func (c *conn) uidExpunge(ctx context.Context, cmd imap.Expunge) (reply, error) {
	if err := errors.Join(c.mustWrite(), c.view.need(mail.RightExpunge)); err != nil {
		return reply{}, err
	}
	spans, err := c.view.resolve(cmd.Set, true)
	if err != nil {
		return reply{}, err
	}
	newest := c.view.mailbox.Snapshot()
	var uids []mail.UID
	for _, uid := range c.view.uids(spans) {
		if i, found := newest.Find(uid); found && newest.At(i).Flags&mail.Deleted != 0 {
			uids = append(uids, uid)
		}
	}
	if len(uids) == 0 {
		return reply{}, nil
	}
	limit := ""
	if n := c.server.options.MessageLimit; len(uids) > n { // RFC 9738 §3.1; EXPUNGE and CLOSE have no limit
		uids = uids[len(uids)-n:]
		limit = c.messageLimit(uids[0])
	}
	return reply{highest: limit == "", limit: limit}, c.view.mailbox.Expunge(ctx, uids)
}

// mustWrite refuses what changes a mailbox that was opened with EXAMINE.
func (c *conn) mustWrite() error {
	if c.view.readOnly {
		return &imap.Refusal{Code: imap.CodeNoPerm, Text: "Mailbox is open read-only"}
	}
	return nil
}
