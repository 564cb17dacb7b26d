package mailbox

import (
	"context"
	"fmt"
	"time"

	"waxwing/mail"
)

// SetRole gives a mailbox a role, or with RoleNone takes its role away. Fails
// with ErrExists if another mailbox has the role, and with ErrName for INBOX,
// which keeps its own. RFC 6154 §5.4
func (a *Account) SetRole(ctx context.Context, id mail.MailboxID, role mail.Role) error {
	if id == Inbox || role == mail.RoleInbox {
		return fmt.Errorf("%w: the role of INBOX is its own", ErrName)
	}
	_, err := a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		boxes, err := t.readNames()
		if err != nil {
			return err
		}
		m := t.boxOrName(id)
		if m == nil {
			return ErrNoMailbox
		}
		for _, other := range boxes {
			if role != mail.RoleNone && other.Role == role && other != m {
				return fmt.Errorf("a mailbox with role %s: %w", role, ErrExists)
			}
		}
		if m.Role != role {
			m.Role = role
			t.changeBox(MailboxChanged, m)
		}
		return nil
	})
	return err
}
