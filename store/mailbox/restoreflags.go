package mailbox

import (
	"context"
	"errors"
	"slices"

	"waxwing/mail"
)

// flags gives messages the flags of then: those that came with their
// mailboxes, and on demand those that are still there.
func (r *restoration) flags(ctx context.Context) error {
	if r.o.Message != "" {
		return nil
	}
	of := make(map[mail.MailboxID][]mail.UID)
	for at := range r.past.states {
		m := r.boxes[at.Mailbox]
		if m != nil && (r.comesBack[m.ID] || r.o.Flags && r.wanted(m.ID)) && r.past.was[at] == nil {
			of[m.ID] = append(of[m.ID], at.UID)
		}
	}
	for id, uids := range of {
		slices.Sort(uids)
		for part := range slices.Chunk(uids, flagBatch/4) {
			n := 0
			_, err := r.a.change(ctx, r.now, []mail.MailboxID{id}, nil, func(t *txn, _ [][]byte) (err error) {
				n, err = t.setStates(id, part, r.past)
				if r.o.DryRun {
					t.dirty = false
					return errDry
				}
				return err
			})
			if err != nil && !errors.Is(err, errDry) && !errors.Is(err, ErrNoMailbox) {
				return err
			}
			if r.o.Flags {
				r.done.Flags += n
			}
		}
	}
	return nil
}

// errDry ends a transaction that was only to be tried.
var errDry = errors.New("nothing was to be done")

// setStates gives entries the flags that they had.
func (t *txn) setStates(id mail.MailboxID, uids []mail.UID, p *past) (int, error) {
	m, err := t.box(id)
	if err != nil {
		return 0, err
	}
	rows, err := readRows(t, m, uids)
	if err != nil {
		return 0, err
	}
	ef := t.effect(m)
	written := rows[:0]
	var changed []mail.UID
	var emails []mail.EmailID
	var earlier []before
	for i := range rows {
		r := &rows[i]
		s := p.state(place{id, r.UID})
		flags := s.flags &^ mail.Deleted
		if flags == r.Flags && s.words == string(r.words) {
			continue
		}
		earlier = setBefore(earlier, r)
		m.count(&r.Entry, -1)
		r.Flags, r.words, r.ModSeq = flags, []byte(s.words), t.modseq()
		m.count(&r.Entry, 1)
		written = append(written, *r)
		changed, emails = append(changed, r.UID), append(emails, r.Email)
		if ef != nil {
			ef.upserts = append(ef.upserts, t.seen(r))
		}
	}
	if len(changed) == 0 {
		return 0, nil
	}
	t.logSet(m, changed, emails, earlier)
	return len(changed), t.putStates(m, written)
}
