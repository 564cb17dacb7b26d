package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// checkSheets looks whether sheets can be read, and say nothing that cannot
// be. What is wrong with one is mended by doing without it.
func (c *check) checkSheets() error {
	return c.rows(keys.Sheet, 9, "flags of many messages", false, func(it kv.Item) error {
		id, number := mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])), binary.BigEndian.Uint32(it.Key[5:])
		wrong := func(means, format string, args ...any) {
			c.wrong(string(it.Key), c.a.foldSheet(id, number), means, "writes the flags of each message by itself, as far as they can be read", format, args...)
		}
		runs, err := decodeSheet(nil, id, number, it.Value)
		m := c.boxes[id]
		switch {
		case err != nil:
			wrong("mail programs cannot open the mailbox", "the flags of some messages of mailbox %s cannot be read", c.name(id))
		case m == nil:
			wrong("it takes up space", "there are flags of messages in mailbox %v, and no such mailbox", id)
		case !m.sheets:
			wrong("messages may be shown with the flags that they had", "mailbox %s does not know of flags that some of its messages have", c.name(id))
		default:
			for i := range runs {
				if runs[i].to >= m.UIDNext || runs[i].state.modseq > m.HighestModSeq {
					wrong("mail programs may miss changes", "mailbox %s has flags of messages that have not come yet", c.name(id))
					break
				}
			}
		}
		return nil
	})
}

// foldSheet writes what a sheet says into the rows, as a change, and removes
// it.
func (a *Account) foldSheet(id mail.MailboxID, number uint32) func(context.Context) error {
	return func(ctx context.Context) error {
		return a.mend(ctx, func(t *txn) error {
			m, err := t.mailboxRow(id)
			if err != nil {
				return err
			}
			if m != nil && number <= sheetOf(math.MaxUint32) {
				if err := t.foldRows(m, number); err != nil {
					return err
				}
			}
			t.Txn.Delete(appendSheetKey(nil, id, number))
			return nil
		})
	}
}

func (t *txn) foldRows(m *box, number uint32) error {
	first := mail.UID(number << sheetBits)
	last := first + sheetUIDs - 1
	over, err := looseSheets(t, m.ID, first, last)
	if err != nil {
		return err
	}
	var rows []row
	var uids []mail.UID
	var emails []mail.EmailID
	for it, err := range t.Scan(appendEntryKey(nil, m.ID, first), append(appendEntryKey(nil, m.ID, last), 0), kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if len(it.Key) != 9 {
			continue
		}
		uid := mail.UID(binary.BigEndian.Uint32(it.Key[5:]))
		r, err := decodeRow(uid, slices.Clone(it.Value))
		if err != nil || over.lay(&r) != nil {
			continue // which is another finding
		}
		r.ModSeq = t.modseq()
		rows, uids, emails = append(rows, r), append(uids, uid), append(emails, r.Email)
	}
	t.putRows(m.ID, rows)
	if len(rows) > 0 {
		t.log(itemChanged, m, uids, emails)
	}
	return nil
}

// raiseSheets raises the head above all that sheets say.
func (t *txn) raiseSheets() error {
	for it, err := range t.Scan([]byte{keys.Sheet}, []byte{keys.Sheet + 1}, kv.ScanOptions{}) {
		if err != nil {
			return err
		}
		if len(it.Key) != 9 {
			continue
		}
		runs, err := decodeSheet(nil, 0, binary.BigEndian.Uint32(it.Key[5:]), it.Value)
		if err != nil {
			continue
		}
		for i := range runs {
			t.head.modseq = max(t.head.modseq, runs[i].state.modseq)
		}
	}
	return nil
}

// sweepSheets removes sheets of which no entry is left: what has been moved
// away or expunged leaves them behind.
func (a *Account) sweepSheets(ctx context.Context, now time.Time) error {
	var gone [][]byte
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		var all [][]byte
		for it, err := range r.Scan([]byte{keys.Sheet}, []byte{keys.Sheet + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			if len(it.Key) == 9 {
				all = append(all, slices.Clone(it.Key))
			}
		}
		var err error
		gone, err = emptySheets(r, all)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for flags of nobody: %w", err)
	}
	for part := range slices.Chunk(gone, purgeBatch) {
		_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
			still, err := emptySheets(t, part) // a message may have come meanwhile, and been changed
			for _, key := range still {
				t.Delete(key)
				t.dirty = true
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// emptySheets gives those of the keys of sheets none of whose UIDs has an entry.
func emptySheets(r kv.Reader, list [][]byte) ([][]byte, error) {
	var gone [][]byte
	for _, key := range list {
		id, number := mail.MailboxID(binary.BigEndian.Uint32(key[1:])), binary.BigEndian.Uint32(key[5:])
		if number >= sheetOf(math.MaxUint32) {
			continue
		}
		lo, hi := appendEntryKey(nil, id, mail.UID(number<<sheetBits)), appendEntryKey(nil, id, mail.UID((number+1)<<sheetBits))
		there, err := first(r, lo, hi, func(kv.Item) (bool, error) { return true, nil })
		if err != nil {
			return nil, err
		}
		if !there {
			gone = append(gone, key)
		}
	}
	return gone, nil
}
