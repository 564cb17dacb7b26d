package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

// RenameMailbox gives a mailbox and those below it another name; mailboxes
// above the new name are made when they are missing. INBOX cannot go: its
// messages move to a new mailbox of that name, and what is below it stays.
// RFC 9051 §6.3.6
func (a *Account) RenameMailbox(ctx context.Context, from, to string) error {
	from, err := CleanName(from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoMailbox, err)
	}
	if to, err = CleanName(to); err != nil {
		return err
	}
	if from == InboxName {
		return a.emptyInbox(ctx, to)
	}
	_, err = a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		boxes, err := t.readNames()
		if err != nil {
			return err
		}
		switch {
		case t.named(from) == nil:
			return ErrNoMailbox
		case t.named(to) != nil:
			return ErrExists
		case isBelow(to, from):
			return fmt.Errorf("%w: cannot be below itself", ErrName)
		}
		for _, parent := range parents(to) {
			if _, err := t.makeMailbox(parent, mail.RoleNone); err != nil && !errors.Is(err, ErrExists) {
				return err
			}
		}
		for _, m := range boxes {
			if m.Name != from && !isBelow(m.Name, from) {
				continue
			}
			if err := t.rename(m, to+strings.TrimPrefix(m.Name, from)); err != nil {
				return err
			}
		}
		return t.dropPlaceholders(from)
	})
	return err
}

// rename gives one mailbox its new name. A subscribed mailbox stays so under
// the new name; the old name stays subscribed too, since only clients take
// names away. RFC 9051 §6.3.7
func (t *txn) rename(m *box, name string) error {
	name, err := CleanName(name)
	if err != nil {
		return err
	}
	if m.Subscribed {
		if err := t.subscribe(name); err != nil {
			return err
		}
	} else {
		got, err := t.GetMany([][]byte{appendSubscriptionKey(nil, name)})
		if err != nil {
			return err
		}
		m.Subscribed = got[0] != nil
	}
	t.changeBox(itemRenamed, m)
	t.items[len(t.items)-1].before = []before{{words: m.Name}}
	m.Name = name
	return nil
}

// emptyInbox moves what INBOX holds to a new mailbox.
func (a *Account) emptyInbox(ctx context.Context, to string) error {
	made, err := a.CreateMailbox(ctx, to, CreateOptions{})
	if err != nil {
		return err
	}
	var uids []mail.UID
	err = a.view(ctx, func(r kv.Reader, _ *head) (err error) {
		uids, err = readUIDs(r, Inbox)
		return err
	})
	if err != nil {
		return err
	}
	if _, err = a.Move(ctx, time.Now(), Inbox, uids, made.ID); err != nil {
		return err
	}
	return a.copyAnnotations(ctx, time.Now(), Inbox, made.ID) // RFC 5464 §4.1
}

// DeleteMailbox deletes a mailbox and what it holds. It can be recovered for
// the Store's window. If there are mailboxes below it its bare name stays;
// deleting that is ErrHasChildren. RFC 9051 §6.3.5
func (a *Account) DeleteMailbox(ctx context.Context, name string) error {
	name, err := CleanName(name)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNoMailbox, err)
	case name == InboxName:
		return ErrInboxDelete
	}
	now := time.Now()
	_, err = a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		boxes, err := t.readNames()
		if err != nil {
			return err
		}
		m := t.named(name)
		if m == nil {
			return ErrNoMailbox
		}
		hasChildren := slices.ContainsFunc(boxes, func(c *box) bool { return isBelow(c.Name, name) })
		if m.NoSelect && hasChildren {
			return ErrHasChildren
		}
		t.removeBox(m, now)
		if hasChildren {
			placeholder, err := t.makeMailbox(name, mail.RoleNone)
			if err != nil {
				return err
			}
			placeholder.NoSelect = true
			return nil
		}
		return t.dropPlaceholders(name)
	})
	return err
}

// removeBox takes a mailbox out of sight. Its entries stay where they are
// until it is purged.
func (t *txn) removeBox(m *box, now time.Time) {
	t.changeBox(MailboxDeleted, m)
	t.head.boxes--
	t.head.bytes -= m.Size
	t.head.messages -= int64(m.Messages)
	t.head.goneBytes += m.Size
	m.removed = max(now.Unix(), 1)
}

// dropPlaceholders deletes bare names above a name that have nothing below
// them any longer.
func (t *txn) dropPlaceholders(name string) error {
	above := parents(name)
	for _, parent := range slices.Backward(above) {
		m := t.named(parent)
		if m == nil || !m.NoSelect {
			return nil
		}
		if slices.ContainsFunc(t.boxes, func(c *box) bool { return c.removed == 0 && isBelow(c.Name, parent) }) {
			return nil
		}
		t.removeBox(m, t.now)
	}
	return nil
}
