package mailbox

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Lost is an entry that is gone and can still be recovered: it was
// expunged, or went with its mailbox.
type Lost struct {
	Mailbox mail.MailboxID // where it was
	Entry   Entry          // as it was
	Gone    time.Time
	Whole   bool // its mailbox is deleted, and it in it

	key []byte
}

// Mark gives the place of l in the list of what is lost, for LostOptions.
func (l Lost) Mark() string { return hex.EncodeToString(l.key) }

// LostOptions choose among what is lost; the zero value chooses all.
type LostOptions struct {
	Since time.Time // only what went then or later
	After string    // only what follows the Lost with this Mark
}

// Lost goes through what can be recovered: what was expunged, the oldest
// first, and then the deleted mailboxes, each with all that it holds.
func (a *Account) Lost(ctx context.Context, o LostOptions) iter.Seq2[Lost, error] {
	return func(yield func(Lost, error) bool) {
		after, err := hex.DecodeString(o.After)
		if err != nil {
			yield(Lost{}, fmt.Errorf("place in the list: %w", err))
			return
		}
		from := appendGoneKey(nil, o.Since.Unix(), 0, 0)
		switch {
		case len(after) > 0 && after[0] == keys.Entry:
			from = nil
		case len(after) > 0:
			from, after = append(after, 0), nil
		}
		if from != nil && !a.lostRows(ctx, from, []byte{keys.Gone + 1}, nil, yield) {
			return
		}
		boxes, err := a.LostMailboxes(ctx)
		if err != nil {
			yield(Lost{}, err)
			return
		}
		for _, m := range boxes {
			from := appendEntryKey(nil, m.ID, 0)
			end := kv.PrefixEnd(from[:5])
			if len(after) > 0 && string(after) >= string(from) {
				if string(after) >= string(end) {
					continue
				}
				from = append(after, 0)
			}
			if m.Gone.Unix() >= o.Since.Unix() && !a.lostRows(ctx, from, end, &m, yield) {
				return
			}
		}
	}
}

// lostRows goes through expunged rows, or those of a deleted mailbox, a page
// at a time. It tells whether to go on.
func (a *Account) lostRows(ctx context.Context, from, end []byte, m *LostMailbox, yield func(Lost, error) bool) bool {
	const page = 1000
	for {
		var list []Lost
		err := a.view(ctx, func(r kv.Reader, h *head) error {
			list = list[:0]
			if err := a.learnKeywords(r, h); err != nil {
				return err
			}
			var over sheets
			if m != nil {
				var err error
				if over, err = readSheets(r, m.ID, mail.UID(binary.BigEndian.Uint32(from[5:9])), math.MaxUint32); err != nil {
					return err
				}
			}
			for it, err := range r.Scan(from, end, kv.ScanOptions{Limit: page}) {
				if err != nil {
					return err
				}
				l, err := a.decodeLost(it, m, &over)
				if err != nil {
					return err
				}
				list = append(list, l)
			}
			return nil
		})
		if err != nil {
			yield(Lost{}, err)
			return false
		}
		for _, l := range list {
			if !yield(l, nil) {
				return false
			}
		}
		if len(list) < page {
			return true
		}
		from = append(slices.Clone(list[page-1].key), 0)
	}
}

// decodeLost reads an expunged row, or one of a deleted mailbox.
func (a *Account) decodeLost(it kv.Item, m *LostMailbox, over *sheets) (Lost, error) {
	if m != nil {
		e, err := a.decodeEntry(it, over)
		return Lost{m.ID, e, m.Gone, true, slices.Clone(it.Key)}, err
	}
	g, err := decodeGone(it)
	if err != nil {
		return Lost{}, err
	}
	g.row.Keywords = a.keywords.intern(g.row.words)
	return Lost{g.id, g.row.Entry, time.Unix(g.second, 0).UTC(), false, g.key}, nil
}

// recoverBatch is how many entries one transaction brings back: three keys
// each, and short enough for deliveries to walk between.
const recoverBatch = 1000

// A recovery is an entry that is to come back.
type recovery struct {
	Lost
	state *before        // its flags and keywords, if not those with which it went
	was   mail.MailboxID // where it is to be again, for Restore
}

// Recover brings back what is lost, into a mailbox of the caller's choice,
// under new UIDs and without the flag Deleted. What has been purged or
// recovered meanwhile is left out. It gives how many came back.
func (a *Account) Recover(ctx context.Context, now time.Time, lost []Lost, to mail.MailboxID) (int, error) {
	list := make([]recovery, len(lost))
	for i, l := range lost {
		list[i].Lost = l
	}
	return a.recover(ctx, now, list, to)
}

func (a *Account) recover(ctx context.Context, now time.Time, list []recovery, to mail.MailboxID) (int, error) {
	n := 0
	for part := range slices.Chunk(list, recoverBatch) {
		boxes := []mail.MailboxID{to}
		for _, l := range part {
			if l.Whole {
				boxes = addBox(boxes, l.Mailbox)
			}
		}
		back := 0
		_, err := a.change(ctx, now, boxes, nil, func(t *txn, _ [][]byte) (err error) {
			back, err = t.recover(part, to)
			return err
		})
		if err != nil {
			return n, err
		}
		n += back
	}
	return n, nil
}

func (t *txn) recover(list []recovery, to mail.MailboxID) (int, error) {
	m, err := t.box(to)
	if err != nil {
		return 0, err
	}
	want := make([][]byte, 0, 2*len(list))
	for _, l := range list {
		want = append(want, l.key, appendPlacesKey(nil, l.Entry.Email))
	}
	got, err := t.GetMany(want)
	if err != nil {
		return 0, err
	}
	var rows []row
	over := make(map[mail.MailboxID]*sheets)
	spots := make(map[mail.EmailID]*places)
	back := make(map[string]bool, len(list))
	for i := range list {
		l := &list[i]
		if got[2*i] == nil || back[string(l.key)] {
			continue
		}
		r, err := decodeRow(l.Entry.UID, got[2*i])
		if err == nil && l.Whole {
			err = t.layDeleted(l.Mailbox, &r, over)
		}
		if err != nil {
			return 0, err
		}
		if r.Email != l.Entry.Email || l.Whole && !t.leaveDeleted(l.Mailbox, &r) {
			continue
		}
		back[string(l.key)] = true
		p := spots[r.Email]
		if p == nil {
			read, err := decodePlaces(got[2*i+1], place{l.Mailbox, l.Entry.UID})
			if err != nil {
				return 0, err
			}
			p = &read
			spots[r.Email] = p
		}
		if l.Whole {
			p.remove(place{l.Mailbox, l.Entry.UID})
		} else {
			p.gone--
		}
		t.Delete(l.key)
		if l.state != nil {
			r.Flags, r.words = l.state.flags, []byte(l.state.words)
		}
		t.head.goneBytes -= mail.ByteCount(r.Size)
		rows = append(rows, r)
	}
	return len(rows), t.comeBack(m, rows, spots)
}

// layDeleted lays the sheets of a deleted mailbox over a row of it.
func (t *txn) layDeleted(id mail.MailboxID, r *row, known map[mail.MailboxID]*sheets) error {
	over := known[id]
	if over == nil {
		s, err := readSheets(t, id, 0, math.MaxUint32)
		if err != nil {
			return err
		}
		over = &s
		known[id] = over
	}
	return over.lay(r)
}

// leaveDeleted counts an entry out of the deleted mailbox that holds it; false
// if there is no such mailbox any longer.
func (t *txn) leaveDeleted(id mail.MailboxID, r *row) bool {
	for _, m := range t.boxes {
		if m.ID == id && m.removed != 0 {
			m.count(&r.Entry, -1)
			m.thinned = true
			m.HighestModSeq = t.modseq() // so that it is written
			return true
		}
	}
	return false
}

// comeBack puts rows into a mailbox under new UIDs.
func (t *txn) comeBack(m *box, rows []row, spots map[mail.EmailID]*places) error {
	if err := t.checkQuota(rows); err != nil {
		return err
	}
	if uint64(m.UIDNext)+uint64(len(rows)) > math.MaxUint32 {
		return fmt.Errorf("UIDs of mailbox %v: %w", m.ID, ErrTooMany)
	}
	ef := t.effect(m)
	uids := make([]mail.UID, 0, len(rows))
	emails := make([]mail.EmailID, 0, len(rows))
	var key [9]byte
	for i := range rows {
		r, p := &rows[i], spots[rows[i].Email]
		if len(p.at) >= maxPlaces {
			return fmt.Errorf("copies of message %v: %w", r.Email, ErrTooMany)
		}
		r.UID, r.ModSeq, r.Saved = m.UIDNext, t.modseq(), savedAt(t.now)
		r.Flags &^= mail.Deleted
		m.UIDNext++
		p.at = append(p.at, place{m.ID, r.UID})
		t.scratch = r.append(t.scratch[:0])
		t.Put(appendEntryKey(key[:0], m.ID, r.UID), t.scratch)
		t.countIn(m, r)
		uids, emails = append(uids, r.UID), append(emails, r.Email)
		if ef != nil {
			ef.upserts = append(ef.upserts, t.seen(r))
		}
	}
	if len(rows) > 0 {
		t.log(itemCreated, m, uids, emails)
	}
	t.putPlaces(spots)
	return nil
}

// A LostMailbox is a deleted mailbox that can still be recovered.
type LostMailbox struct {
	Info
	Gone time.Time
}

// LostMailboxes lists the deleted mailboxes that can be recovered.
func (a *Account) LostMailboxes(ctx context.Context) ([]LostMailbox, error) {
	var list []LostMailbox
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		list = list[:0]
		all, err := readAllBoxes(r)
		for _, m := range all {
			if m.removed != 0 {
				list = append(list, LostMailbox{m.Info, time.Unix(m.removed, 0).UTC()})
			}
		}
		return err
	})
	return list, err
}

// RecoverMailbox brings a deleted mailbox back with all that it held, under a
// name that is free; mailboxes above it are made when they are missing. Its
// UIDs are what they were, its role too, unless another mailbox has that now;
// it is subscribed if it was. What has been purged of it stays away; then its
// UIDVALIDITY is new, for no change tells that something is missing.
func (a *Account) RecoverMailbox(ctx context.Context, id mail.MailboxID, name string) (Info, error) {
	name, err := CleanName(name)
	if err != nil {
		return Info{}, err
	}
	var back Info
	_, err = a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		boxes, err := t.readNames()
		if err != nil {
			return err
		}
		bare := t.named(name)
		if bare != nil && !bare.NoSelect {
			return ErrExists
		}
		for _, parent := range parents(name) {
			if _, err := t.makeMailbox(parent, mail.RoleNone); err != nil && !errors.Is(err, ErrExists) {
				return err
			}
		}
		got, err := t.GetMany([][]byte{appendBoxKey(nil, id), appendSubscriptionKey(nil, name)})
		if err != nil {
			return err
		}
		if got[0] == nil {
			return ErrNoMailbox
		}
		m, err := decodeBox(id, got[0])
		if err != nil {
			return err
		}
		if m.removed == 0 {
			return ErrNoMailbox
		}
		if !t.a.store.fits(&t.head, m.Size, m.Messages) {
			return ErrOverQuota
		}
		if bare != nil { // it kept the place of the mailbox
			t.removeBox(bare, t.now)
		}
		if slices.ContainsFunc(boxes, func(b *box) bool { return b.Role == m.Role }) {
			m.Role = mail.RoleNone
		}
		if m.Subscribed && got[1] == nil {
			if err := t.subscribe(name); err != nil {
				return err
			}
		}
		m.Name, m.removed, m.Subscribed = name, 0, m.Subscribed || got[1] != nil
		if m.thinned {
			t.head.validity++
			m.UIDValidity, m.thinned = t.head.validity, false
		}
		t.head.boxes++
		t.head.bytes += m.Size
		t.head.messages += int64(m.Messages)
		t.head.goneBytes -= m.Size
		t.boxes = append(t.boxes, &m)
		t.changeBox(MailboxCreated, &m)
		back = m.Info
		return nil
	})
	return back, err
}

// keepEmpty tells whether a deleted mailbox without messages is kept for the
// sake of those that were expunged from it before. What has never held any is
// not, nor is a bare name; and there are only so many, since their makers may
// be scripts.
func (t *txn) keepEmpty(m *box) bool {
	return m.UIDNext > 1 && !m.NoSelect && t.removed < maxEmpty
}

const maxEmpty = 1000
