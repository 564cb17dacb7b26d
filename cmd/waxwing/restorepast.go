package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// A pastAccount is an account out of a backup.
type pastAccount struct {
	*backup.OpenedAccount
	backup backup.Snapshot
	at     time.Time     // the time that asOf is of; zero: that of the backup
	asOf   *mailbox.AsOf // nil: all that it holds
}

// openAccount opens an account as it was. For a time between two backups the
// later one tells exactly what was there, as long as its log of changes goes back
// so far; else it is the earlier one that is the best there is.
func (c restoreCmd) openAccount(ctx context.Context, repo *backup.Repository, k backup.Keys, address mail.Address, name string, at time.Time) (pastAccount, error) {
	found, notFound := c.findBackup(ctx, repo, name, at)
	exactly := notFound == nil && found.Time.Truncate(time.Second).Equal(at)
	if later, ok := repo.FindAfter(ctx, at); name == "" && !at.IsZero() && !exactly && ok {
		was, err := backup.OpenAccount(ctx, repo, k, later.ID, address)
		if err == nil {
			asOf, err := was.Mail.AsOf(ctx, at)
			if err == nil {
				return pastAccount{was, later, at, &asOf}, nil
			}
			if err = errors.Join(err, was.Close()); !errors.Is(err, mailbox.ErrTooOld) {
				return pastAccount{}, err
			}
		} else if !errors.Is(err, directory.ErrNotFound) {
			return pastAccount{}, err
		}
	}
	if notFound != nil {
		return pastAccount{}, notFound
	}
	was, err := backup.OpenAccount(ctx, repo, k, found.ID, address)
	return pastAccount{OpenedAccount: was, backup: found}, err
}

// mailboxes lists the mailboxes that it had.
func (p pastAccount) mailboxes(ctx context.Context) ([]mailbox.Info, error) {
	if p.asOf == nil {
		return p.Mail.Mailboxes(ctx)
	}
	var list []mailbox.Info
	for _, m := range p.asOf.Mailboxes {
		list = append(list, m.Info)
	}
	return list, nil
}

// each goes through what a mailbox held.
func (p pastAccount) each(ctx context.Context, id mail.MailboxID, fn func(mailbox.Entry) error) error {
	if p.asOf != nil {
		i := slices.IndexFunc(p.asOf.Mailboxes, func(m mailbox.PastMailbox) bool { return m.ID == id })
		for _, e := range p.asOf.Mailboxes[i].Entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		return nil
	}
	view, err := p.Mail.Open(ctx, id)
	if err != nil {
		return err
	}
	defer view.Close()
	for _, e := range view.Snapshot().Entries(0) {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// describe names what it is of, for people.
func (p pastAccount) describe() string {
	of := fmt.Sprintf("the backup %s of %s", p.backup.ID, when(p.backup.Time))
	if p.asOf != nil {
		return fmt.Sprintf("what was there at %s, as %s tells", when(p.at), of)
	}
	return of
}
