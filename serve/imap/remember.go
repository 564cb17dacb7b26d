package imap

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
	"weak"

	"waxwing/mail"
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
	// recalledAtOnce is how many sheaves are read in one step, and locatedAtOnce of
	// how many messages it is found out where they lie.
	recalledAtOnce = 8
	locatedAtOnce  = 512
	// aloneFor is how long after a start hardly anybody has come. From then on it
	// works for restAfter or a little more, and rests for as long, restAtMost at most.
	aloneFor   = 100 * time.Millisecond
	restAfter  = time.Millisecond
	restAtMost = 10 * time.Millisecond
	// maxLocated is of how many messages that is remembered in any case; see
	// store/kv/pebblekv.
	maxLocated = 60_000
	// textsKind stands in the place of an answer's kind where the messages have
	// been read themselves.
	textsKind = 0
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
	read := d.readings.of(views)
	list := make([]opened.Mailbox, len(views))
	for i, v := range views {
		list[i] = opened.Mailbox{Account: v.Account().ID(), Mailbox: v.Mailbox(), Stretches: answers[weak.Make(v)]}
		if read[i] > v.Snapshot().Len()/2 {
			list[i].Stretches = append(list[i].Stretches, opened.Stretch{Kind: textsKind})
		}
	}
	return list
}

// readings counts the messages that have been read themselves, many at a time, by
// mailbox.
type readings struct {
	mu     sync.Mutex // guards counts
	counts map[weak.Pointer[mailbox.View]]int
}

// noteReading is told that n messages of a mailbox have been read at once.
func (d *Door) noteReading(v *mailbox.View, n int) {
	if n < fewAnswers || d.opened == nil {
		return
	}
	r := &d.readings
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[weak.Pointer[mailbox.View]]int)
	}
	r.counts[weak.Make(v)] += n
}

// of gives the counts of some Views, and forgets others.
func (r *readings) of(views []*mailbox.View) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make([]int, len(views))
	kept := make(map[weak.Pointer[mailbox.View]]int)
	for i, v := range views {
		if n := r.counts[weak.Make(v)]; n > 0 {
			counts[i], kept[weak.Make(v)] = n, n
		}
	}
	r.counts = kept
	return counts
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
	r := reopening{door: d, pace: d.index.Pace(), alone: time.Now().Add(aloneFor)}
	for i := range list {
		if r.yield(ctx) != nil {
			return list[i:]
		}
		if !r.mailbox(ctx, &list[i]) {
			break
		}
	}
	return nil
}

// A reopening brings mailboxes back, one after the other.
type reopening struct {
	door  *Door
	pace  search.Pace
	alone time.Time // until then it takes no rest
	began time.Time // since when it has worked without one
	texts int       // messages of which it has been found out where they lie
}

// yield is called between the steps. Half of the time is left to those who come right
// after a start, and more of it to mail.
func (r *reopening) yield(ctx context.Context) error {
	now := time.Now()
	if now.Before(r.alone) {
		r.began = now
	} else if took := now.Sub(r.began); took > restAfter {
		t := time.NewTimer(min(took, restAtMost))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		r.began = time.Now()
	}
	return r.pace.Yield(ctx)
}

// mailbox brings back one mailbox, and tells whether there is room for more. A
// panic, which is a bug of ours, costs that mailbox alone: who opens it will meet it.
func (r *reopening) mailbox(ctx context.Context, m *opened.Mailbox) (more bool) {
	defer func() {
		if p := recover(); p != nil {
			r.door.keeper.log.Error("panic while a mailbox is opened again", obs.Account, m.Account, obs.Mailbox, m.Mailbox,
				obs.Err, fmt.Sprint(p), "stack", string(debug.Stack()))
			more = true
		}
	}()
	v, err := r.door.mailboxes.Account(m.Account).Reopen(ctx, m.Mailbox)
	if err != nil || v == nil {
		return err != nil // who opens it will be told
	}
	r.door.index.Account(m.Account) // it is kept up to date again
	for _, s := range m.Stretches {
		if s.Kind == textsKind {
			r.locate(ctx, v)
		} else {
			r.answers(ctx, v, s)
		}
	}
	return true
}

// answers brings back the answers of a stretch.
func (r *reopening) answers(ctx context.Context, v *mailbox.View, s opened.Stretch) {
	answer, known := answerOf(s.Kind)
	if r.door.keeper.shelf == nil || !known {
		return
	}
	key := sheafKey{view: weak.Make(v), answer: answer}
	room := true
	found := func(number uint32, sheaf *sheaves.Sheaf) {
		key.number = number
		room = room && r.door.answers.putBack(key, sheaf)
	}
	last := min(s.Last, uint32(v.Snapshot().Info().UIDNext/sheaves.Size))
	for first := s.First; first <= last && room; first += recalledAtOnce {
		if r.yield(ctx) != nil ||
			r.door.keeper.shelf.Read(ctx, shelfPlace(v, s.Kind), first, min(last, first+recalledAtOnce-1), found) != nil {
			return
		}
	}
}

// locate finds out where the messages of a mailbox lie.
func (r *reopening) locate(ctx context.Context, v *mailbox.View) {
	s := v.Snapshot()
	if r.texts+s.Len() > maxLocated {
		return
	}
	r.texts += s.Len()
	ids := make([]mail.EmailID, 0, locatedAtOnce)
	for i, e := range s.Entries(0) {
		if ids = append(ids, e.Email); len(ids) == locatedAtOnce || i == s.Len()-1 {
			if r.yield(ctx) != nil || v.Account().LocateTexts(ctx, ids) != nil {
				return
			}
			ids = ids[:0]
		}
	}
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
