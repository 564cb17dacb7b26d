package imap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// An account is one session's hold on an account.
type account struct {
	door    *Door
	account *mailbox.Account
}

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
	}
	return err
}

func (a *account) Close() {}

// status gives a mailbox as LIST and STATUS show it.
func (a *account) status(i mailbox.Info) imapserver.Status {
	s := statusOf(i)
	s.Recent = min(i.Messages, int(i.UIDNext-a.door.claims.first(a.account.ID(), i.ID, i.UIDNext, false)))
	return s
}

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
	list := make([]imapserver.Status, len(infos))
	for i := range infos {
		list[i] = a.status(infos[i])
	}
	return list, nil
}

func (a *account) Mailbox(ctx context.Context, name string) (imapserver.Status, error) {
	info, err := a.account.Mailbox(ctx, name)
	if err != nil {
		return imapserver.Status{}, refuse(err)
	}
	return a.status(info), nil
}

// selectable finds a mailbox that holds messages.
func (a *account) selectable(ctx context.Context, name string) (mailbox.Info, error) {
	info, err := a.account.Mailbox(ctx, name)
	if err == nil && info.NoSelect {
		err = mailbox.ErrNoMailbox
	}
	return info, refuse(err)
}

func (a *account) Subscriptions(ctx context.Context) ([]string, error) {
	list, err := a.account.Subscriptions(ctx)
	return list, refuse(err)
}

func (a *account) Create(ctx context.Context, name string, role mail.Role) (string, error) {
	made, err := a.account.CreateMailbox(ctx, name, mailbox.CreateOptions{Role: role})
	if role != mail.RoleNone && errors.Is(err, mailbox.ErrExists) {
		if _, lookErr := a.account.Mailbox(ctx, name); lookErr != nil { // it is the role that exists
			return "", &imap.Refusal{Code: imap.CodeUseAttr, Text: "Another mailbox has that special use"} // RFC 6154 §3
		}
	}
	return made.Name, refuse(err)
}

func (a *account) Rename(ctx context.Context, from, to string) (string, error) {
	if err := a.account.RenameMailbox(ctx, from, to); err != nil {
		return "", refuse(err)
	}
	return mailbox.CleanName(to)
}

func (a *account) Delete(ctx context.Context, name string) error {
	return refuse(a.account.DeleteMailbox(ctx, name))
}

func (a *account) Subscribe(ctx context.Context, name string, subscribed bool) error {
	return refuse(a.account.Subscribe(ctx, name, subscribed))
}

func (a *account) Open(ctx context.Context, name string) (imapserver.Mailbox, error) {
	info, err := a.selectable(ctx, name)
	if err != nil {
		return nil, err
	}
	view, err := a.account.Open(ctx, info.ID)
	if err != nil {
		return nil, refuse(err)
	}
	return &folder{session: a, id: info.ID, view: view}, nil
}

// A staged is a message on its way in, parsed while it comes.
type staged struct {
	body   *blob.Staged
	parser *message.Parser
}

func (a *account) Stage(ctx context.Context) imapserver.Staged {
	return &staged{body: blob.Stage(ctx, a.door.blobs), parser: message.NewParser()}
}

func (s *staged) Write(p []byte) (int, error) {
	if n, err := s.body.Write(p); err != nil {
		return n, err
	}
	return s.parser.Write(p)
}

func (s *staged) Close() error { return s.body.Close() }

func (a *account) Append(ctx context.Context, name string, messages ...imapserver.NewMessage) (imapserver.Appended, error) {
	info, err := a.selectable(ctx, name)
	if err != nil {
		return imapserver.Appended{}, err
	}
	entries := make([]mailbox.NewEntry, len(messages))
	for i, m := range messages {
		s, ok := m.Body.(*staged)
		if !ok {
			return imapserver.Appended{}, fmt.Errorf("append a %T", m.Body)
		}
		if err := s.body.Finish(); err != nil {
			return imapserver.Appended{}, err
		}
		entries[i] = mailbox.NewEntry{
			Mailbox: info.ID, Body: s.body, Parsed: s.parser.Finish(),
			Flags: m.Flags, Keywords: m.Keywords, Internal: m.Internal,
		}
	}
	done, err := a.account.Append(ctx, time.Now(), entries...)
	if err != nil {
		return imapserver.Appended{}, refuse(err)
	}
	var result imapserver.Appended
	for _, d := range done {
		result.UIDValidity = d.UIDValidity
		result.UIDs = append(result.UIDs, d.UID)
	}
	return result, nil
}
