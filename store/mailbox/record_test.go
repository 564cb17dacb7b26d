package mailbox

import (
	"reflect"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// What is written is read back.
func TestRecords(t *testing.T) {
	h := head{1, 2, 3, 4, 5, 6, -1, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	if got, err := decodeHead(h.append(nil)); err != nil || got != h {
		t.Errorf("head is %+v, %v", got, err)
	}
	h.maxNotes = 0
	old := h.append([]byte(nil))
	if got, err := decodeHead(old); err != nil || got != h || old[0] != 4 {
		t.Errorf("head of format %d is %+v, %v", old[0], got, err)
	}
	old = append([]byte{3}, old[1:len(old)-3*8]...)
	if got, err := decodeHead(old); err != nil || got.stamp != 16 || got.maxMessages != 0 {
		t.Errorf("head of format 3 is %+v, %v", got, err)
	}
	old = append([]byte{2}, old[1:len(old)-8]...)
	if got, err := decodeHead(old); err != nil || got.recoverable != 15 || got.stamp != 0 {
		t.Errorf("head of format 2 is %+v, %v", got, err)
	}
	old = append([]byte{1}, old[1:len(old)-8]...)
	if got, err := decodeHead(old); err != nil || got.pending != 14 || got.recoverable != 0 {
		t.Errorf("head of format 1 is %+v, %v", got, err)
	}
	for _, sheets := range []bool{false, true} {
		m := box{Info{7, "a/b", mail.RoleImportant, true, 9, 10, 11, 12, 13, 14, 15, true}, 16, true, sheets}
		b := m.append(nil)
		if got, err := decodeBox(7, b); err != nil || got != m || (b[0] == boxFormat) == sheets {
			t.Errorf("box is %+v of format %d, %v", got, b[0], err)
		}
	}
	r := row{Entry{UID: 1, Size: 2, Email: 3, ModSeq: 4, Internal: -5, Saved: 6, Flags: 7}, []byte{1, 2}}
	b := r.append(nil)
	if got, err := decodeRow(1, b); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("row is %+v, %v", got, err)
	}
	if len(b)+len(appendEntryKey(nil, 1, 1)) > 64 {
		t.Errorf("row takes %d octets", len(b))
	}
	p := places{3, []place{{1, 2}, {3, 4}}}
	if got, err := decodePlaces(p.append(nil), place{}); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("places are %+v, %v", got, err)
	}
	c := copyMark{true, 5, 6, []uidRange{{7, 8}}}
	if got, err := decodeMark(c.encode()); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("mark is %+v, %v", got, err)
	}
	a := Appended{1, 2, 3, 4, 5, 6}
	if got, err := decodeToken(appendToken(nil, &a)); err != nil || got != a {
		t.Errorf("token is %+v, %v", got, err)
	}
}

// A change of any size comes back whole, in parts that fit a value.
func TestLargeChange(t *testing.T) {
	db := memkv.New()
	defer db.Close()
	var of Affected
	of.Mailbox = 3
	for i := range 9000 {
		of.UIDs = append(of.UIDs, mail.UID(1+i*400_000))
		of.Emails = append(of.Emails, mail.EmailID(uint64(1<<60)-uint64(i)*(1<<40)))
	}
	items := []item{{kind: byte(MailboxChanged), mailbox: 3}, {itemChanged, 3, of}, {itemVanished, 4, Affected{Mailbox: 4, UIDs: of.UIDs[:1], Emails: of.Emails[:1]}}}
	err := kv.Apply(t.Context(), db, 1, func(tx kv.Txn) error { return putChange(tx, nil, 7, time.Unix(100, 0), items) })
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), 1, func(r kv.Reader) error {
		n := 0
		for c, err := range changesIn(r, 6, 0) {
			if err != nil {
				return err
			}
			n++
			var got Affected
			for _, part := range c.Changed {
				got.UIDs, got.Emails = append(got.UIDs, part.UIDs...), append(got.Emails, part.Emails...)
			}
			got.Mailbox = 3
			if !reflect.DeepEqual(got, of) || len(c.Vanished) != 1 || len(c.Mailboxes) != 1 || c.ModSeq != 7 || c.Time.Unix() != 100 {
				t.Errorf("change %d has %d entries", c.ModSeq, len(got.UIDs))
			}
		}
		if n != 1 {
			t.Errorf("%d changes", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Reading damaged records gives errors, not panics.
func FuzzRecords(f *testing.F) {
	h := head{modseq: 1}
	m := box{Info: Info{ID: 1, Name: "x"}}
	rec := record{thread: 1, where: bodyInline, prefix: []byte("x"), message: []byte("y")}
	f.Add(h.append(nil))
	f.Add(m.append(nil))
	f.Add(append(rec.appendFixed([]byte{recordFormat}), rec.message...))
	f.Add(append(rec.appendFixed([]byte{recordParts}), 9, 'y'))
	f.Add((&places{1, []place{{1, 1}}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeHead(b)
		decodeBox(1, b)
		decodeRow(1, b)
		decodePlaces(b, place{})
		decodeRecord(1, b)
		decodeMark(b)
		decodeToken(b)
		decodeRelease(b)
		decodeRefs(b)
		decodeMention(b)
		decodeChange(new(Change), b)
	})
}
