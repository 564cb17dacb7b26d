package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
)

// How many entries one transaction changes, so that it keeps within the
// limits of keys (10,000) and of octets.
const (
	flagBatch    = 40_000 // a sheet for a thousand of them, or else a key each
	copyBatch    = 4500   // two keys
	expungeBatch = 3000   // three keys
)

// A FlagOp says how flags change. RFC 9051 §6.4.6
type FlagOp uint8

// The ways of STORE.
const (
	FlagsReplace FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// A FlagChange says what is to become of flags and keywords.
type FlagChange struct {
	Op       FlagOp
	Flags    mail.Flags
	Keywords []mail.Keyword

	// UnchangedSince, when it is not nil, leaves alone what has changed
	// after it. RFC 7162 §3.1.3
	UnchangedSince *mail.ModSeq

	// Keep are flags that stay as they are, and KeepKeywords has all keywords
	// stay: who makes the change has no right to theirs. RFC 4314 §4
	Keep         mail.Flags
	KeepKeywords bool
}

// A SetResult tells what SetFlags did.
type SetResult struct {
	ModSeq   mail.ModSeq // of the last change; zero if nothing changed
	Modified []mail.UID  // left alone because of UnchangedSince
}

// SetFlags changes the flags of entries. UIDs without an entry are ignored.
func (a *Account) SetFlags(ctx context.Context, mbox mail.MailboxID, uids []mail.UID, c FlagChange) (SetResult, error) {
	if err := checkKeywords(c.Keywords); err != nil {
		return SetResult{}, err
	}
	var done SetResult
	err := batches(sorted(uids), flagBatch, func(uids []mail.UID) error {
		var modified []mail.UID
		changed := false
		m, err := a.change(ctx, time.Now(), []mail.MailboxID{mbox}, nil, func(t *txn, _ [][]byte) (err error) {
			modified, err = t.setFlags(mbox, uids, c)
			changed = t.dirty
			return err
		})
		if err != nil {
			return err
		}
		if changed {
			done.ModSeq = m
		}
		done.Modified = append(done.Modified, modified...)
		return nil
	})
	return done, err
}

// sorted gives a sorted copy without doubles, and without zeros.
func sorted(uids []mail.UID) []mail.UID {
	uids = slices.Clone(uids)
	if !slices.IsSorted(uids) {
		slices.Sort(uids)
	}
	uids = slices.Compact(uids)
	if len(uids) > 0 && uids[0] == 0 {
		uids = uids[1:]
	}
	return uids
}

// batches runs fn on parts of a list, smaller ones where a transaction would
// be too large.
func batches(uids []mail.UID, size int, fn func([]mail.UID) error) error {
	for len(uids) > 0 {
		n := min(size, len(uids))
		err := fn(uids[:n])
		if errors.Is(err, kv.ErrTooLarge) && n > 1 {
			size = (n + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

func (t *txn) setFlags(id mail.MailboxID, uids []mail.UID, c FlagChange) ([]mail.UID, error) {
	m, err := t.box(id)
	if err != nil {
		return nil, err
	}
	rows, err := t.rows(m, uids)
	if err != nil {
		return nil, err
	}
	var modified []mail.UID
	if c.UnchangedSince != nil {
		rows = slices.DeleteFunc(rows, func(r row) bool {
			if r.ModSeq > *c.UnchangedSince {
				modified = append(modified, r.UID)
				return true
			}
			return false
		})
	}
	if len(rows) == 0 { // nor are there new keywords
		return modified, nil
	}
	if c.KeepKeywords {
		c.Keywords = nil
	}
	words, err := t.numberKeywords(c.Keywords, c.Op != FlagsRemove)
	if err != nil {
		return nil, err
	}
	ef := t.effect(m)
	if ef != nil {
		ef.upserts = slices.Grow(ef.upserts, len(rows))
	}
	change := wording{op: c.Op, given: words, keep: c.KeepKeywords}
	written := rows[:0]
	changed := make([]mail.UID, 0, len(rows))
	emails := make([]mail.EmailID, 0, len(rows))
	var earlier []before
	for i := range rows {
		r := &rows[i]
		flags := c.Op.flags(r.Flags, c.Flags&settable)&^c.Keep | r.Flags&c.Keep
		newWords, same, err := t.reword(&change, r.words)
		if err != nil {
			return nil, err
		}
		if same && flags == r.Flags {
			continue
		}
		m.count(&r.Entry, -1)
		earlier = setBefore(earlier, r)
		r.Flags, r.words, r.ModSeq = flags, newWords, t.modseq()
		m.count(&r.Entry, 1)
		written = append(written, *r)
		changed, emails = append(changed, r.UID), append(emails, r.Email)
		if ef != nil {
			ef.upserts = append(ef.upserts, t.seen(r))
		}
	}
	if len(changed) == 0 {
		return modified, nil
	}
	t.logSet(m, changed, emails, earlier)
	return modified, t.putStates(m, written)
}

func (op FlagOp) flags(old, given mail.Flags) mail.Flags {
	switch op {
	case FlagsAdd:
		return old | given
	case FlagsRemove:
		return old &^ given
	}
	return given
}

// A wording is what a change makes of keywords. Neighbours mostly have the
// same: what the last one had and got is kept.
type wording struct {
	op    FlagOp
	given []uint32
	keep  bool // all stay

	old, next []byte
	same      bool
	some      bool // there was one
}

// reword gives the keywords of a row after the change; same tells that they
// are what they were.
func (t *txn) reword(w *wording, old []byte) (words []byte, same bool, err error) {
	if w.keep {
		return old, true, nil
	}
	if !w.some || string(w.old) != string(old) {
		next, same, err := w.op.words(old, w.given)
		if err != nil {
			return nil, false, err
		}
		if !same && t.a.keywords.full(next) {
			return nil, false, fmt.Errorf("sets of keywords: %w", ErrTooMany)
		}
		w.some, w.old, w.next, w.same = true, old, next, same
	}
	if w.same {
		return old, true, nil
	}
	return w.next, false, nil
}

// words gives the keywords of a row after the change; same tells that they
// are what they were.
func (op FlagOp) words(old []byte, given []uint32) (words []byte, same bool, err error) {
	if len(given) == 0 && (op != FlagsReplace || len(old) == 0) {
		return old, true, nil
	}
	next := given
	if op != FlagsReplace {
		have := wordNumbers(old)
		if op == FlagsAdd {
			next = slices.Compact(slices.Sorted(slices.Values(append(have, given...))))
		} else {
			next = slices.DeleteFunc(have, func(n uint32) bool { return slices.Contains(given, n) })
		}
	}
	if len(next) > maxEntryKeywords {
		return nil, false, ErrTooMany
	}
	words = appendWords(nil, next)
	return words, string(words) == string(old), nil
}
