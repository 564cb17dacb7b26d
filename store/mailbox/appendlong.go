package mailbox

import (
	"context"
	"errors"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/kv"
)

// AppendMany adds messages to one mailbox, all or none. Where they are too
// many for one transaction it takes several, under the mark of a copy: when
// one fails what has been added is taken away again, and when the program
// dies, by whoever opens the account after that. Until the end others may see
// the first of them. RFC 3502 §6.3.11
func (a *Account) AppendMany(ctx context.Context, now time.Time, to mail.MailboxID, entries []NewEntry) ([]Appended, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	if n := appendBatch(entries); n == len(entries) {
		done, err := a.Append(ctx, now, entries...)
		if !errors.Is(err, kv.ErrTooLarge) || n == 1 {
			return done, err
		}
	}
	n, err := a.beginCopy(ctx, to)
	if err != nil {
		return nil, err
	}
	done, err := a.appendParts(ctx, now, n, entries)
	if err == nil {
		return done, nil
	}
	// Undoing goes on when the client does not.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if e := a.undoCopy(undo, now, n, true); e != nil {
		a.store.log.Error("messages are left in part", obs.Account, a.id, obs.Mailbox, to, obs.Err, e)
		err = errors.Join(err, e)
	}
	return nil, err
}

// appendParts adds messages in several transactions under a mark, which the
// last takes away.
func (a *Account) appendParts(ctx context.Context, now time.Time, mark uint32, entries []NewEntry) ([]Appended, error) {
	var all []Appended
	for size := 0; len(entries) > 0; {
		n := appendBatch(entries)
		if size > 0 {
			n = min(n, size)
		}
		last := n == len(entries)
		done, err := a.appendAnd(ctx, now, entries[:n], &appendWith{after: func(t *txn, done []Appended) error {
			uids := make([]mail.UID, len(done))
			for i := range done {
				uids[i] = done[i].UID
			}
			if err := t.goOn(mark, uids); err != nil {
				return err
			}
			if last {
				t.endMark(mark)
			}
			return nil
		}})
		if errors.Is(err, kv.ErrTooLarge) && n > 1 {
			size = (n + 1) / 2
			continue
		}
		if err != nil {
			return nil, err
		}
		all, entries = append(all, done...), entries[n:]
	}
	return all, nil
}

// How much one transaction of AppendMany adds. A message takes some seven
// keys, and its structure some hundreds of octets besides its body; an engine
// takes 10,000 keys and 4 MiB.
const (
	appendMessages = 1000
	appendOctets   = 2 << 20
	appendCost     = 1 << 10
)

// appendBatch gives how many of the messages go into one transaction, one at
// least.
func appendBatch(entries []NewEntry) int {
	octets := 0
	for i := range entries {
		octets += appendCost
		if b := entries[i].Body; b.IsInline() {
			octets += int(b.Size())
		}
		if i > 0 && octets > appendOctets || i == appendMessages {
			return i
		}
	}
	return len(entries)
}
