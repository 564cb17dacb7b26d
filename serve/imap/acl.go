package imap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// anyone stands for all accounts of the owner's domain.
//
// Deviation: RFC 4314 §2 has it stand for everybody. Domains of one server may
// have nothing to do with each other.
const anyone = "anyone"

func (a *account) MyRights(ctx context.Context, name string) (mail.Rights, error) {
	_, _, rights, err := a.find(ctx, name, mail.NoRights)
	return rights, err
}

// owner gives the account whose a place is.
func (a *account) owner(ctx context.Context, p *place) (directory.Account, error) {
	if p.owner != nil {
		return *p.owner, nil
	}
	if a.door.people == nil {
		return directory.Account{ID: a.account.ID(), Address: a.who.Login}, nil
	}
	return a.door.people.Account(ctx, a.account.ID())
}

func (a *account) ACL(ctx context.Context, name string) ([]imapserver.Grant, error) {
	p, info, _, err := a.find(ctx, name, mail.RightAdmin)
	if err != nil {
		return nil, err
	}
	owner, err := a.owner(ctx, &p)
	if err != nil {
		return nil, err
	}
	acl, err := p.box.ACL(ctx, info.ID)
	if err != nil {
		return nil, refuse(err)
	}
	var list []imapserver.Grant
	for _, g := range acl {
		identifier := anyone
		if g.To != 0 {
			who, err := a.door.people.Account(ctx, g.To)
			if errors.Is(err, directory.ErrNotFound) {
				continue // nobody gets that number again
			}
			if err != nil {
				return nil, err
			}
			identifier = who.Address.String()
		}
		if g.Denied {
			identifier = "-" + identifier
		}
		list = append(list, imapserver.Grant{Identifier: identifier, Rights: g.Rights})
	}
	slices.SortFunc(list, func(x, y imapserver.Grant) int { return strings.Compare(x.Identifier, y.Identifier) })
	return append([]imapserver.Grant{{Identifier: owner.Address.String(), Rights: mail.AllRights}}, list...), nil
}

// An identified is whom an identifier means.
type identified struct {
	mailbox.Grant
	isOwner bool
}

// identify reads an identifier: a login name, "anyone", either behind a "-".
func (a *account) identify(ctx context.Context, owner *directory.Account, identifier string) (identified, error) {
	var is identified
	name := identifier
	if rest, denied := strings.CutPrefix(name, "-"); denied {
		is.Denied, name = true, rest
	}
	if name == anyone {
		return is, nil
	}
	unknown := &imap.Refusal{Code: imap.CodeCannot, Text: "There is no such user"}
	if strings.IndexByte(name, '@') < 0 {
		name += "@" + owner.Address.Domain
	}
	address, err := mail.ParseAddress(name)
	if err != nil || a.door.people == nil {
		return is, unknown
	}
	who, err := a.door.people.AccountByAddress(ctx, address)
	if errors.Is(err, directory.ErrNotFound) {
		return is, unknown
	}
	is.To, is.isOwner = who.ID, who.ID == owner.ID
	return is, err
}

func (a *account) SetACL(ctx context.Context, name, identifier string, op imap.StoreOp, rights mail.Rights) error {
	p, info, _, err := a.find(ctx, name, mail.RightAdmin)
	if err != nil {
		return err
	}
	owner, err := a.owner(ctx, &p)
	if err != nil {
		return err
	}
	is, err := a.identify(ctx, &owner, identifier)
	if err != nil {
		return err
	}
	if is.isOwner {
		if keeps := op == imap.StoreAdd || op == imap.StoreReplace && rights == mail.AllRights; keeps && !is.Denied {
			return nil
		}
		return &imap.Refusal{Code: imap.CodeCannot, Text: "The owner keeps all rights"} // told by LISTRIGHTS
	}
	now := time.Now()
	if !is.Denied && op != imap.StoreRemove && rights != mail.NoRights {
		if err := a.door.mailboxes.ShareWith(ctx, now, is.To, owner.Address.Domain, owner.ID); err != nil {
			return refuse(err)
		}
	}
	_, err = p.box.ChangeACL(ctx, now, info.ID, func(list mailbox.ACL) mailbox.ACL { return changeGrant(list, is.Grant, op, rights) })
	return refuse(err)
}

// changeGrant gives the list with the rights of one identifier changed.
func changeGrant(list mailbox.ACL, who mailbox.Grant, op imap.StoreOp, rights mail.Rights) mailbox.ACL {
	i := slices.IndexFunc(list, func(g mailbox.Grant) bool { return g.To == who.To && g.Denied == who.Denied })
	if i < 0 {
		i, list = len(list), append(list, who)
	}
	switch op {
	case imap.StoreAdd:
		list[i].Rights |= rights
	case imap.StoreRemove:
		list[i].Rights &^= rights
	default:
		list[i].Rights = rights
	}
	return list
}

func (a *account) ListRights(ctx context.Context, name, identifier string) (always, grantable mail.Rights, err error) {
	p, _, _, err := a.find(ctx, name, mail.RightAdmin)
	if err != nil {
		return 0, 0, err
	}
	owner, err := a.owner(ctx, &p)
	if err != nil {
		return 0, 0, err
	}
	is, err := a.identify(ctx, &owner, identifier)
	switch {
	case err != nil:
		return 0, 0, err
	case is.isOwner && is.Denied:
		return mail.NoRights, mail.NoRights, nil
	case is.isOwner:
		return mail.AllRights, mail.NoRights, nil
	}
	return mail.NoRights, mail.AllRights, nil
}
