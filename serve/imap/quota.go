package imap

import (
	"context"
	"errors"
	"math"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// Each account is a quota root, by its address: limits hold for all of its
// mailboxes together.

var errNoRoot = &imap.Refusal{Code: imap.CodeNonexistent, Text: "There is no such quota root"}

// QuotaRoot needs the right to read what is there: the root tells how much
// that is. RFC 9208 §6
func (a *account) QuotaRoot(ctx context.Context, name string) (string, error) {
	p, err := a.locate(ctx, name)
	if err != nil {
		return "", err
	}
	if !p.own() {
		if p, _, _, err = a.find(ctx, name, mail.RightRead); err != nil {
			return "", err
		}
	}
	owner, err := a.owner(ctx, &p)
	return owner.Address.String(), err
}

// root finds the account of a quota root: the user's own, one that shares a
// mailbox to be read, or, for administrators, any.
func (a *account) root(ctx context.Context, root string, change bool) (*mailbox.Account, error) {
	own, err := a.owner(ctx, &place{box: a.account})
	if err != nil {
		return nil, err
	}
	if root == own.Address.String() && !change {
		return a.account, nil
	}
	address, err := mail.ParseAddress(root)
	if err != nil || a.door.people == nil {
		return nil, errNoRoot
	}
	found, err := a.door.people.AccountByAddress(ctx, address)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, errNoRoot
	}
	if err != nil {
		return nil, err
	}
	p := a.placeOf(&found, "")
	switch {
	case own.Admin:
		return p.box, nil
	case change && found.ID == own.ID:
		return nil, errNoPerm
	}
	acls, err := p.box.ACLs(ctx)
	if err != nil {
		return nil, refuse(err)
	}
	for _, list := range acls {
		if a.rightsOf(&p, list).Has(mail.RightRead) {
			if change {
				return nil, errNoPerm
			}
			return p.box, nil
		}
	}
	return nil, errNoRoot
}

func (a *account) Quota(ctx context.Context, root string) ([]imapserver.Resource, error) {
	box, err := a.root(ctx, root, false)
	if err != nil {
		return nil, err
	}
	u, err := box.Usage(ctx)
	if err != nil {
		return nil, refuse(err)
	}
	var list []imapserver.Resource
	if u.Quota > 0 {
		list = append(list, imapserver.Resource{Name: "STORAGE", Usage: kibi(u.Bytes), Limit: kibi(u.Quota)})
	}
	if u.MaxMessages > 0 {
		list = append(list, imapserver.Resource{Name: "MESSAGE", Usage: int64(u.Messages), Limit: int64(u.MaxMessages)})
	}
	return append(list,
		imapserver.Resource{Name: "MAILBOX", Usage: int64(u.Mailboxes), Limit: int64(u.MaxMailboxes)},
		// Of mailboxes and the server (RFC 5464): messages have none here.
		// RFC 9208 §5.4
		imapserver.Resource{Name: "ANNOTATION-STORAGE", Usage: kibi(u.Annotations), Limit: kibi(u.MaxAnnotations)},
	), nil
}

// kibi gives octets in the units of STORAGE, rounded up. RFC 9208 §5.1
func kibi(n mail.ByteCount) int64 { return (max(int64(n), 0) + 1023) / 1024 }

// SetQuota is for administrators. RFC 9208 §4.1.3
func (a *account) SetQuota(ctx context.Context, root string, limits []imap.ResourceLimit) error {
	box, err := a.root(ctx, root, true)
	if err != nil {
		return err
	}
	set := mailbox.Limits{Quota: -1}
	for _, l := range limits {
		n := l.Limit
		switch l.Resource {
		case "STORAGE":
			set.Quota = mail.ByteCount(max(min(n, math.MaxInt64/1024)*1024, 1)) // 0 would be the house's default
		case "MESSAGE":
			set.Messages = int(max(min(n, math.MaxUint32), 1))
		case "MAILBOX":
			set.Mailboxes = int(max(min(n, math.MaxUint32), 1))
		case "ANNOTATION-STORAGE":
			set.Annotations = mail.ByteCount(max(min(n, math.MaxInt64/1024)*1024, 1))
		default:
			return &imap.Refusal{Code: imap.CodeCannot, Text: "There are no limits of that resource"}
		}
	}
	if err := a.door.mailboxes.SetLimits(ctx, box.ID(), set); err != nil {
		return refuse(err)
	}
	_, err = a.door.people.UpdateAccount(ctx, box.ID(), func(d *directory.Account) error {
		d.Quota = max(set.Quota, 0)
		return nil
	})
	return err
}

// DeletedStorage adds up the sizes of what has \Deleted. RFC 9208 §4.1.4
func (a *account) DeletedStorage(ctx context.Context, name string) (uint64, error) {
	p, info, _, err := a.selectable(ctx, name, mail.RightRead)
	if err != nil || info.Deleted == 0 {
		return 0, err
	}
	view, err := p.box.Open(ctx, info.ID)
	if err != nil {
		return 0, refuse(err)
	}
	defer view.Close()
	sum := uint64(0)
	for _, e := range view.Snapshot().Entries(0) {
		if e.Flags.Has(mail.Deleted) {
			sum += uint64(e.Size)
		}
	}
	return sum, nil
}
