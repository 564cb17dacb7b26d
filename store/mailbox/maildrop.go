package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// What a POP3 session has marked is deleted at its end, all or none, and may
// be more than a transaction holds. Then a first transaction writes down what
// is doomed: with it everything is decided. The entries go afterwards, and
// should the program die meanwhile, the next POP3 session or Purge sees to the
// rest. Both hold the maildrop then: a session that has it may be writing
// down others.
//
//	mailbox u32, part u32 -> version, {uvarint gap, uvarint count}...

// doomedPart is how many ranges of UIDs a row holds: 40 KiB at most.
const doomedPart = 4096

func appendDoomedKey(dst []byte, id mail.MailboxID, part uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, keys.Doomed), uint32(id))
	return binary.BigEndian.AppendUint32(dst, part)
}

// ExpungeAll removes entries, all of them or none, however many they are. Once
// it has returned nil they are gone, or will be by FinishExpunge whatever
// happens. UIDs without an entry are ignored. RFC 1939 §6
func (a *Account) ExpungeAll(ctx context.Context, mbox mail.MailboxID, uids []mail.UID) error {
	uids = sorted(uids)
	if len(uids) <= expungeBatch {
		err := a.expungeAtOnce(ctx, mbox, uids)
		if !errors.Is(err, kv.ErrTooLarge) {
			return err
		}
	}
	if err := a.FinishExpunge(ctx, mbox); err != nil { // its rows are needed
		return err
	}
	_, err := a.change(ctx, time.Now(), []mail.MailboxID{mbox}, nil, func(t *txn, _ [][]byte) error {
		if _, err := t.box(mbox); err != nil {
			return err
		}
		t.dirty = true
		putDoomed(t, mbox, uids)
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.FinishExpunge(ctx, mbox); err != nil {
		a.store.log.Error("doomed messages are left for later", obs.Account, a.id, obs.Mailbox, mbox, obs.Err, err)
	}
	return nil
}

func (a *Account) expungeAtOnce(ctx context.Context, mbox mail.MailboxID, uids []mail.UID) error {
	now, full := time.Now(), false
	_, err := a.change(ctx, now, []mail.MailboxID{mbox}, nil, func(t *txn, _ [][]byte) error {
		m, err := t.box(mbox)
		if err != nil {
			return err
		}
		rows, err := readRows(t, m, uids)
		if err != nil {
			return err
		}
		if err := t.takeOut(m, rows, true); err != nil {
			return err
		}
		full = t.head.goneBytes > a.store.recoverable(&t.head)
		return nil
	})
	if err == nil && full {
		a.makeRoom(ctx, now, len(uids))
	}
	return err
}

// FinishExpunge does what an ExpungeAll has decided and not come to do. Without
// such it costs one read.
func (a *Account) FinishExpunge(ctx context.Context, mbox mail.MailboxID) error {
	uids, err := a.doomed(ctx, mbox)
	if err != nil || len(uids) == 0 {
		return err
	}
	if _, _, err := a.Expunge(ctx, mbox, uids, ExpungeOptions{}); err != nil && !errors.Is(err, ErrNoMailbox) {
		return err
	}
	_, err = a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		t.dirty = true
		prefix := appendDoomedKey(nil, mbox, 0)[:5]
		t.DeleteRange(prefix, kv.PrefixEnd(prefix))
		return nil
	})
	return err
}

// finishDoomed does so for all of the account, unless a session has the
// maildrop: then it is the session's to do.
func (a *Account) finishDoomed(ctx context.Context) error {
	var boxes []mail.MailboxID
	err := a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		boxes = boxes[:0]
		for it, err := range r.Scan([]byte{keys.Doomed}, []byte{keys.Doomed + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			if len(it.Key) != 9 {
				return fmt.Errorf("key of doomed messages: %w", errCorrupt)
			}
			boxes = addBox(boxes, mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])))
		}
		return nil
	})
	if err != nil || len(boxes) == 0 {
		return err
	}
	lock, err := a.LockMaildrop(ctx)
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	for _, id := range boxes {
		if err := a.FinishExpunge(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// putDoomed writes down UIDs, which are sorted. There are none yet.
func putDoomed(t *txn, mbox mail.MailboxID, uids []mail.UID) {
	var last mail.UID
	part := uint32(0)
	for len(uids) > 0 {
		b := []byte{rowFormat}
		for ranges := 0; ranges < doomedPart && len(uids) > 0; ranges++ {
			n := 1
			for n < len(uids) && uids[n] == uids[0]+mail.UID(n) {
				n++
			}
			b = binary.AppendUvarint(b, uint64(uids[0]-last))
			b = binary.AppendUvarint(b, uint64(n))
			last, uids = uids[n-1], uids[n:]
		}
		t.Put(appendDoomedKey(nil, mbox, part), b)
		part++
	}
}

// doomed gives the UIDs that have been written down.
func (a *Account) doomed(ctx context.Context, mbox mail.MailboxID) (uids []mail.UID, err error) {
	prefix := appendDoomedKey(nil, mbox, 0)[:5]
	err = a.store.db.View(ctx, a.part, func(r kv.Reader) error {
		uids = uids[:0]
		var last mail.UID
		for it, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			d := decoder{b: it.Value}
			d.bad = d.byte() != rowFormat
			for len(d.b) > 0 && !d.bad {
				last += mail.UID(d.uvarint())
				for n := d.uvarint(); n > 0 && !d.bad; n-- {
					uids = append(uids, last)
					last++
				}
				last--
			}
			if d.bad {
				return fmt.Errorf("doomed messages: %w", errCorrupt)
			}
		}
		return nil
	})
	return uids, err
}
