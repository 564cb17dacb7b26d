package mailbox

import (
	"encoding/binary"
	"fmt"

	"waxwing/mail"
	"waxwing/store/kv"
)

// readRows reads entries; those that are not there are left out. The UIDs are
// sorted. Rows share memory with the reader.
func readRows(r kv.Reader, m *box, uids []mail.UID) ([]row, error) {
	if dense(uids) {
		return scanRows(r, m, uids)
	}
	if len(uids) == 0 {
		return nil, nil
	}
	rows := make([]row, 0, len(uids))
	want := make([][]byte, len(uids))
	buf := make([]byte, 0, 9*len(uids))
	for i, uid := range uids {
		buf = appendEntryKey(buf, m.ID, uid)
		want[i] = buf[len(buf)-9 : len(buf) : len(buf)]
	}
	numbers := sheetNumbers(m, uids)
	for _, n := range numbers {
		want = append(want, appendSheetKey(nil, m.ID, n))
	}
	got, err := r.GetMany(want)
	if err != nil {
		return nil, err
	}
	over := sheets{id: m.ID}
	for i, n := range numbers {
		if b := got[len(uids)+i]; b != nil {
			over.add(n, b)
		}
	}
	for i, uid := range uids {
		if got[i] == nil {
			continue
		}
		e, err := decodeRow(uid, got[i])
		if err == nil {
			err = over.lay(&e)
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, e)
	}
	return rows, nil
}

// sheetNumbers gives the sheets in which UIDs may be, which are sorted.
func sheetNumbers(m *box, uids []mail.UID) []uint32 {
	if !m.sheets {
		return nil
	}
	var list []uint32
	for _, uid := range uids {
		if n := sheetOf(uid); len(list) == 0 || list[len(list)-1] != n {
			list = append(list, n)
		}
	}
	return list
}

// dense tells whether UIDs are so many and so close to each other that it is
// cheaper to go through all between the first and the last.
func dense(uids []mail.UID) bool {
	n := len(uids)
	return n >= 64 && uint64(uids[n-1]-uids[0]) < 4*uint64(n)
}

func scanRows(r kv.Reader, m *box, uids []mail.UID) ([]row, error) {
	rows := make([]row, 0, len(uids))
	var arena []byte
	var over sheets
	if m.sheets {
		var err error
		if over, err = readSheets(r, m.ID, uids[0], uids[len(uids)-1]); err != nil {
			return nil, err
		}
	}
	lo, hi := appendEntryKey(nil, m.ID, uids[0]), appendEntryKey(nil, m.ID, uids[len(uids)-1])
	for it, err := range r.Scan(lo, append(hi, 0), kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		if len(it.Key) != 9 {
			return nil, fmt.Errorf("key of an entry: %w", errCorrupt)
		}
		uid := mail.UID(binary.BigEndian.Uint32(it.Key[5:]))
		for len(uids) > 0 && uids[0] < uid {
			uids = uids[1:]
		}
		if len(uids) == 0 {
			break
		}
		if uids[0] != uid {
			continue
		}
		n := len(it.Value)
		if cap(arena)-len(arena) < n {
			arena = make([]byte, 0, max(16<<10, n))
		}
		arena = append(arena, it.Value...)
		e, err := decodeRow(uid, arena[len(arena)-n:len(arena):len(arena)])
		if err == nil {
			err = over.lay(&e)
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, e)
	}
	return rows, nil
}

// rows gives entries of a mailbox that the transaction has not changed yet, as
// readRows does. Where the mailbox is open and its view shows the very state
// that the transaction sees, the engine is not asked.
func (t *txn) rows(m *box, uids []mail.UID) ([]row, error) {
	s := t.a.follow.shown(m.ID)
	if s == nil || s.info != m.Info || s.gone || !t.a.keywords.whole() {
		return readRows(t, m, uids)
	}
	rows := make([]row, 0, len(uids))
	var rest []Entry // of the block where the last one was; most follow each other
	for _, uid := range uids {
		if len(rest) == 0 || rest[0].UID != uid {
			if rest = s.from(uid); len(rest) == 0 || rest[0].UID != uid {
				continue
			}
		}
		rows = append(rows, row{Entry: rest[0]})
		rest = rest[1:]
		if r := &rows[len(rows)-1]; r.Keywords != 0 {
			r.words = t.a.keywords.words(r.Keywords)
			r.Keywords = 0
		}
	}
	return rows, nil
}

// shown gives the newest snapshot of a mailbox, nil if it is not open.
func (f *follower) shown(id mail.MailboxID) *Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.views[id]; v != nil && v.loaded {
		return v.snapshot.Load()
	}
	return nil
}
