package imap

import (
	"context"
	"errors"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/mailbox"
)

// An account is one session's hold on an account.
type account struct {
	door    *Door
	account *mailbox.Account
	who     sasl.Identity

	accepted accepted  // what the last Accepts has found
	ahead    readAhead // of the APPEND that is coming in
}

// An accepted is a mailbox of the user's own that has just been found. APPEND
// looks before it takes a message and, mostly in the same moment, before it
// keeps it: that the mailbox is there still the transaction sees.
type accepted struct {
	name  string
	place place
	id    mail.MailboxID
	at    time.Time
}

// acceptedFor is how long it may be used.
const acceptedFor = time.Second

// refuse turns errors of the store that a client can do something about into
// what the client is told. RFC 5530 §3
func refuse(err error) error {
	refusal := func(code, text string) error { return &imap.Refusal{Code: code, Text: text} }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mailbox.ErrName): // before the next: nor can there be such a mailbox
		return refusal(imap.CodeCannot, "Mailbox name is not allowed")
	case errors.Is(err, mailbox.ErrNoMailbox):
		return refusal(imap.CodeNonexistent, "Mailbox does not exist")
	case errors.Is(err, mailbox.ErrExists):
		return refusal(imap.CodeAlreadyExists, "Mailbox exists already")
	case errors.Is(err, mailbox.ErrInboxDelete):
		return refusal(imap.CodeCannot, "INBOX cannot be deleted")
	case errors.Is(err, mailbox.ErrHasChildren):
		return refusal(imap.CodeHasChildren, "Mailbox has mailboxes below it")
	case errors.Is(err, mailbox.ErrOverQuota):
		return refusal(imap.CodeOverQuota, "Account is over its quota")
	case errors.Is(err, mailbox.ErrTooMany):
		return refusal(imap.CodeLimit, "A limit has been reached")
	case errors.Is(err, mailbox.ErrTooLarge):
		return refusal(imap.CodeTooBig, "Message is too large")
	case errors.Is(err, mailbox.ErrKeyword):
		return refusal(imap.CodeCannot, "Keyword is not allowed")
	case errors.Is(err, mailbox.ErrNoMessage):
		return refusal(imap.CodeExpungeIssued, "Message is gone")
	case errors.Is(err, mailbox.ErrNoAccount):
		return refusal(imap.CodeContactAdmin, "Account has no mailboxes")
	case mailbox.IsDamaged(err): // RFC 5530 §3
		return &imap.Refusal{Code: imap.CodeCorruption, Text: "What was asked for is damaged on the server's disk; its administrator can see to it", Err: err}
	}
	return err
}

func (a *account) Close() {}

func statusOf(i mailbox.Info) imapserver.Status {
	return imapserver.Status{
		ID: i.ID, Name: i.Name, Role: i.Role, NoSelect: i.NoSelect,
		UIDValidity: i.UIDValidity, UIDNext: i.UIDNext,
		Messages: i.Messages, Unseen: i.Unseen, Deleted: i.Deleted, Size: i.Size,
		HighestModSeq: i.HighestModSeq,
	}
}

func (a *account) Mailboxes(ctx context.Context) ([]imapserver.Status, error) {
	infos, err := a.account.Mailboxes(ctx)
	if err != nil {
		return nil, refuse(err)
	}
	mine := place{box: a.account}
	list := make([]imapserver.Status, len(infos))
	for i := range infos {
		list[i] = a.statusIn(&mine, infos[i], mail.AllRights)
	}
	others, err := a.others(ctx)
	return append(list, others...), err
}

func (a *account) Mailbox(ctx context.Context, name string) (imapserver.Status, error) {
	p, info, rights, err := a.find(ctx, name, mail.NoRights)
	if err != nil {
		return imapserver.Status{}, err
	}
	return a.statusIn(&p, info, rights), nil
}

func (a *account) Subscriptions(ctx context.Context) ([]string, error) {
	list, err := a.account.Subscriptions(ctx)
	return list, refuse(err)
}

func (a *account) Create(ctx context.Context, name string, role mail.Role) (string, error) {
	p, err := a.above(ctx, name)
	if err != nil {
		return "", err
	}
	if role != mail.RoleNone && !p.own() {
		return "", &imap.Refusal{Code: imap.CodeUseAttr, Text: "Only one's own mailboxes have special uses"}
	}
	made, err := p.box.CreateMailbox(ctx, p.name, mailbox.CreateOptions{Role: role})
	if role != mail.RoleNone && errors.Is(err, mailbox.ErrExists) {
		if _, lookErr := a.account.Mailbox(ctx, name); lookErr != nil { // it is the role that exists
			return "", &imap.Refusal{Code: imap.CodeUseAttr, Text: "Another mailbox has that special use"} // RFC 6154 §3
		}
	}
	return p.prefix + made.Name, refuse(err)
}

func (a *account) Rename(ctx context.Context, from, to string) (string, error) {
	source, _, _, err := a.find(ctx, from, mail.RightDelete)
	if err != nil {
		return "", err
	}
	dest, err := a.above(ctx, to)
	if err != nil {
		return "", err
	}
	if source.box.ID() != dest.box.ID() {
		return "", &imap.Refusal{Code: imap.CodeCannot, Text: "Mailboxes cannot go to another account"}
	}
	if !source.own() && source.name == mailbox.InboxName {
		return "", errNoPerm // its messages would all go
	}
	if err := source.box.RenameMailbox(ctx, source.name, dest.name); err != nil {
		return "", refuse(err)
	}
	made, err := mailbox.CleanName(dest.name)
	return dest.prefix + made, err
}

func (a *account) Delete(ctx context.Context, name string) error {
	p, _, _, err := a.find(ctx, name, mail.RightDelete)
	if err != nil {
		return err
	}
	return refuse(p.box.DeleteMailbox(ctx, p.name))
}

func (a *account) Subscribe(ctx context.Context, name string, subscribed bool) error {
	return refuse(a.account.Subscribe(ctx, name, subscribed))
}

func (a *account) Open(ctx context.Context, name string) (imapserver.Mailbox, error) {
	p, info, _, err := a.selectable(ctx, name, mail.RightRead)
	if err != nil {
		return nil, err
	}
	view, err := p.box.Open(ctx, info.ID)
	if err != nil {
		return nil, refuse(err)
	}
	f := &folder{session: a, user: a, place: p, id: info.ID, view: view}
	f.reset = a.door.resets.enter(f.keyOwner())
	if !p.own() {
		f.session = &account{door: a.door, account: p.box}
	}
	f.index() // from now on it is kept up to date
	return f, nil
}

func (a *account) Accepts(ctx context.Context, name string) error {
	a.accepted = accepted{}
	p, err := a.locate(ctx, name)
	if err == nil && p.own() {
		if id, known := p.box.Remembered(p.name); known {
			a.accepted = accepted{name, p, id, time.Now()}
			return nil
		}
	}
	p, info, _, err := a.find(ctx, name, mail.RightInsert)
	switch {
	case err != nil:
		return err
	case info.NoSelect:
		return &imap.Refusal{Code: imap.CodeNonexistent, Text: "There is only the name of the mailbox"}
	case p.own():
		a.accepted = accepted{name, p, info.ID, time.Now()}
	}
	return nil
}

// appendable finds a mailbox that messages may be put into.
func (a *account) appendable(ctx context.Context, name string) (place, mail.MailboxID, mail.Rights, error) {
	was := a.accepted
	a.accepted = accepted{}
	if was.name == name && time.Since(was.at) < acceptedFor {
		return was.place, was.id, mail.AllRights, nil
	}
	p, info, rights, err := a.selectable(ctx, name, mail.RightInsert)
	return p, info.ID, rights, err
}

func (a *account) Append(ctx context.Context, name string, messages ...imapserver.NewMessage) (imapserver.Appended, error) {
	p, id, rights, err := a.appendable(ctx, name)
	if err != nil {
		return imapserver.Appended{}, err
	}
	a.ahead.wait()
	entries := make([]mailbox.NewEntry, len(messages))
	for i := range messages {
		if entries[i], err = newEntry(id, rights, &messages[i]); err != nil {
			return imapserver.Appended{}, err
		}
	}
	done, err := p.box.AppendMany(ctx, time.Now(), id, entries)
	if err != nil {
		return imapserver.Appended{}, refuse(err)
	}
	var result imapserver.Appended
	if !rights.Has(mail.RightRead) {
		return result, nil
	}
	for _, d := range done {
		result.UIDValidity = d.UIDValidity
		result.UIDs = append(result.UIDs, d.UID)
	}
	return result, nil
}
