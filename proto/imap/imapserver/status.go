package imapserver

import (
	"context"
	"fmt"
	"slices"

	"waxwing/proto/imap"
)

// status is STATUS. RFC 9051 §6.3.11
func (c *conn) status(ctx context.Context, cmd imap.Status) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	info, err := c.account.Mailbox(ctx, name)
	if err != nil {
		return reply{}, err
	}
	if info.Unreadable {
		return reply{}, noPermission
	}
	if info.NoSelect {
		return reply{}, &imap.Refusal{Code: imap.CodeNonexistent, Text: "There is only the name of the mailbox"}
	}
	if slices.Contains(cmd.Items, imap.StatusHighestModSeq) {
		c.useModSeq()
	}
	return reply{}, c.tellStatus(ctx, info.Name, info, cmd.Items)
}

// tellStatus writes a STATUS response. RFC 9051 §7.3.3
func (c *conn) tellStatus(ctx context.Context, name string, info Status, items []imap.StatusItem) error {
	deleted := uint64(0)
	if info.Deleted > 0 && slices.Contains(items, imap.StatusDeletedStorage) {
		var err error
		if deleted, err = c.account.DeletedStorage(ctx, name); err != nil {
			return err
		}
	}
	c.out.begin()
	b := append(c.out.b, "* STATUS "...)
	b = imap.AppendMailbox(b, name, c.utf8)
	b = append(b, " ("...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, item.String()...)
		b = append(b, ' ')
		if item == imap.StatusMailboxID { // RFC 8474 §4.3
			b = fmt.Appendf(b, "(%s)", objectID(info.Owner, info.ID))
			continue
		}
		if item == imap.StatusDeletedStorage { // RFC 9208 §4.1.4
			b = appendUint(b, deleted)
			continue
		}
		b = appendUint(b, c.statusValue(info, item))
	}
	c.out.b = append(b, ")\r\n"...)
	return nil
}

func (c *conn) statusValue(info Status, item imap.StatusItem) uint64 {
	switch item {
	case imap.StatusMessages:
		return uint64(info.Messages)
	case imap.StatusRecent:
		return uint64(info.Recent)
	case imap.StatusUIDNext:
		return uint64(info.UIDNext)
	case imap.StatusUIDValidity:
		return uint64(info.UIDValidity)
	case imap.StatusUnseen:
		return uint64(info.Unseen)
	case imap.StatusDeleted:
		return uint64(info.Deleted)
	case imap.StatusSize:
		return uint64(info.Size)
	case imap.StatusHighestModSeq:
		return uint64(info.HighestModSeq)
	case imap.StatusAppendLimit: // the same for all. RFC 7889 §3
		return uint64(c.server.options.MaxMessage)
	}
	return 0
}
