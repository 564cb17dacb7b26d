package imap

import (
	"context"
	"errors"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// others lists the mailboxes that others share with the user, with the levels
// above them that lead there.
func (a *account) others(ctx context.Context) ([]imapserver.Status, error) {
	if a.door.people == nil {
		return nil, nil
	}
	sharers, err := a.account.Sharers(ctx, a.who.Login.Domain)
	if err != nil {
		return nil, refuse(err)
	}
	var list []imapserver.Status
	for _, id := range sharers {
		shared, err := a.sharedBy(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(shared) == 0 {
			// Whether the hint is forgotten now or the next time is no matter.
			_ = a.account.Unshare(ctx, time.Now(), id)
			continue
		}
		list = append(list, shared...)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return append([]imapserver.Status{{Name: othersLevel, NoSelect: true, Rights: mail.RightLookup, Foreign: true}}, list...), nil
}

// sharedBy lists what one account shares with the user.
func (a *account) sharedBy(ctx context.Context, id mail.AccountID) ([]imapserver.Status, error) {
	owner, err := a.door.people.Account(ctx, id)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := a.placeOf(&owner, "")
	acls, err := p.box.ACLs(ctx)
	if err != nil || len(acls) == 0 {
		return nil, refuse(err)
	}
	infos, err := p.box.Mailboxes(ctx)
	if errors.Is(err, mailbox.ErrNoAccount) {
		return nil, nil
	}
	if err != nil {
		return nil, refuse(err)
	}
	var list []imapserver.Status
	told := map[string]bool{}
	level := func(name string) {
		if !told[name] {
			told[name] = true
			list = append(list, imapserver.Status{Name: name, NoSelect: true, Rights: mail.RightLookup, Foreign: true})
		}
	}
	for _, info := range infos {
		rights := a.rightsOf(&p, acls[info.ID])
		if !rights.Has(mail.RightLookup) {
			continue
		}
		level(strings.TrimSuffix(p.prefix, mailbox.Separator))
		for i := range len(info.Name) {
			if info.Name[i:i+1] == mailbox.Separator {
				level(p.prefix + info.Name[:i])
			}
		}
		told[p.prefix+info.Name] = true
		list = append(list, a.statusIn(&p, info, rights))
	}
	return list, nil
}

// statusIn gives a mailbox of a place as LIST and STATUS show it. What is in
// it only those know who may read it.
func (a *account) statusIn(p *place, i mailbox.Info, rights mail.Rights) imapserver.Status {
	s := statusOf(i)
	s.Rights = rights
	if !p.own() {
		s.Foreign, s.Owner, s.Name, s.Role = true, p.box.ID(), p.prefix+i.Name, mail.RoleNone
	}
	if !rights.Has(mail.RightRead) {
		return imapserver.Status{ID: s.ID, Owner: s.Owner, Foreign: s.Foreign, Name: s.Name, Rights: rights, NoSelect: true, Unreadable: !i.NoSelect}
	}
	s.Recent = min(i.Messages, int(i.UIDNext-a.door.claims.first(p.box.ID(), i.ID, i.UIDNext, false)))
	return s
}
