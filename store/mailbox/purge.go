package mailbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// purgeBatch is how many entries one transaction purges: each costs three
// dozen keys at worst, and the transaction a handful of round trips, so that a
// delivery hardly waits for it.
const purgeBatch = 100

// Purge removes for good what has been gone for longer than the Store's
// window in all accounts, forgets changes that old, and finishes what a
// program that has died had decided (see ExpungeAll). It is to be run from
// time to time, on every node: an account is seen to by one node at a time.
// It goes in small transactions with pauses between. Where it is interrupted
// the next run goes on. A failing account does not keep it from the others.
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
		err := s.Account(id).tidy(ctx, now)
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
		a.purgeGone, a.deleteReleased, a.forgetChanges, a.forgetTokens,
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

// A purged is an entry that goes for good.
type purged struct {
	key      []byte
	row      row
	at       place
	expunged bool // else its mailbox is deleted
}

// purgeGone removes what has been gone for longest: expunged entries, or those
// of a deleted mailbox, and after the last its record.
func (a *Account) purgeGone(ctx context.Context, now time.Time, limit int) (int, error) {
	n := 0
	cut := now.Add(-a.store.o.Window).Unix()
	_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		n = 0
		m, full, err := oldestDeleted(t)
		if err != nil {
			return err
		}
		list, err := t.expungedBefore(cut, full, limit)
		if err != nil {
			return err
		}
		n = len(list)
		if m == nil || m.removed > cut {
			m = nil
			if t.head.goneBytes > a.store.recoverable(&t.head) {
				m = full
			}
		}
		if n == 0 && m != nil {
			if list, err = t.emptyDeleted(m, limit); err != nil {
				return err
			}
			n = len(list) + 1
		}
		t.dirty = n > 0
		return t.purge(list)
	})
	return n, err
}

// expungedBefore lists the oldest expunged entries that may go: those from
// before cut, and where there is too much those from before the oldest deleted
// mailbox went.
func (t *txn) expungedBefore(cut int64, full *box, limit int) ([]purged, error) {
	var list []purged
	most, left := t.a.store.recoverable(&t.head), t.head.goneBytes
	for it, err := range t.Scan([]byte{keys.Gone}, []byte{keys.Gone + 1}, kv.ScanOptions{Limit: limit}) {
		if err != nil {
			return nil, err
		}
		g, err := decodeGone(it)
		if err != nil {
			return nil, err
		}
		if g.second > cut && (left <= most || full != nil && full.removed < g.second) {
			break
		}
		left -= mail.ByteCount(g.row.Size)
		list = append(list, purged{g.key, g.row, place{g.id, g.row.UID}, true})
	}
	return list, nil
}

// emptyDeleted lists entries of a deleted mailbox, and takes the mailbox itself
// away with the last.
func (t *txn) emptyDeleted(m *box, limit int) ([]purged, error) {
	var list []purged
	lo := appendEntryKey(nil, m.ID, 0)
	over, err := allSheets(t, m)
	if err != nil {
		return nil, err
	}
	for it, err := range t.Scan(lo, kv.PrefixEnd(lo[:5]), kv.ScanOptions{Limit: limit}) {
		if err != nil {
			return nil, err
		}
		uid := mail.UID(binary.BigEndian.Uint32(it.Key[5:]))
		r, err := decodeRow(uid, append([]byte(nil), it.Value...))
		if err == nil {
			err = over.lay(&r)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, purged{append([]byte(nil), it.Key...), r, place{m.ID, uid}, false})
		m.count(&r.Entry, -1)
		m.thinned = true
	}
	key := appendBoxKey(nil, m.ID)
	if len(list) < limit {
		t.Delete(key)
		return list, t.forget(m.ID)
	}
	t.Put(key, m.append(nil))
	return list, nil
}

// purge lets go of entries; after its last an email goes too, with what it
// said about its thread, and its body after the last email that has it. It
// takes as many round trips for a hundred as for one.
func (t *txn) purge(list []purged) error {
	if len(list) == 0 {
		return nil
	}
	want := make([][]byte, 0, 2*len(list))
	for i := range list {
		want = append(want, appendPlacesKey(nil, list[i].row.Email), appendRecordKey(nil, list[i].row.Email))
	}
	got, err := t.GetMany(want)
	if err != nil {
		return err
	}
	spots := make(map[mail.EmailID]*places)
	records := make(map[mail.EmailID][]byte)
	for i := range list {
		e := &list[i]
		t.Delete(e.key)
		t.head.goneBytes -= mail.ByteCount(e.row.Size)
		p := spots[e.row.Email]
		if p == nil {
			read, err := decodePlaces(got[2*i], e.at)
			if err != nil {
				return err
			}
			p = &read
			spots[e.row.Email], records[e.row.Email] = p, got[2*i+1]
		}
		if e.expunged {
			p.gone--
		} else {
			p.remove(e.at)
		}
	}
	var last []lastOf
	for id, p := range spots {
		if len(p.at) > 0 || p.gone > 0 {
			t.Put(appendPlacesKey(nil, id), p.append(nil))
			continue
		}
		if records[id] == nil {
			return fmt.Errorf("message %v: %w", id, errCorrupt)
		}
		r, err := decodeRecord(id, records[id])
		if err != nil {
			return err
		}
		t.Delete(appendPlacesKey(nil, id))
		last = append(last, lastOf{id, r})
	}
	return t.letGo(last)
}

// A lastOf is an email without places.
type lastOf struct {
	id     mail.EmailID
	record record
}

// letGo removes emails, what they said of threads, and their bodies.
func (t *txn) letGo(list []lastOf) error {
	slices.SortFunc(list, func(x, y lastOf) int { return cmp.Compare(x.id, y.id) })
	var want [][]byte
	for i := range list {
		e := &list[i]
		whole, err := e.record.complete(t, e.id)
		if err != nil {
			return err
		}
		m, err := message.Decode(whole)
		if err != nil {
			return fmt.Errorf("message %v: %w", e.id, err)
		}
		want = append(want, mentionKeys(m)...)
	}
	mentions := len(want)
	for i := range list {
		want = append(want, appendRefsKey(nil, &list[i].record.sum))
	}
	got, err := t.GetMany(want)
	if err != nil {
		return err
	}
	going := make(map[mail.EmailID]bool, len(list))
	for i := range list {
		going[list[i].id] = true
	}
	for i, b := range got[:mentions] {
		if b == nil {
			continue
		}
		m, err := decodeMention(b)
		if err != nil {
			return err
		}
		if going[m.email] {
			t.Delete(want[i])
		}
	}
	counts := make(map[blob.Sum]int64)
	for i := range list {
		e := &list[i]
		if e.record.thread != mail.ThreadID(e.id) {
			t.Delete(appendThreadKey(nil, e.record.thread, e.id))
		}
		n, known := counts[e.record.sum]
		if b := got[mentions+i]; !known && b != nil {
			if n, err = decodeRefs(b); err != nil {
				return err
			}
		} else if !known {
			n = 1
		}
		counts[e.record.sum] = n - 1
		t.countBody(&e.record, n-1)
		t.deleteRecord(e.id, &e.record)
	}
	return nil
}

// oldestDeleted gives the mailbox that has been deleted for longest, and that
// of those which hold something; nil for none.
func oldestDeleted(r kv.Reader) (oldest, full *box, err error) {
	all, err := readAllBoxes(r)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range all {
		if m.removed == 0 {
			continue
		}
		if oldest == nil || m.removed < oldest.removed {
			oldest = m
		}
		if m.Messages > 0 && (full == nil || m.removed < full.removed) {
			full = m
		}
	}
	return oldest, full, nil
}

// forgetChanges cuts the log of changes, and remembers where: whoever asks for
// older ones gets ErrTooOld. Reading when a change was is cheap, and cutting
// off any number is one deletion.
func (a *Account) forgetChanges(ctx context.Context, now time.Time, limit int) (int, error) {
	n := 0
	cut := now.Add(-a.store.o.Window).Unix()
	_, err := a.change(ctx, now, nil, nil, func(t *txn, _ [][]byte) error {
		n = 0
		last := t.head.forgotten
		for it, err := range t.Scan(appendChangeKey(nil, last+1, 0), []byte{keys.Change + 1}, kv.ScanOptions{Limit: 10 * limit}) {
			if err != nil {
				return err
			}
			m, second, err := changeTime(it)
			if err != nil {
				return err
			}
			if second >= cut && t.head.modseq-m < mail.ModSeq(a.store.o.MaxChanges) {
				break
			}
			last = m
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

// changeTime reads only when a change was made.
func changeTime(it kv.Item) (m mail.ModSeq, second int64, err error) {
	if len(it.Key) != 10 {
		return 0, 0, fmt.Errorf("key of a change: %w", errCorrupt)
	}
	m = mail.ModSeq(binary.BigEndian.Uint64(it.Key[1:]))
	d := decoder{b: it.Value}
	if format := d.byte(); format != changeFormat && format != changeBefore {
		d.bad = true
	}
	if second = d.varint(); d.bad {
		return 0, 0, fmt.Errorf("change %d: %w", m, errCorrupt)
	}
	return m, second, nil
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
