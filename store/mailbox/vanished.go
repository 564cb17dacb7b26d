package mailbox

import (
	"context"
	"slices"

	"waxwing/mail"
	"waxwing/store/kv"
)

// mostSince bounds how many changes of the account Vanished looks through.
// Whoever asks for more is better off with a list of what is left.
const mostSince = 100_000

// Vanished gives the UIDs that have left a mailbox after a modseq, sorted, or
// ErrTooOld where the log does not reach back so far, or not in reasonable
// time. RFC 7162 §3.2.6
func (a *Account) Vanished(ctx context.Context, id mail.MailboxID, since mail.ModSeq) ([]mail.UID, error) {
	h, err := a.head(ctx)
	if err != nil {
		return nil, err
	}
	if since < h.forgotten || since > h.modseq || h.modseq-since > mostSince {
		return nil, ErrTooOld
	}
	var uids []mail.UID
	for c, err := range a.Changes(ctx, since) {
		if err != nil {
			return nil, err
		}
		for _, of := range c.Vanished {
			if of.Mailbox == id {
				uids = append(uids, of.UIDs...)
			}
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// Threads gives the threads of emails, zero for those that there are not.
func (a *Account) Threads(ctx context.Context, ids []mail.EmailID) ([]mail.ThreadID, error) {
	list := make([]mail.ThreadID, len(ids))
	if len(ids) == 0 {
		return list, nil
	}
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		got, err := r.GetMany(recordKeys(ids))
		if err != nil {
			return err
		}
		for i, b := range got {
			if b == nil {
				continue
			}
			record, err := decodeRecord(ids[i], b)
			if err != nil {
				return err
			}
			list[i] = record.thread
		}
		return nil
	})
	return list, err
}
