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

// A copy in several transactions leaves a mark before the first: where it
// copies to, and which UIDs it has made. Each part adds to it and gives it
// more time; the last takes it away. When the copy fails, whoever made it
// undoes it; when its time is over (the program has died), whoever finds it.
//
//	version, undoing u8, uvarint mailbox, varint deadline (seconds),
//	{uvarint first uid, uvarint count}...
type copyMark struct {
	undoing  bool // its maker must not go on
	mailbox  mail.MailboxID
	deadline int64
	made     []uidRange
}

type uidRange struct {
	first mail.UID
	count int
}

const (
	patience  = 2 * time.Minute // from one part to the next
	maxCopies = 16              // marks of an account at a time
)

var errUndone = errors.New("copy took too long and was undone")

func appendMarkKey(dst []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, keys.Pending), n)
}

func (c *copyMark) encode() []byte {
	b := []byte{rowFormat, 0}
	if c.undoing {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, uint64(c.mailbox))
	b = binary.AppendVarint(b, c.deadline)
	for _, r := range c.made {
		b = binary.AppendUvarint(b, uint64(r.first))
		b = binary.AppendUvarint(b, uint64(r.count))
	}
	return b
}

func decodeMark(b []byte) (copyMark, error) {
	d := decoder{b: b}
	if d.byte() != rowFormat {
		d.bad = true
	}
	c := copyMark{undoing: d.byte() == 1, mailbox: mail.MailboxID(d.uvarint()), deadline: d.varint()}
	for len(d.b) > 0 && !d.bad {
		c.made = append(c.made, uidRange{mail.UID(d.uvarint()), int(d.uvarint())})
	}
	if d.bad {
		return c, fmt.Errorf("copy: %w", errCorrupt)
	}
	return c, nil
}

// mark reads the mark of a copy; nil if there is none.
func (t *txn) mark(n uint32) (*copyMark, error) {
	got, err := t.GetMany([][]byte{appendMarkKey(nil, n)})
	if err != nil || got[0] == nil {
		return nil, err
	}
	c, err := decodeMark(got[0])
	return &c, err
}

func (t *txn) putMark(n uint32, c *copyMark) {
	t.dirty = true
	t.Put(appendMarkKey(nil, n), c.encode())
}

// goOn adds to the mark what a part has made.
func (t *txn) goOn(n uint32, made []mail.UID) error {
	c, err := t.mark(n)
	if err != nil {
		return err
	}
	if c == nil || c.undoing {
		return errUndone
	}
	c.deadline = time.Now().Add(patience).Unix()
	if len(made) > 0 { // they follow each other
		c.made = append(c.made, uidRange{made[0], len(made)})
	}
	t.putMark(n, c)
	return nil
}

// endMark takes the mark of a copy away.
func (t *txn) endMark(n uint32) {
	t.Delete(appendMarkKey(nil, n))
	t.head.pending--
	t.dirty = true
}

// copyLarge copies in several transactions, and undoes them if one fails.
func (a *Account) copyLarge(ctx context.Context, now time.Time, from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (Copied, error) {
	n, err := a.beginCopy(ctx, to)
	if err != nil {
		return Copied{}, err
	}
	var all Copied
	err = batches(uids, copyBatch, func(uids []mail.UID) error {
		done, err := a.transfer(ctx, now, from, uids, to, transfer{part: n})
		all.add(done)
		return err
	})
	if err == nil {
		_, err = a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
			if c, err := t.mark(n); err != nil || c == nil || c.undoing {
				return errors.Join(errUndone, err)
			}
			t.endMark(n)
			return nil
		})
	}
	if err == nil {
		return all, nil
	}
	// Undoing goes on when the client does not.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if e := a.undoCopy(undo, now, n, true); e != nil {
		a.store.log.Error("copy is left in part", obs.Account, a.id, obs.Mailbox, to, obs.Err, e)
		err = errors.Join(err, e)
	}
	return Copied{}, err
}

func (a *Account) beginCopy(ctx context.Context, to mail.MailboxID) (uint32, error) {
	var n uint32
	_, err := a.change(ctx, time.Now(), []mail.MailboxID{to}, nil, func(t *txn, _ [][]byte) error {
		if _, err := t.box(to); err != nil {
			return err
		}
		if t.head.pending >= maxCopies {
			return fmt.Errorf("large copies at a time: %w", ErrTooMany)
		}
		n = uint32(t.head.modseq) + 1
		for c, err := t.mark(n); c != nil || err != nil; c, err = t.mark(n) {
			if err != nil {
				return err
			}
			n++
		}
		t.head.pending++
		t.putMark(n, &copyMark{mailbox: to, deadline: time.Now().Add(patience).Unix()})
		return nil
	})
	return n, err
}

// undoCopy takes away what a copy has made. Unless it is ours it must have
// run out of time.
func (a *Account) undoCopy(ctx context.Context, now time.Time, n uint32, ours bool) error {
	for {
		var c *copyMark
		_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) (err error) {
			if c, err = t.mark(n); err != nil || c == nil {
				return err
			}
			if !ours && time.Now().Unix() <= c.deadline {
				c = nil
				return nil
			}
			if len(c.made) == 0 {
				t.endMark(n)
				c = nil
				return nil
			}
			c.undoing = true
			t.putMark(n, c)
			return nil
		})
		if err != nil || c == nil {
			return err
		}
		last := c.made[len(c.made)-1]
		uids := make([]mail.UID, last.count)
		for i := range uids {
			uids[i] = last.first + mail.UID(i)
		}
		err = batches(uids, expungeBatch, func(uids []mail.UID) error {
			_, err := a.change(ctx, now, []mail.MailboxID{c.mailbox}, nil, func(t *txn, _ [][]byte) error {
				m, err := t.box(c.mailbox)
				if errors.Is(err, ErrNoMailbox) { // deleted meanwhile, with all in it
					return nil
				}
				if err != nil {
					return err
				}
				rows, err := readRows(t, m, uids)
				if err != nil {
					return err
				}
				return t.takeOut(m, rows, false)
			})
			return err
		})
		if err != nil {
			return err
		}
		_, err = a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
			c, err := t.mark(n)
			if err != nil || c == nil {
				return err
			}
			if k := len(c.made); k > 0 && c.made[k-1] == last {
				c.made = c.made[:k-1]
				t.putMark(n, c)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// undoStale undoes the copies whose makers have died.
func (a *Account) undoStale(ctx context.Context, now time.Time) error {
	var stale []uint32
	err := a.view(ctx, func(r kv.Reader, h *head) error {
		stale = stale[:0]
		if h.pending == 0 {
			return nil
		}
		for it, err := range r.Scan([]byte{keys.Pending}, []byte{keys.Pending + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			c, err := decodeMark(it.Value)
			if err != nil {
				return err
			}
			if time.Now().Unix() > c.deadline {
				stale = append(stale, binary.BigEndian.Uint32(it.Key[1:]))
			}
		}
		return nil
	})
	for _, n := range stale {
		err = errors.Join(err, a.undoCopy(ctx, now, n, false))
	}
	return err
}
