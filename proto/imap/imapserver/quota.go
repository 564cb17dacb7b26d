package imapserver

import (
	"context"

	"waxwing/proto/imap"
)

// Quotas is what an Account knows of its limits.
type Quotas interface {
	// QuotaRoot gives the name of the root that a mailbox is under, which
	// need not exist.
	QuotaRoot(ctx context.Context, mailbox string) (string, error)
	// Quota gives the limits of a root.
	Quota(ctx context.Context, root string) ([]Resource, error)
	// SetQuota changes the limits of a root; resources that are not named
	// have none then.
	SetQuota(ctx context.Context, root string, limits []imap.ResourceLimit) error
	// DeletedStorage gives the octets of what has \Deleted in a mailbox.
	DeletedStorage(ctx context.Context, mailbox string) (uint64, error)
}

// A Resource is how much there is of what has a limit. RFC 9208 §5
type Resource struct {
	Name         string
	Usage, Limit int64
}

// getQuota is GETQUOTA. RFC 9208 §4.1.1
func (c *conn) getQuota(ctx context.Context, cmd imap.GetQuota) (reply, error) {
	return reply{}, c.tellQuota(ctx, cmd.Root)
}

// getQuotaRoot is GETQUOTAROOT. RFC 9208 §4.1.2
func (c *conn) getQuotaRoot(ctx context.Context, cmd imap.GetQuotaRoot) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	root, err := c.account.QuotaRoot(ctx, name)
	if err != nil {
		return reply{}, err
	}
	c.out.begin()
	b := imap.AppendMailbox(append(c.out.b, "* QUOTAROOT "...), name, c.utf8)
	b = imap.AppendAString(append(b, ' '), root, c.utf8)
	c.out.b = append(b, '\r', '\n')
	return reply{}, c.tellQuota(ctx, root)
}

// setQuota is SETQUOTA. RFC 9208 §4.1.3
func (c *conn) setQuota(ctx context.Context, cmd imap.SetQuota) (reply, error) {
	if err := c.account.SetQuota(ctx, cmd.Root, cmd.Limits); err != nil {
		return reply{}, err
	}
	return reply{}, c.tellQuota(ctx, cmd.Root)
}

// tellQuota writes a QUOTA response. RFC 9208 §4.2.1
func (c *conn) tellQuota(ctx context.Context, root string) error {
	list, err := c.account.Quota(ctx, root)
	if err != nil {
		return err
	}
	c.out.begin()
	b := imap.AppendAString(append(c.out.b, "* QUOTA "...), root, c.utf8)
	b = append(b, " ("...)
	for i, r := range list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, r.Name...), ' ')
		b = append(appendUint(b, uint64(r.Usage)), ' ')
		b = appendUint(b, uint64(r.Limit))
	}
	c.out.b = append(b, ")\r\n"...)
	return nil
}
