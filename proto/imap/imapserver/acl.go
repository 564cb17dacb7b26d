package imapserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// Sharing is what an Account does where others may have mailboxes too.
// Identifiers are login names, "anyone", or one of them behind a "-" that
// takes rights away. RFC 4314 §2
type Sharing interface {
	// MyRights gives what may be done with a mailbox.
	MyRights(ctx context.Context, mailbox string) (mail.Rights, error)
	// ACL gives the list of rights of a mailbox, the owner first.
	ACL(ctx context.Context, mailbox string) ([]Grant, error)
	// SetACL changes the rights of an identifier; with StoreReplace and no
	// rights it takes the identifier off the list.
	SetACL(ctx context.Context, mailbox, identifier string, op imap.StoreOp, rights mail.Rights) error
	// ListRights gives what an identifier always has, and what it can be
	// given besides.
	ListRights(ctx context.Context, mailbox, identifier string) (always, grantable mail.Rights, err error)
	// OthersPrefix is what the names of others' mailboxes begin with, with
	// the delimiter; empty where there are none.
	OthersPrefix() string
}

// A Grant is an identifier with its rights.
type Grant struct {
	Identifier string
	Rights     mail.Rights
}

// setACL is SETACL and DELETEACL. RFC 4314 §3.1, §3.2
func (c *conn) setACL(ctx context.Context, cmd imap.SetACL) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	if cmd.Delete {
		cmd.Op, cmd.Rights = imap.StoreReplace, mail.NoRights
	}
	return reply{}, c.account.SetACL(ctx, name, cmd.Identifier, cmd.Op, cmd.Rights)
}

// getACL is GETACL. RFC 4314 §3.3
func (c *conn) getACL(ctx context.Context, cmd imap.GetACL) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	list, err := c.account.ACL(ctx, name)
	if err != nil {
		return reply{}, err
	}
	c.out.begin()
	b := imap.AppendMailbox(append(c.out.b, "* ACL "...), name, c.utf8)
	for _, g := range list {
		b = c.appendIdentifier(append(b, ' '), g.Identifier)
		b = imap.AppendRights(append(b, ' '), g.Rights)
	}
	c.out.b = append(b, '\r', '\n')
	return reply{}, nil
}

// appendIdentifier writes an identifier, which is UTF-8 whatever has been
// enabled. RFC 4314 §7
func (c *conn) appendIdentifier(b []byte, identifier string) []byte {
	return imap.AppendAString(b, identifier, c.utf8)
}

// listRights is LISTRIGHTS. No rights are tied to each other. RFC 4314 §3.4
func (c *conn) listRights(ctx context.Context, cmd imap.ListRights) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	always, grantable, err := c.account.ListRights(ctx, name, cmd.Identifier)
	if err != nil {
		return reply{}, err
	}
	c.out.begin()
	b := imap.AppendMailbox(append(c.out.b, "* LISTRIGHTS "...), name, c.utf8)
	b = c.appendIdentifier(append(b, ' '), cmd.Identifier) // as it was written
	b = imap.AppendRights(append(b, ' '), always)
	for _, letter := range grantable.String() {
		b = append(b, ' ', byte(letter))
	}
	// The old letters stand for several, and are listed once. RFC 4314 §2.1.1
	if grantable != mail.NoRights {
		b = append(b, " c d"...)
	}
	c.out.b = append(b, '\r', '\n')
	return reply{}, nil
}

// myRights is MYRIGHTS. RFC 4314 §3.5
func (c *conn) myRights(ctx context.Context, cmd imap.MyRights) (reply, error) {
	name, err := c.mailboxName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	rights, err := c.account.MyRights(ctx, name)
	if err != nil {
		return reply{}, err
	}
	c.tellMyRights(name, rights)
	return reply{}, nil
}

// tellMyRights writes a MYRIGHTS response. RFC 4314 §3.8
func (c *conn) tellMyRights(name string, rights mail.Rights) {
	c.out.begin()
	b := imap.AppendMailbox(append(c.out.b, "* MYRIGHTS "...), name, c.utf8)
	c.out.b = append(imap.AppendRights(append(b, ' '), rights), '\r', '\n')
}

// Flags and the rights that changing them takes. RFC 4314 §4
const changing = mail.RightSeen | mail.RightWrite | mail.RightMark

// settable gives those of some flags that rights allow to change.
func settable(flags mail.Flags, rights mail.Rights) mail.Flags {
	if !rights.Has(mail.RightSeen) {
		flags &^= mail.Seen
	}
	if !rights.Has(mail.RightMark) {
		flags &^= mail.Deleted
	}
	if !rights.Has(mail.RightWrite) {
		flags &= mail.Seen | mail.Deleted
	}
	return flags
}

// appendPermanent writes the flags of PERMANENTFLAGS. RFC 4314 §5.1.1
func (v *view) appendPermanent(b []byte) []byte {
	names := v.names[:len(v.names):len(v.names)]
	if v.rights.Has(mail.RightWrite) {
		names = append(names, `\*`)
	} else {
		names = nil
	}
	return imap.AppendFlags(b, settable(imap.SystemFlags, v.rights), names, false)
}

// tellPermanent tells which flags can be changed.
func (c *conn) tellPermanent() {
	v := c.view
	if v.readOnly || v.rights&changing == 0 {
		c.remark("OK", "PERMANENTFLAGS ()", "No permanent flags permitted")
		return
	}
	c.out.begin()
	b := v.appendPermanent(append(c.out.b, "* OK [PERMANENTFLAGS "...))
	b = append(append(b, "] "...), c.say("Flags and keywords are kept")...)
	c.out.b = append(b, '\r', '\n')
}

// changes tells whether rights let a mailbox be changed at all: without one of
// them it is opened read-only. RFC 4314 §5.2
func changes(rights mail.Rights) bool {
	return rights&(changing|mail.RightInsert|mail.RightExpunge) != 0
}

// mayChange refuses a STORE of which nothing may be changed. What else may not
// be changed stays as it is. RFC 4314 §4
func (v *view) mayChange(cmd imap.Store) error {
	switch {
	case v.rights.Has(changing):
		return nil
	case cmd.Op == imap.StoreReplace && v.rights&changing != mail.NoRights:
		return nil
	case settable(cmd.Flags.Flags, v.rights) != 0 || len(cmd.Flags.Keywords) > 0 && v.rights.Has(mail.RightWrite):
		return nil
	}
	return noPermission
}

var noPermission = &imap.Refusal{Code: imap.CodeNoPerm, Text: "You have no right to do that"}

// need refuses what the rights to the selected mailbox do not allow.
func (v *view) need(rights mail.Rights) error {
	if !v.rights.Has(rights) {
		return noPermission
	}
	return nil
}

// recheck asks for the rights to the selected mailbox again where it is
// another's, before a command uses them. Where they cannot be had they stay
// what they were: whatever changes the mailbox asks by itself. RFC 4314 §5.1.1
func (c *conn) recheck(ctx context.Context) error {
	v := c.view
	if v == nil || v.owner == 0 {
		return nil
	}
	rights, err := v.mailbox.Rights(ctx)
	switch {
	case err != nil || rights == v.rights:
		return nil
	case !rights.Has(mail.RightRead):
		c.bye(imap.CodeClosed, "The selected mailbox may no longer be read")
		return errSaid
	}
	v.rights = rights
	if readOnly := v.examined || !changes(rights); readOnly != v.readOnly {
		v.readOnly = readOnly
		c.remark("OK", v.mode(), "The rights to the mailbox have changed")
	}
	c.tellFlags()
	c.tellPermanent()
	return nil
}

// mode is the response code that tells whether the mailbox can be changed.
func (v *view) mode() string {
	if v.readOnly {
		return imap.CodeReadOnly
	}
	return imap.CodeReadWrite
}

// nameNow gives the name of the mailbox, which may have changed; others'
// mailboxes keep that by which they were opened.
func (v *view) nameNow(now Status) string {
	if v.owner != 0 {
		return v.name
	}
	return now.Name
}

// ownID gives the id that an account of another knows by what objectID gives.
func ownID(owner mail.AccountID, id string) string {
	if owner != 0 {
		id, _ = strings.CutSuffix(id, "-"+strconv.FormatUint(uint64(owner), 36))
	}
	return id
}

// objectID gives an id that no mailbox or message of another account has, all
// of which one user may see. RFC 8474 §4.1, §5.1
func objectID(owner mail.AccountID, id fmt.Stringer) string {
	if owner == 0 {
		return id.String()
	}
	return id.String() + "-" + strconv.FormatUint(uint64(owner), 36)
}
