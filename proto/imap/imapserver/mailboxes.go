package imapserver

import (
	"context"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// create is CREATE. RFC 9051 §6.3.4, RFC 6154 §3
func (c *conn) create(ctx context.Context, cmd imap.Create) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	// A trailing delimiter declares that there will be children; all our
	// mailboxes can have them.
	name = strings.TrimSuffix(name, string(imap.Delimiter))
	role, err := roleOf(cmd.Use)
	if err != nil {
		return reply{}, err
	}
	made, err := c.account.Create(ctx, name, role)
	if err != nil {
		return reply{}, err
	}
	c.did(deed{made: made})
	info, err := c.account.Mailbox(ctx, made)
	if err != nil {
		return reply{}, err
	}
	done := reply{code: "MAILBOXID (" + objectID(info.Owner, info.ID) + ")"} // RFC 8474 §4.1
	if made != name && c.rev2 {
		return done, c.announce(ctx, made, name)
	}
	return done, nil
}

// roleOf gives the one role that a mailbox is created for.
func roleOf(use []string) (mail.Role, error) {
	role := mail.RoleNone
	for _, attribute := range use {
		r, ok := imap.AttributeRole(attribute)
		// Views of all messages, and of the flagged or important ones, are
		// not mailboxes that we can make.
		if !ok || role != mail.RoleNone || r == mail.RoleAll || r == mail.RoleFlagged {
			return role, &imap.Refusal{Code: imap.CodeUseAttr, Text: "Mailbox cannot have that special use"}
		}
		role = r
	}
	return role, nil
}

// announce tells that a mailbox has got another name than the client knows.
// RFC 9051 §6.3.9.7
func (c *conn) announce(ctx context.Context, name, old string) error {
	l, err := c.newLister(ctx)
	if err != nil {
		return err
	}
	c.tellList(l.entry(name, imap.ReturnChildren|imap.ReturnSubscribed), old)
	return nil
}

// delete is DELETE. RFC 9051 §6.3.5
func (c *conn) delete(ctx context.Context, cmd imap.Delete) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	if err := c.account.Delete(ctx, name); err != nil {
		return reply{}, err
	}
	c.did(deed{gone: name})
	if c.view != nil && c.view.mailbox.Snapshot().Gone() {
		c.deselect()
		c.remark("OK", imap.CodeClosed, "The selected mailbox has been deleted")
	}
	return reply{}, nil
}

// rename is RENAME. RFC 9051 §6.3.6
func (c *conn) rename(ctx context.Context, cmd imap.Rename) (reply, error) {
	from, err := c.mailboxName(cmd.From)
	if err != nil {
		return reply{}, err
	}
	to, err := c.mailboxName(cmd.To)
	if err != nil {
		return reply{}, err
	}
	to = strings.TrimSuffix(to, string(imap.Delimiter))
	made, err := c.account.Rename(ctx, from, to)
	if err != nil {
		return reply{}, err
	}
	c.did(deed{from: from, to: made})
	if c.rev2 && from != imap.Inbox { // which is still there
		return reply{}, c.announce(ctx, made, from)
	}
	return reply{}, nil
}

// subscribe is SUBSCRIBE and UNSUBSCRIBE. RFC 9051 §6.3.7, §6.3.8
func (c *conn) subscribe(ctx context.Context, cmd imap.Subscribe) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	name = strings.TrimSuffix(name, string(imap.Delimiter))
	c.did(deed{subscribed: name, on: !cmd.Undo})
	return reply{}, c.account.Subscribe(ctx, name, !cmd.Undo)
}
