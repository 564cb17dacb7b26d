package imap

import (
	"context"
	"errors"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
)

// Watch gives a channel that is poked after every change of the account.
func (a *account) Watch(ctx context.Context) (<-chan mail.ModSeq, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	changed, err := a.account.Watch(ctx)
	if err != nil {
		cancel()
		return nil, nil, refuse(err)
	}
	return changed, cancel, nil
}

// News tells what has happened to the user's mailboxes.
func (a *account) News(ctx context.Context, since mail.ModSeq) ([]imapserver.News, mail.ModSeq, error) {
	list, now, err := a.account.News(ctx, since)
	if errors.Is(err, mailbox.ErrTooOld) {
		return nil, now, imapserver.ErrOverflow
	}
	if err != nil {
		return nil, 0, refuse(err)
	}
	mine := place{box: a.account}
	news := make([]imapserver.News, len(list))
	for i, n := range list {
		news[i] = imapserver.News{
			Status: a.statusIn(&mine, n.Info, mail.AllRights), Subscribed: n.Info.Subscribed, Deleted: n.Deleted, Created: n.Created, Changed: n.Changed, Before: n.Before,
			Added: n.Added, Expunged: n.Expunged, Flags: n.Flags, Noted: n.Noted,
		}
	}
	return news, now, nil
}
