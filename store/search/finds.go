package search

import (
	"bytes"
	"slices"
	"sync"

	"waxwing/format/abstract"
	"waxwing/mail"
)

// What has been found out of messages by looking is kept for a while: they do
// not change. Whoever searches for the same again, as saved searches and mail
// programs that search while somebody types do all the time, reads only what
// has come since.

const (
	// maxFinds bounds the searches of an account that are remembered, and
	// maxFindsSpan the distance between the first and the last email of which
	// one remembers anything: two bits each.
	maxFinds     = 16
	maxFindsSpan = 1 << 22
)

// A findsKey is what was looked for, and where.
type findsKey struct{ in, needle string }

// Finds are what is known of one search. They are safe for concurrent use.
type finds struct {
	used uint64 // guarded by the account's mutex

	mu    sync.Mutex // guards what follows
	first mail.EmailID
	known []uint64 // a bit for each email from first on: it has been looked at
	has   []uint64 // and has it
}

func (f *finds) tell(id mail.EmailID) (has, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := uint64(id - f.first)
	if id < f.first || i/64 >= uint64(len(f.known)) {
		return false, false
	}
	bit := uint64(1) << (i % 64)
	return f.has[i/64]&bit != 0, f.known[i/64]&bit != 0
}

func (f *finds) keep(id mail.EmailID, has bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) == 0 {
		f.first = id &^ 63
	}
	if id < f.first {
		f.reach(id &^ 63)
	}
	i := uint64(id - f.first)
	if id < f.first || i >= maxFindsSpan {
		return
	}
	for i/64 >= uint64(len(f.known)) {
		f.known, f.has = append(f.known, 0), append(f.has, 0)
	}
	bit := uint64(1) << (i % 64)
	f.known[i/64] |= bit
	if has {
		f.has[i/64] |= bit
	}
}

// reach makes room for emails before the first one, a multiple of 64, if there
// may be so many.
func (f *finds) reach(first mail.EmailID) {
	more := uint64(f.first-first) / 64
	if more+uint64(len(f.known)) > maxFindsSpan/64 {
		return
	}
	f.first = first
	f.known = append(make([]uint64, more), f.known...)
	f.has = append(make([]uint64, more), f.has...)
}

// learn takes over what another search says about this one: what has not a
// part of it has not the whole (narrower), and what has the whole has its parts.
func (f *finds) learn(other *finds, narrower bool) {
	other.mu.Lock()
	first, known, has := other.first, slices.Clone(other.known), slices.Clone(other.has)
	other.mu.Unlock()
	if len(f.known) > 0 && f.first != first {
		return
	}
	f.first = first
	for len(f.known) < len(known) {
		f.known, f.has = append(f.known, 0), append(f.has, 0)
	}
	for i := range known {
		if narrower {
			f.known[i] |= known[i] &^ has[i]
		} else {
			f.known[i] |= has[i]
			f.has[i] |= has[i]
		}
	}
}

func (f *finds) cost() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 16 * int64(len(f.known))
}

// findsOf gives what is known of a query; nil where nothing is kept of it.
// a.mu is held.
func (a *Account) findsOf(q *abstract.Query) *finds {
	if q.In == "" || q.Bare || len(q.Terms) != 1 || q.Terms[0].Almost {
		return nil
	}
	a.turn++
	needle := q.Terms[0].Text
	key := findsKey{q.In, string(needle)}
	f := a.finds[key]
	if f == nil {
		f = new(finds)
		for k, other := range a.finds {
			if k.in != q.In {
				continue
			}
			if bytes.Contains(needle, []byte(k.needle)) {
				f.learn(other, true)
			} else if bytes.Contains([]byte(k.needle), needle) {
				f.learn(other, false)
			}
		}
		if len(a.finds) >= maxFinds {
			a.forgetFinds()
		}
		a.finds[key] = f
	}
	f.used = a.turn
	return f
}

// forgetFinds forgets the search that was made longest ago. a.mu is held.
func (a *Account) forgetFinds() {
	var oldest findsKey
	for k, f := range a.finds {
		if o := a.finds[oldest]; o == nil || f.used < o.used {
			oldest = k
		}
	}
	delete(a.finds, oldest)
}
