package mailbox

import (
	"context"
	"time"

	"waxwing/mail"
)

// Replace adds a message and expunges another of the same account, both or
// neither, in one transaction. The quota counts what is left. ErrNoMessage
// where there is nothing to replace. RFC 8508 §3.4
func (a *Account) Replace(ctx context.Context, now time.Time, from mail.MailboxID, uid mail.UID, entry NewEntry) (Appended, error) {
	with := &appendWith{
		boxes: []mail.MailboxID{from},
		before: func(t *txn) error {
			m, err := t.box(from)
			if err != nil {
				return err
			}
			rows, err := readRows(t, m, []mail.UID{uid})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				return ErrNoMessage
			}
			return t.takeOut(m, rows, true)
		},
	}
	done, err := a.appendAnd(ctx, now, []NewEntry{entry}, with)
	if err != nil {
		return Appended{}, err
	}
	return done[0], nil
}
