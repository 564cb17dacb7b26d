package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// The mailboxes of others stand below this name, by the address of their
// owner: "Other Users/bob@example.test/INBOX". RFC 2342 §5, RFC 4314
const (
	othersLevel  = "Other Users"
	othersPrefix = othersLevel + mailbox.Separator
)

// A place is where a mailbox's name leads.
type place struct {
	box       *mailbox.Account // of the owner
	name      string           // there; empty for the account itself
	owner     *directory.Account
	prefix    string // what the session's names have before those of the owner
	neighbour bool   // the user is of the owner's domain
}

// own tells whether it is in the user's own account.
func (p *place) own() bool { return p.owner == nil }

// OthersPrefix is what the names of others' mailboxes begin with.
func (a *account) OthersPrefix() string {
	if a.door.people == nil {
		return ""
	}
	return othersPrefix
}

var (
	errAbsent   = &imap.Refusal{Code: imap.CodeNonexistent, Text: "Mailbox does not exist"}
	errNoPerm   = &imap.Refusal{Code: imap.CodeNoPerm, Text: "You have no right to do that"}
	errReserved = &imap.Refusal{Code: imap.CodeCannot, Text: "That name is for the mailboxes of others"}
)

// locate finds out whose mailbox a name is of. Of an owner that is not there
// it says what it says of a mailbox that is not there.
func (a *account) locate(ctx context.Context, name string) (place, error) {
	rest, others := strings.CutPrefix(name, othersPrefix)
	owner, below, _ := strings.Cut(rest, mailbox.Separator)
	if !others || a.door.people == nil || strings.IndexByte(owner, '@') < 0 {
		return place{box: a.account, name: name}, nil
	}
	address, err := mail.ParseAddress(unescapeOwner(owner))
	if err != nil {
		return place{}, errAbsent
	}
	found, err := a.door.people.AccountByAddress(ctx, address)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return place{}, errAbsent
	case err != nil:
		return place{}, err
	case found.ID == a.account.ID():
		return place{box: a.account, name: below}, nil
	}
	return a.placeOf(&found, below), nil
}

// placeOf gives a mailbox's place in another's account.
func (a *account) placeOf(owner *directory.Account, name string) place {
	return place{
		box: a.door.mailboxes.Account(owner.ID), name: name, owner: owner,
		prefix:    othersPrefix + escapeOwner(owner.Address.String()) + mailbox.Separator,
		neighbour: owner.Address.Domain == a.who.Login.Domain,
	}
}

// rightsOf gives what a list lets the user do.
func (a *account) rightsOf(p *place, list mailbox.ACL) mail.Rights {
	if p.own() {
		return mail.AllRights
	}
	return list.Rights(a.account.ID(), p.neighbour)
}

// rights gives what the user may do with a mailbox of the place's account.
func (a *account) rights(ctx context.Context, p *place, id mail.MailboxID) (mail.Rights, error) {
	if p.own() {
		return mail.AllRights, nil
	}
	list, err := p.box.ACL(ctx, id)
	return a.rightsOf(p, list), err
}

// find finds a mailbox with what the user may do with it, which must be want
// at least. Who may not even look it up hears that there is no such mailbox.
// RFC 4314 §6
func (a *account) find(ctx context.Context, name string, want mail.Rights) (place, mailbox.Info, mail.Rights, error) {
	p, err := a.locate(ctx, name)
	if err != nil {
		return p, mailbox.Info{}, 0, err
	}
	info, err := p.box.Mailbox(ctx, p.name)
	if err != nil {
		if !p.own() && (errors.Is(err, mailbox.ErrNoMailbox) || errors.Is(err, mailbox.ErrNoAccount)) {
			return p, info, 0, a.moved(&p, errAbsent)
		}
		return p, info, 0, refuse(err)
	}
	rights, err := a.rights(ctx, &p, info.ID)
	switch {
	case err != nil:
		return p, info, 0, refuse(err)
	case rights&visible == 0:
		return p, info, rights, errAbsent
	case !rights.Has(want):
		return p, info, rights, errNoPerm
	}
	return p, info, rights, nil
}

// visible are the rights any of which shows that there is a mailbox; every
// right that a command needs of a mailbox it names is one of them.
// RFC 4314 §4, MYRIGHTS, §6
const visible = mail.RightLookup | mail.RightRead | mail.RightInsert | mail.RightCreate | mail.RightDelete | mail.RightAdmin

// selectable finds a mailbox that holds messages.
func (a *account) selectable(ctx context.Context, name string, want mail.Rights) (place, mailbox.Info, mail.Rights, error) {
	p, info, rights, err := a.find(ctx, name, want)
	if err == nil && info.NoSelect {
		err = errAbsent
	}
	return p, info, rights, err
}

// above finds where a mailbox may be made: its place, if the user may make
// mailboxes below the nearest one that is there. RFC 4314 §4, CREATE
func (a *account) above(ctx context.Context, name string) (place, error) {
	p, err := a.locate(ctx, name)
	if err != nil || p.own() {
		if err == nil && (p.name == othersLevel || strings.HasPrefix(p.name, othersPrefix)) && a.door.people != nil {
			err = errReserved
		}
		return p, err
	}
	for at := p.name; ; {
		i := strings.LastIndex(at, mailbox.Separator)
		if i < 0 {
			return p, errNoPerm // the account itself is its owner's
		}
		at = at[:i]
		info, err := p.box.Mailbox(ctx, at)
		if errors.Is(err, mailbox.ErrNoMailbox) {
			continue
		}
		if err != nil {
			return p, refuse(err)
		}
		rights, err := a.rights(ctx, &p, info.ID)
		if err == nil && !rights.Has(mail.RightCreate) {
			err = errNoPerm
		}
		return p, refuse(err)
	}
}

// Addresses may hold what is special in the names of mailboxes; there it
// stands as "=" and two hexadecimal digits, and so does "=" itself.
const escaped = "=/%*\\\""

func escapeOwner(address string) string {
	if !strings.ContainsAny(address, escaped) {
		return address
	}
	var b strings.Builder
	for i := range len(address) {
		if c := address[i]; strings.IndexByte(escaped, c) >= 0 {
			fmt.Fprintf(&b, "=%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescapeOwner gives the address, or what is none.
func unescapeOwner(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '=' {
			b.WriteByte(name[i])
			continue
		}
		var c byte
		if i+2 >= len(name) {
			return ""
		}
		if _, err := fmt.Sscanf(name[i+1:i+3], "%02X", &c); err != nil || strings.IndexByte(escaped, c) < 0 {
			return ""
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}
