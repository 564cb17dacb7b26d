package imap

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// Self tells whether a name is that of the account's user, as a login.
func (a *account) Self(ctx context.Context, user string) (bool, error) {
	if user == a.who.Login.String() {
		return true, nil
	}
	found, err := a.named(ctx, user)
	return err == nil && found.ID == a.account.ID(), err
}

// named finds the account of a login; the zero one if there is none.
func (a *account) named(ctx context.Context, user string) (directory.Account, error) {
	if a.door.people == nil {
		return directory.Account{}, nil
	}
	credentials, err := a.door.people.Login(ctx, user)
	if err == nil {
		return a.door.people.Account(ctx, credentials.Account)
	}
	if errors.Is(err, directory.ErrNoUser) || errors.Is(err, directory.ErrAmbiguous) {
		return directory.Account{}, nil
	}
	return directory.Account{}, err
}

// Other opens the account of another user.
func (a *account) Other(ctx context.Context, user string) (imapserver.Account, error) {
	found, err := a.named(ctx, user)
	if err != nil {
		return nil, err
	}
	if found.ID == 0 {
		return nil, errAbsent
	}
	other := &account{door: a.door, account: a.door.mailboxes.Account(found.ID), who: sasl.Identity{Account: found.ID, Login: found.Address}}
	if _, err := other.account.Usage(ctx); err != nil { // there are mailboxes
		return nil, refuse(err)
	}
	return other, nil
}

// AccessKey gives the user's key for URLs of a mailbox. RFC 4467 §2.2
func (a *account) AccessKey(ctx context.Context, name string, create, replace bool) ([]byte, error) {
	p, info, _, err := a.selectable(ctx, name, mail.RightRead)
	if err != nil {
		return nil, err
	}
	if !create {
		key, err := a.account.AccessKey(ctx, p.box.ID(), info.ID)
		return key, refuse(err)
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	key, err := a.account.MakeAccessKey(ctx, p.box.ID(), info.ID, secret, replace)
	if err == nil && replace {
		a.door.resets.changed(keyOwner{user: a.account.ID(), owner: p.box.ID(), mailbox: info.ID})
	}
	return key, refuse(err)
}

// ForgetAccessKeys makes all URLs worthless that the user has authorized.
func (a *account) ForgetAccessKeys(ctx context.Context) error {
	return refuse(a.account.ForgetAccessKeys(ctx))
}

// OpenURL finds what a URL with URLAUTH stands for, for a submission of who.
// It fails with imapserver.ErrURL where the URL is worth nothing. RFC 4468
func (d *Door) OpenURL(ctx context.Context, who sasl.Identity, url string) (*imapserver.URLData, error) {
	a := &account{door: d, account: d.mailboxes.Account(who.Account), who: who}
	submits := func(user string) bool {
		self, err := a.Self(ctx, user)
		return err == nil && self
	}
	return imapserver.OpenURL(ctx, a, url, submits, time.Now())
}

// Replace adds a message and expunges another. Where the two belong to
// different accounts the new one comes first, so that nothing is lost in
// between; it goes again where there is nothing to be replaced. RFC 8508 §3.4
func (f *folder) Replace(ctx context.Context, uid mail.UID, to string, m imapserver.NewMessage) (imapserver.Appended, error) {
	// What UID STORE, UID EXPUNGE and APPEND take. RFC 8508 §4.1
	if err := f.need(ctx, mail.RightMark|mail.RightExpunge); err != nil {
		return imapserver.Appended{}, err
	}
	p, info, rights, err := f.user.selectable(ctx, to, mail.RightInsert)
	if err != nil {
		return imapserver.Appended{}, err
	}
	entry, err := newEntry(info.ID, rights, &m)
	if err != nil {
		return imapserver.Appended{}, err
	}
	now := time.Now()
	appended := func(d *mailbox.Appended) (a imapserver.Appended) {
		if rights.Has(mail.RightRead) {
			a = imapserver.Appended{UIDValidity: d.UIDValidity, UIDs: []mail.UID{d.UID}}
		}
		return a
	}
	if p.box.ID() == f.session.account.ID() {
		done, err := p.box.Replace(ctx, now, f.id, uid, entry)
		return appended(&done), refuse(err)
	}
	done, err := p.box.Append(ctx, now, entry)
	if err != nil {
		return imapserver.Appended{}, refuse(err)
	}
	gone, _, err := f.session.account.Expunge(context.WithoutCancel(ctx), f.id, []mail.UID{uid}, mailbox.ExpungeOptions{})
	if err == nil && len(gone) == 0 {
		err = errors.Join(mailbox.ErrNoMessage, takeBack(ctx, &p, info.ID, []mail.UID{done[0].UID}))
	}
	return appended(&done[0]), refuse(err)
}
