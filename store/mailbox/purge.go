package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// purgeBatch is how many entries one transaction purges: each costs a dozen
// keys at most.
const purgeBatch = 200

// Purge removes for good what has been gone for longer than the Store's
// window in all accounts, forgets changes that old, and finishes what a
// program that has died had decided (see ExpungeAll). It is to be run from
// time to time; it goes in small steps. A failing account does not keep it
// from the others.
func (s *Store) Purge(ctx context.Context, now time.Time) error {
	var errs []error
	for p, err := range s.db.Partitions(ctx, 1) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		id, ok := keys.AccountOf(p)
		if !ok {
			break
		}
		a := s.Account(id)
		n, err := -1, a.finishDoomed(ctx)
		for n != 0 && err == nil {
			n, err = a.Purge(ctx, now, 10*purgeBatch)
		}
		if err == nil {
			err = a.sweep(ctx, now)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, ErrNoAccount) {
			s.log.Error("account not purged", obs.Account, id, obs.Err, err)
			errs = append(errs, fmt.Errorf("purge %v: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// unclaimed is after how long a body that was kept for a message that never
// came is swept away.
const unclaimed = 24 * time.Hour

// sweep deletes the large bodies that a crash has left between keeping them
// and committing the message.
func (a *Account) sweep(ctx context.Context, now time.Time) error {
	var named map[blob.Sum]bool
	_, _, err := blob.Sweep(ctx, a.store.blobs, a.id, now.Add(-unclaimed), func(sum blob.Sum) (bool, error) {
		if named != nil {
			return named[sum], nil
		}
		// All at once: what comes later has been kept later than unclaimed.
		named = make(map[blob.Sum]bool)
		err := a.view(ctx, func(r kv.Reader, _ *head) error {
			for _, prefix := range [...]byte{keys.Refs, keys.Release} {
				for it, err := range r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{KeysOnly: true}) {
					if err != nil {
						return err
					}
					if len(it.Key) == 1+len(sum) {
						named[blob.Sum(it.Key[1:])] = true
					}
				}
			}
			return nil
		})
		return named[sum], err
	})
	return err
}

// Purge removes for good up to limit or so of what has been gone for longer
// than the Store's window, the oldest first; before its time what is over
// the limit of recoverable octets. It gives how much it removed: zero when
// there is no more to do.
func (a *Account) Purge(ctx context.Context, now time.Time, limit int) (int, error) {
	if err := a.undoStale(ctx, now); err != nil {
		return 0, err
	}
	done := 0
	for _, step := range []func(context.Context, time.Time, int) (int, error){
		a.purgeEntries, a.purgeMailbox, a.deleteReleased, a.forgetChanges, a.forgetTokens,
	} {
		for done < limit {
			n, err := step(ctx, now, min(purgeBatch, limit-done))
			if err != nil {
				return done, err
			}
			if done += n; n == 0 {
				break
			}
		}
	}
	return done, nil
}

// purgeEntries removes expunged entries.
func (a *Account) purgeEntries(ctx context.Context, now time.Time, limit int) (int, error) {
	n := 0
	cut := now.Add(-a.store.o.Window).Unix()
	_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		n = 0
		var list []goneEntry
		most := a.store.recoverable(&t.head)
		left := t.head.goneBytes
		for it, err := range t.Scan([]byte{keys.Gone}, []byte{keys.Gone + 1}, kv.ScanOptions{Limit: limit}) {
			if err != nil {
				return err
			}
			g, err := decodeGone(it)
			if err != nil {
				return err
			}
			if g.second > cut && left <= most {
				break
			}
			left -= mail.ByteCount(g.row.Size)
			list = append(list, g)
		}
		for _, g := range list {
			t.Delete(g.key)
			if err := t.purgeEntry(g.row, place{g.id, g.row.UID}, true); err != nil {
				return err
			}
		}
		n = len(list)
		t.dirty = n > 0
		return nil
	})
	return n, err
}

// purgeEntry lets go of an email's entry; after the last the email goes too.
func (t *txn) purgeEntry(r row, at place, expunged bool) error {
	t.head.goneBytes -= mail.ByteCount(r.Size)
	placesKey, recordKey := appendPlacesKey(nil, r.Email), appendRecordKey(nil, r.Email)
	got, err := t.GetMany([][]byte{placesKey, recordKey})
	if err != nil {
		return err
	}
	p, err := decodePlaces(got[0], at)
	if err != nil {
		return err
	}
	if expunged {
		p.gone--
	} else {
		p.remove(at)
	}
	if len(p.at) > 0 || p.gone > 0 {
		t.Put(placesKey, p.append(nil))
		return nil
	}
	if got[1] == nil {
		return fmt.Errorf("message %v: %w", r.Email, errCorrupt)
	}
	record, err := decodeRecord(r.Email, got[1])
	if err != nil {
		return err
	}
	if err := t.leaveThread(r.Email, &record); err != nil {
		return err
	}
	if err := t.releaseBody(&record); err != nil {
		return err
	}
	t.Delete(placesKey)
	t.deleteRecord(r.Email, &record)
	return nil
}

// purgeMailbox removes entries of a deleted mailbox, and at last its record.
func (a *Account) purgeMailbox(ctx context.Context, now time.Time, limit int) (int, error) {
	n := 0
	cut := now.Add(-a.store.o.Window).Unix()
	_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		n = 0
		m, err := t.oldestDeleted()
		if err != nil || m == nil {
			return err
		}
		if m.removed > cut && t.head.goneBytes <= a.store.recoverable(&t.head) {
			return nil
		}
		var rows []row
		lo := appendEntryKey(nil, m.ID, 0)
		for it, err := range t.Scan(lo, kv.PrefixEnd(lo[:5]), kv.ScanOptions{Limit: limit}) {
			if err != nil {
				return err
			}
			r, err := decodeRow(mail.UID(binary.BigEndian.Uint32(it.Key[5:])), append([]byte(nil), it.Value...))
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
		for i := range rows {
			t.Delete(appendEntryKey(nil, m.ID, rows[i].UID))
			m.count(&rows[i].Entry, -1)
			if err := t.purgeEntry(rows[i], place{m.ID, rows[i].UID}, false); err != nil {
				return err
			}
		}
		key := appendBoxKey(nil, m.ID)
		if len(rows) < limit {
			t.Delete(key)
		} else {
			t.Put(key, m.append(nil))
		}
		n, t.dirty = len(rows)+1, true
		return nil
	})
	return n, err
}

func (t *txn) oldestDeleted() (*box, error) {
	all, err := readAllBoxes(t)
	if err != nil {
		return nil, err
	}
	var oldest *box
	for _, m := range all {
		if m.removed != 0 && (oldest == nil || m.removed < oldest.removed) {
			oldest = m
		}
	}
	return oldest, nil
}

// forgetChanges cuts the log of changes.
func (a *Account) forgetChanges(ctx context.Context, now time.Time, limit int) (int, error) {
	n := 0
	cut := now.Add(-a.store.o.Window)
	_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		n = 0
		last := t.head.forgotten
		for c, err := range changesIn(t, last, limit) {
			if err != nil {
				return err
			}
			if !c.Time.Before(cut) && t.head.modseq-c.ModSeq < mail.ModSeq(a.store.o.MaxChanges) {
				break
			}
			last = c.ModSeq
			n++
		}
		if n > 0 {
			t.DeleteRange(appendChangeKey(nil, 0, 0), appendChangeKey(nil, last+1, 0))
			t.head.forgotten, t.dirty = last, true
		}
		return nil
	})
	return n, err
}

// forgetTokens removes the generations that nobody looks at any longer.
func (a *Account) forgetTokens(ctx context.Context, now time.Time, _ int) (int, error) {
	lo, hi := appendGenerationKey(nil, 0), appendGenerationKey(nil, generation(now)-1)
	n := 0
	_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		n = 0
		for _, err := range t.Scan(lo, hi, kv.ScanOptions{KeysOnly: true, Limit: 1}) {
			if err != nil {
				return err
			}
			n = 1
		}
		if n > 0 {
			t.DeleteRange(lo, hi)
			t.dirty = true
		}
		return nil
	})
	return n, err
}
