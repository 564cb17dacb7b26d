package imap

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
	"weak"

	"waxwing/obs"
	"waxwing/store/mailbox"
	"waxwing/store/opened"
	"waxwing/store/search"
	"waxwing/store/sheaves"
)

// What was in memory comes back after a start: mailboxes that were open or rested,
// and answers about them, as far as they are stored. Whoever comes meanwhile opens
// a mailbox as ever, which is loaded once, by who is first.

const (
	// noteEvery is how often it is noted what is in memory, for the next start.
	noteEvery = time.Minute
	// leastNoted is how many messages a mailbox has that is worth it: smaller ones
	// are opened in no time.
	leastNoted = 128
	// maxNoted bounds the sheaves that are looked at, the last used first.
	maxNoted = 20_000
	// recalledAtOnce is how many sheaves are read in one step.
	recalledAtOnce = 32
)

// Remember brings back what was in memory when the program last ended, and then
// notes what is, until ctx ends.
func (d *Door) Remember(ctx context.Context) error {
	if d.opened == nil {
		return nil
	}
	rest := d.reopen(ctx, d.opened.Take())
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		if err := d.opened.Write(append(d.inMemory(), rest...)); err != nil {
			d.keeper.log.Warn("it cannot be noted which mailboxes are open", obs.Err, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done(): // the doors are closed
		case <-tick.C:
		}
	}
}

// inMemory lists the mailboxes that are in memory, and what answers are.
func (d *Door) inMemory() []opened.Mailbox {
	views := d.mailboxes.Opened(opened.MaxMailboxes, leastNoted)
	answers := d.answers.stretches(maxNoted)
	list := make([]opened.Mailbox, len(views))
	for i, v := range views {
		list[i] = opened.Mailbox{Account: v.Account().ID(), Mailbox: v.Mailbox(), Stretches: answers[weak.Make(v)]}
	}
	return list
}

// stretches tells of which messages there are answers, looking at so many sheaves.
func (a *answers) stretches(most int) map[weak.Pointer[mailbox.View]][]opened.Stretch {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[weak.Pointer[mailbox.View]][]opened.Stretch)
	for el := a.used.Front(); el != nil && most > 0; el, most = el.Next(), most-1 {
		key := &el.Value.(*keptSheaf).key
		all[key.view] = addTo(all[key.view], kindOf(key.answer), key.number)
	}
	return all
}

// addTo has the stretch of a kind reach to a number.
func addTo(list []opened.Stretch, kind byte, number uint32) []opened.Stretch {
	for i := range list {
		if s := &list[i]; s.Kind == kind {
			s.First, s.Last = min(s.First, number), max(s.Last, number)
			return list
		}
	}
	return append(list, opened.Stretch{Kind: kind, First: number, Last: number})
}

// reopen brings back what a list names, and gives what it has not come to when ctx
// has ended.
func (d *Door) reopen(ctx context.Context, list []opened.Mailbox) (rest []opened.Mailbox) {
	pace := d.index.Pace()
	for i := range list {
		if pace.Yield(ctx) != nil {
			return list[i:]
		}
		if !d.reopenOne(ctx, &list[i], &pace) {
			break
		}
	}
	return nil
}

// reopenOne brings back one mailbox, and tells whether there is room for more. A
// panic, which is a bug of ours, costs that mailbox alone: who opens it will meet it.
func (d *Door) reopenOne(ctx context.Context, m *opened.Mailbox, pace *search.Pace) (more bool) {
	defer func() {
		if r := recover(); r != nil {
			d.keeper.log.Error("panic while a mailbox is opened again", obs.Account, m.Account, obs.Mailbox, m.Mailbox,
				obs.Err, fmt.Sprint(r), "stack", string(debug.Stack()))
			more = true
		}
	}()
	v, err := d.mailboxes.Account(m.Account).Reopen(ctx, m.Mailbox)
	if err != nil || v == nil {
		return err != nil // who opens it will be told
	}
	end := uint32(v.Snapshot().Info().UIDNext / sheaves.Size)
	for _, s := range m.Stretches {
		for first := s.First; first <= min(s.Last, end); first += recalledAtOnce {
			if pace.Yield(ctx) != nil || !d.recallStretch(ctx, v, s.Kind, first, min(s.Last, first+recalledAtOnce-1)) {
				break
			}
		}
	}
	return true
}

// recallStretch brings back answers of one kind, and tells whether there is room
// for more.
func (d *Door) recallStretch(ctx context.Context, v *mailbox.View, kind byte, first, last uint32) (more bool) {
	answer, known := answerOf(kind)
	if d.keeper.shelf == nil || !known {
		return false
	}
	key := sheafKey{view: weak.Make(v), answer: answer}
	more = true
	err := d.keeper.shelf.Read(ctx, shelfPlace(v, kind), first, last, func(number uint32, found *sheaves.Sheaf) {
		key.number = number
		more = more && d.answers.putBack(key, found)
	})
	return more && err == nil
}

// putBack keeps a sheaf that is stored, as the one longest unused, if there is room
// for it and none in its place. It tells whether there was room.
func (a *answers) putBack(key sheafKey, s *sheaves.Sheaf) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.size+costOf(s) > a.limit {
		return false
	}
	if a.of[key] == nil {
		a.of[key] = a.used.PushBack(&keptSheaf{key: key, sheaf: s, stored: s.Count()})
		a.size += costOf(s)
	}
	return true
}
