package mailbox

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Sheets: what many entries have become at once.
//
// A STORE of a whole mailbox would write a row for each message. Where many
// neighbours change alike it writes one sheet for 1,024 UIDs in their place:
// runs of UIDs with the flags, the keywords and the modseq that they got. The
// rows stay as they are. What an entry is follows from both: the one with the
// higher modseq holds. So a later change of one entry writes its row, and does
// not touch the sheet; a later change of many writes the sheet anew.
//
// A run names no UID that had no entry when it was made, or that did not
// change. UIDs are never given twice, so what it says of an entry that has gone
// is said of nobody.
//
//	key: 'j', mailbox u32, number u32: the UIDs from number<<sheetBits on
//	version, {uvarint UIDs passed over, uvarint UIDs less one, uvarint flags,
//	  varint distance from the last modseq, uvarint length of words, words}...
//
// Mailboxes that have none, as most, say so in their record (box.sheets), and
// cost nobody a read.
const (
	sheetBits = 10
	sheetUIDs = 1 << sheetBits
	// sheetMin is how many changed entries are worth a sheet, which costs
	// whoever loads the mailbox a read.
	sheetMin = 8
	// sheetCost is what a row costs in octets, of key and value: a sheet that
	// is larger than the rows that it spares is not written.
	sheetCost = 64
	maxSheet  = 32 << 10
)

// A run is UIDs, both ends included, that got the same state at the same time.
type run struct {
	from, to mail.UID
	state    sheetState
}

type sheetState struct {
	flags  mail.Flags
	modseq mail.ModSeq
	words  string // as in a row
}

func sheetOf(uid mail.UID) uint32 { return uint32(uid) >> sheetBits }

func appendSheetKey(dst []byte, id mail.MailboxID, number uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, keys.Sheet), uint32(id))
	return binary.BigEndian.AppendUint32(dst, number)
}

func appendRunsOf(dst []byte, number uint32, runs []run) []byte {
	dst = append(dst, sheetFormat)
	next, modseq := mail.UID(number<<sheetBits), mail.ModSeq(0)
	for i := range runs {
		r := &runs[i]
		dst = binary.AppendUvarint(dst, uint64(r.from-next))
		dst = binary.AppendUvarint(dst, uint64(r.to-r.from))
		dst = binary.AppendUvarint(dst, uint64(r.state.flags))
		dst = binary.AppendVarint(dst, int64(r.state.modseq-modseq))
		dst = binary.AppendUvarint(dst, uint64(len(r.state.words)))
		dst = append(dst, r.state.words...)
		next, modseq = r.to+1, r.state.modseq
	}
	return dst
}

// decodeSheet adds the runs of a sheet to list.
func decodeSheet(list []run, id mail.MailboxID, number uint32, b []byte) ([]run, error) {
	corrupt := fmt.Errorf("sheet %d of mailbox %v: %w", number, id, errCorrupt)
	d := decoder{b: b}
	if d.byte() != sheetFormat || number > sheetOf(math.MaxUint32) {
		return nil, corrupt
	}
	next, modseq := uint64(number)<<sheetBits, int64(0)
	end := next + sheetUIDs
	for len(d.b) > 0 {
		from := next + min(d.uvarint(), sheetUIDs)
		to := from + min(d.uvarint(), sheetUIDs)
		flags := d.uvarint()
		modseq += d.varint()
		words := d.bytes(d.uvarint())
		if d.bad || to >= end || from == 0 || flags > math.MaxUint16 || modseq <= 0 {
			return nil, corrupt
		}
		state := sheetState{flags: mail.Flags(flags), modseq: mail.ModSeq(modseq)}
		if len(words) > 0 {
			state.words = string(words)
		}
		list = append(list, run{mail.UID(from), mail.UID(to), state})
		next = to + 1
	}
	return list, nil
}

// A sheets has the sheets of a part of a mailbox, to be laid over rows. The
// zero value has none.
type sheets struct {
	id    mail.MailboxID
	list  []rawSheet // in order
	runs  []run      // of the one that is open
	open  uint32     // its number and one more; 0 if none is
	at    int        // where in runs the last row was
	loose bool       // those that cannot be read count as none
}

type rawSheet struct {
	number uint32
	octets []byte
}

// readSheets reads the sheets of the UIDs between two, both included.
func readSheets(r kv.Reader, id mail.MailboxID, from, to mail.UID) (sheets, error) {
	s := sheets{id: id}
	lo, hi := appendSheetKey(nil, id, sheetOf(from)), appendSheetKey(nil, id, sheetOf(to))
	for it, err := range r.Scan(lo, append(hi, 0), kv.ScanOptions{}) {
		if err != nil {
			return s, err
		}
		if len(it.Key) != 9 {
			continue // nobody looks for it
		}
		s.add(binary.BigEndian.Uint32(it.Key[5:]), slices.Clone(it.Value))
	}
	return s, nil
}

// allSheets reads all sheets of a mailbox, if it has any.
func allSheets(r kv.Reader, m *box) (sheets, error) {
	if !m.sheets {
		return sheets{}, nil
	}
	return readSheets(r, m.ID, 0, math.MaxUint32)
}

// looseSheets is for those who check and mend: it reads the sheets whatever
// the mailbox's record says, and those that cannot be read count as none.
func looseSheets(r kv.Reader, id mail.MailboxID, from, to mail.UID) (sheets, error) {
	s, err := readSheets(r, id, from, to)
	s.loose = true
	return s, err
}

// looseRow decodes a row for them, and lays its sheet over it.
func looseRow(r kv.Reader, id mail.MailboxID, uid mail.UID, b []byte) (row, error) {
	e, err := decodeRow(uid, b)
	if err != nil {
		return row{}, err
	}
	s, err := looseSheets(r, id, uid, uid)
	if err != nil {
		return row{}, err
	}
	return e, s.lay(&e)
}

func (s *sheets) add(number uint32, octets []byte) {
	s.list = append(s.list, rawSheet{number, octets})
}

// lay makes a row what the sheets say that its entry is. Rows mostly come in
// the order of their UIDs.
func (s *sheets) lay(r *row) error {
	if len(s.list) == 0 {
		return nil
	}
	if err := s.turn(sheetOf(r.UID)); err != nil {
		return err
	}
	if s.at >= len(s.runs) || r.UID < s.runs[s.at].from || r.UID > s.runs[s.at].to {
		s.at = sort.Search(len(s.runs), func(i int) bool { return s.runs[i].to >= r.UID })
	}
	if s.at == len(s.runs) || r.UID < s.runs[s.at].from {
		return nil
	}
	if state := &s.runs[s.at].state; state.modseq > r.ModSeq {
		r.Flags, r.ModSeq, r.words = state.flags, state.modseq, []byte(state.words)
	}
	return nil
}

// turn opens a sheet.
func (s *sheets) turn(number uint32) (err error) {
	if s.open == number+1 {
		return nil
	}
	s.open, s.at, s.runs = number+1, 0, s.runs[:0]
	i, found := slices.BinarySearchFunc(s.list, number, func(a rawSheet, n uint32) int { return int(int64(a.number) - int64(n)) })
	if !found {
		return nil
	}
	s.runs, err = decodeSheet(s.runs, s.id, number, s.list[i].octets)
	if err != nil {
		s.runs = nil
		if s.loose {
			return nil
		}
	}
	return err
}

// putStates writes what has become of entries, by UID, whose flags, keywords
// and modseq alone have changed.
func (t *txn) putStates(m *box, rows []row) error {
	groups := 0
	var want [][]byte
	for part := range bySheet(rows) {
		if groups++; len(part) >= sheetMin {
			want = append(want, appendSheetKey(nil, m.ID, sheetOf(part[0].UID)))
		}
	}
	got := make([][]byte, len(want))
	if m.sheets && len(want) > 0 {
		var err error
		if got, err = t.GetMany(want); err != nil {
			return err
		}
	}
	for part := range bySheet(rows) {
		if len(part) < sheetMin {
			t.putRows(m.ID, part)
			continue
		}
		written, err := t.putSheet(m.ID, part, want[0], got[0])
		if err != nil {
			return err
		}
		if written {
			m.sheets = true
		} else {
			t.putRows(m.ID, part)
		}
		want, got = want[1:], got[1:]
	}
	return nil
}

// bySheet goes through rows, those of one sheet at a time.
func bySheet(rows []row) func(yield func([]row) bool) {
	return func(yield func([]row) bool) {
		for len(rows) > 0 {
			number := sheetOf(rows[0].UID)
			n := sort.Search(len(rows), func(i int) bool { return sheetOf(rows[i].UID) > number })
			if !yield(rows[:n:n]) {
				return
			}
			rows = rows[n:]
		}
	}
}

func (t *txn) putRows(id mail.MailboxID, rows []row) {
	var key [9]byte
	for i := range rows {
		t.scratch = rows[i].append(t.scratch[:0])
		t.Put(appendEntryKey(key[:0], id, rows[i].UID), t.scratch)
	}
}

// putSheet writes a sheet with the new states of rows, unless it is larger than
// they are. old is what the sheet was, nil if there was none.
func (t *txn) putSheet(id mail.MailboxID, rows []row, key, old []byte) (bool, error) {
	number := sheetOf(rows[0].UID)
	var runs []run
	if old != nil {
		var err error
		if runs, err = decodeSheet(nil, id, number, old); err != nil {
			return false, err
		}
	}
	t.scratch = appendRunsOf(t.scratch[:0], number, overlay(runs, rows))
	if len(t.scratch) > min(maxSheet, sheetCost*len(rows)) {
		return false, nil
	}
	t.Put(key, t.scratch)
	return true, nil
}

// overlay gives the runs of a sheet after rows have changed.
func overlay(runs []run, rows []row) []run {
	var of [sheetUIDs]int32 // state of each UID, as its place in states and one more
	states := make([]*sheetState, 0, len(runs)+1)
	base := mail.UID(sheetOf(rows[0].UID) << sheetBits)
	for i := range runs {
		states = append(states, &runs[i].state)
		for uid := runs[i].from; uid <= runs[i].to; uid++ {
			of[uid-base] = int32(len(states))
		}
	}
	for i := range rows {
		r := &rows[i]
		if n := len(states); i == 0 || states[n-1].flags != r.Flags || states[n-1].words != string(r.words) {
			states = append(states, &sheetState{r.Flags, r.ModSeq, string(r.words)})
		}
		of[r.UID-base] = int32(len(states))
	}
	out := make([]run, 0, len(runs)+1)
	for i := 0; i < sheetUIDs; {
		n := i + 1
		for n < sheetUIDs && of[n] == of[i] {
			n++
		}
		if of[i] > 0 {
			out = append(out, run{base + mail.UID(i), base + mail.UID(n) - 1, *states[of[i]-1]})
		}
		i = n
	}
	return out
}

// dropSheets removes all sheets of a mailbox.
func (t *txn) dropSheets(id mail.MailboxID) {
	lo := appendSheetKey(nil, id, 0)
	t.Txn.DeleteRange(lo, kv.PrefixEnd(lo[:5]))
}
