package mailbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// mark puts enough into a mailbox to be worth a sheet, and changes it at once.
func (w *ward) mark(t testing.TB) mail.MailboxID {
	t.Helper()
	m, err := w.CreateMailbox(t.Context(), "marked", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * sheetMin {
		w.add(t, m.ID, note(100+i))
	}
	w.set(t, m.ID, 1, 2*sheetMin, FlagChange{Op: FlagsAdd, Flags: mail.Flagged, Keywords: []mail.Keyword{"work"}})
	return m.ID
}

// set changes the flags of the UIDs between two, both included.
func (w *ward) set(t testing.TB, id mail.MailboxID, from, to int, c FlagChange) mail.ModSeq {
	t.Helper()
	var uids []mail.UID
	for uid := from; uid <= to; uid++ {
		uids = append(uids, mail.UID(uid))
	}
	done, err := w.SetFlags(t.Context(), id, uids, c)
	if err != nil {
		t.Fatal(err)
	}
	return done.ModSeq
}

// states reads a mailbox as a node that comes anew.
func (w *ward) states(t testing.TB, id mail.MailboxID) []string {
	t.Helper()
	s := New(w.db, w.blobs, Options{})
	defer s.Close()
	a := s.Account(1)
	v, err := a.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var list []string
	for _, e := range v.Snapshot().Entries(0) {
		list = append(list, fmt.Sprint(e.UID, e.Flags, e.ModSeq, a.Keywords(e.Keywords)))
	}
	return list
}

func (w *ward) count(t testing.TB, prefix byte) int {
	t.Helper()
	n := 0
	err := w.db.View(t.Context(), w.part, func(r kv.Reader) error {
		n = 0
		for _, err := range r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A sheet and the rows under it say the same to everybody: what was changed
// last holds, with the modseq that it got.
func TestSheet(t *testing.T) {
	w := newWard(t)
	const n = sheetUIDs + 200
	m, err := w.CreateMailbox(t.Context(), "m", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := blob.StageBytes(t.Context(), w.blobs, []byte(note(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for left := n; left > 0; {
		list := make([]NewEntry, min(left, 400))
		for i := range list {
			list[i] = NewEntry{Mailbox: m.ID, Body: b}
		}
		if _, err := w.Append(t.Context(), time.Unix(1e9, 0), list...); err != nil {
			t.Fatal(err)
		}
		left -= len(list)
	}
	type state struct {
		flags  mail.Flags
		modseq mail.ModSeq
		words  []mail.Keyword
	}
	want := make(map[mail.UID]state)
	v, err := w.Open(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range v.Snapshot().Entries(0) {
		want[e.UID] = state{modseq: e.ModSeq}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for step := range 60 {
		from := 1 + rnd.IntN(n)
		to := min(n, from+[]int{0, 3, 40, 700, n}[rnd.IntN(5)])
		c := FlagChange{Op: FlagOp(rnd.IntN(3)), Flags: []mail.Flags{mail.Seen, mail.Flagged | mail.Seen, mail.Deleted}[rnd.IntN(3)]}
		if rnd.IntN(4) == 0 {
			c.Keywords = []mail.Keyword{"work"}
		}
		if step%20 == 19 { // without a view
			v.Close()
			w.s.Close()
			w.s = New(w.db, w.blobs, Options{Resting: -1})
			w.Account = w.s.Account(1)
		}
		got := w.set(t, m.ID, from, to, c)
		for uid := mail.UID(from); uid <= mail.UID(to); uid++ {
			s := want[uid]
			next := state{c.Op.flags(s.flags, c.Flags), got, s.words}
			switch {
			case c.Op == FlagsReplace:
				next.words = c.Keywords
			case c.Keywords != nil && c.Op == FlagsAdd:
				next.words = c.Keywords
			case c.Keywords != nil:
				next.words = nil
			}
			if next.flags != s.flags || len(next.words) != len(s.words) {
				want[uid] = next
			}
		}
		if step%5 > 0 {
			continue
		}
		var list []string
		for uid := mail.UID(1); uid <= n; uid++ {
			s := want[uid]
			list = append(list, fmt.Sprint(uid, s.flags, s.modseq, s.words))
		}
		if have := w.states(t, m.ID); !slices.Equal(have, list) {
			for i := range list {
				if have[i] != list[i] {
					t.Fatalf("step %d: %s, should be %s", step, have[i], list[i])
				}
			}
		}
	}
	if w.count(t, keys.Sheet) == 0 {
		t.Error("no sheets")
	}
	if err := w.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// What many messages got goes with them: into another mailbox, into a deleted
// one and out of it, and sheets of nobody are swept.
func TestSheetGoesWithEntries(t *testing.T) {
	w := newWard(t)
	id := w.mark(t)
	if w.count(t, keys.Sheet) != 1 {
		t.Fatalf("%d sheets", w.count(t, keys.Sheet))
	}
	check := func(id mail.MailboxID, n int) {
		t.Helper()
		v, err := w.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if v.Snapshot().Len() != n {
			t.Errorf("%d messages, not %d", v.Snapshot().Len(), n)
		}
		for _, e := range v.Snapshot().Entries(0) {
			if !e.Flags.Has(mail.Flagged) || !slices.Contains(w.Keywords(e.Keywords), "work") {
				t.Errorf("message %d has %v %v", e.UID, e.Flags, w.Keywords(e.Keywords))
			}
		}
	}
	other, err := w.CreateMailbox(t.Context(), "other", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Copy(t.Context(), time.Now(), id, []mail.UID{1, 2}, other.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Move(t.Context(), time.Now(), id, []mail.UID{3, 4}, other.ID); err != nil {
		t.Fatal(err)
	}
	check(other.ID, 4)
	if _, _, err := w.Expunge(t.Context(), id, []mail.UID{5}, ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.DeleteMailbox(t.Context(), "marked"); err != nil {
		t.Fatal(err)
	}
	var lost []Lost
	for l, err := range w.Lost(t.Context(), LostOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		lost = append(lost, l)
	}
	if n, err := w.Recover(t.Context(), time.Now(), lost, other.ID); err != nil || n != 2*sheetMin-2 {
		t.Fatalf("%d came back, %v", n, err)
	}
	check(other.ID, 2*sheetMin+2)
	if err := w.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.sweepSheets(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := w.count(t, keys.Sheet); n != 0 {
		t.Errorf("%d sheets are left", n)
	}
	if err := w.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// A mailbox that is purged leaves no sheet.
func TestSheetIsPurged(t *testing.T) {
	w := newWard(t)
	w.mark(t)
	if err := w.DeleteMailbox(t.Context(), "marked"); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		var err error
		if n, err = w.Purge(t.Context(), time.Now().Add(60*24*time.Hour), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count(t, keys.Sheet); n != 0 {
		t.Errorf("%d sheets are left", n)
	}
}

// What is wrong with a sheet is found and mended; what can be read of it stays.
func TestRepairSheet(t *testing.T) {
	for name, damage := range map[string]func(w *ward, key, value []byte) (kept bool){
		"broken": func(w *ward, key, value []byte) bool {
			w.apply(t, func(tx kv.Txn) { tx.Put(key, value[:3]) })
			return false
		},
		"ahead": func(w *ward, key, value []byte) bool {
			w.apply(t, func(tx kv.Txn) { tx.Put(key, ahead(value)) })
			return true
		},
		"unknown": func(w *ward, key, value []byte) bool {
			w.apply(t, func(tx kv.Txn) { forgetSheets(t, tx, key) })
			return true
		},
		"of nobody": func(w *ward, key, value []byte) bool {
			w.apply(t, func(tx kv.Txn) { tx.Put(appendSheetKey(nil, 99, 0), value) })
			return true
		},
		"far away": func(w *ward, key, value []byte) bool {
			w.apply(t, func(tx kv.Txn) { tx.Put(appendSheetKey(nil, 9, 1<<31), value) })
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			id := w.mark(t)
			key, value := w.find(t, keys.Sheet, 0)
			kept := damage(w, key, value)
			if len(w.findings(t, CheckOptions{})) == 0 {
				t.Error("nothing was found")
			}
			w.findings(t, CheckOptions{Repair: true})
			if left := w.findings(t, CheckOptions{Deep: true}); len(left) > 0 {
				t.Errorf("after the repair: %+v", left)
			}
			s := New(w.db, w.blobs, Options{})
			defer s.Close()
			v, err := s.Account(1).Open(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			for _, e := range v.Snapshot().Entries(0) {
				if e.Flags.Has(mail.Flagged) != kept {
					t.Errorf("message %d has %v", e.UID, e.Flags)
				}
			}
		})
	}
}

// ahead gives a sheet whose modseq is from the future.
func ahead(value []byte) []byte {
	runs, err := decodeSheet(nil, 0, 0, value)
	if err != nil {
		panic(err)
	}
	for i := range runs {
		runs[i].state.modseq += 1000
	}
	return appendRunsOf(nil, 0, runs)
}

// forgetSheets makes the record of a sheet's mailbox one that knows of none.
func forgetSheets(t *testing.T, tx kv.Txn, key []byte) {
	id := boxOfKey(key)
	b, err := tx.Get(appendBoxKey(nil, id))
	if err != nil {
		t.Fatal(err)
	}
	m, err := decodeBox(id, b)
	if err != nil {
		t.Fatal(err)
	}
	m.sheets = false
	tx.Put(appendBoxKey(nil, id), m.append(nil))
}

// Laying a sheet over the rows gives what each UID got last.
func TestOverlay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const number = 3
		const base = mail.UID(number << sheetBits)
		want := make(map[mail.UID]sheetState)
		var runs []run
		for modseq := range mail.ModSeq(rapid.IntRange(1, 6).Draw(rt, "changes")) {
			var rows []row
			for uid := base + mail.UID(rapid.IntRange(0, 60).Draw(rt, "from")); uid < base+sheetUIDs && len(rows) < 50; uid += mail.UID(1 + rapid.IntRange(0, 2).Draw(rt, "gap")) {
				s := sheetState{mail.Flags(rapid.IntRange(0, 2).Draw(rt, "flags")), modseq + 1, rapid.SampledFrom([]string{"", "\x01", "\x01\x02"}).Draw(rt, "words")}
				rows = append(rows, row{Entry{UID: uid, Flags: s.flags, ModSeq: s.modseq}, []byte(s.words)})
				want[uid] = s
			}
			b := appendRunsOf(nil, number, overlay(runs, rows))
			var err error
			if runs, err = decodeSheet(nil, 1, number, b); err != nil {
				rt.Fatal(err)
			}
			if !bytes.Equal(appendRunsOf(nil, number, runs), b) {
				rt.Fatal("another sheet")
			}
		}
		s := sheets{id: 1}
		s.add(number, appendRunsOf(nil, number, runs))
		for range 500 {
			uid := base + mail.UID(rapid.IntRange(0, 200).Draw(rt, "uid"))
			r := row{Entry: Entry{UID: uid}}
			if err := s.lay(&r); err != nil {
				rt.Fatal(err)
			}
			if got := (sheetState{r.Flags, r.ModSeq, string(r.words)}); got != want[uid] {
				rt.Fatalf("%d is %+v, should be %+v", uid, got, want[uid])
			}
		}
	})
}

func FuzzSheet(f *testing.F) {
	f.Add(uint32(0), []byte{sheetFormat, 1, 7, 1, 6, 1, 1})
	f.Fuzz(func(t *testing.T, number uint32, b []byte) {
		runs, err := decodeSheet(nil, 1, number, b)
		if err != nil {
			return
		}
		last := int64(-1)
		for _, r := range runs {
			if int64(r.from) <= last || r.to < r.from || sheetOf(r.from) != number || sheetOf(r.to) != number || r.state.modseq == 0 {
				t.Fatalf("runs %+v", runs)
			}
			last = int64(r.to)
		}
		again, err := decodeSheet(nil, 1, number, appendRunsOf(nil, number, runs))
		if err != nil || !slices.Equal(runs, again) {
			t.Fatalf("%+v, again %+v, %v", runs, again, err)
		}
	})
}
