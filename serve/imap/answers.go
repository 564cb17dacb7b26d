package imap

import (
	"container/list"
	"sync"
	"time"
	"weak"

	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
	"waxwing/store/sheaves"
)

// Answers to FETCH that never change for a message are kept as they are sent:
// envelopes and structures of a mailbox that somebody lists are copied from
// memory. They belong to the open mailbox (mailbox.View), whose UIDs mean the
// same as long as it is open or rests. What is worth it is stored as well
// (keeper.go), and found again after a start.

// sheafCost is what a sheaf takes besides its octets.
const sheafCost = sheaves.Size*12 + 200

func costOf(s *sheaves.Sheaf) int64 { return sheafCost + int64(cap(s.Octets)) }

// A sheafKey says what a sheaf is about.
type sheafKey struct {
	view   weak.Pointer[mailbox.View]
	answer imapserver.Answer
	number uint32 // UIDs without their last bits
}

// answers keeps sheaves within a limit. Those longest unused go first, but none
// that has been used a short while ago: whoever goes again and again through a
// mailbox that is larger than the limit finds a part of it here.
type answers struct {
	limit int64

	mu   sync.Mutex // guards all below
	of   map[sheafKey]*list.Element
	used list.List // of *keptSheaf, the last used first
	size int64
}

type keptSheaf struct {
	key    sheafKey
	sheaf  *sheaves.Sheaf
	stored int       // how many of its answers are stored
	last   time.Time // it was used
}

// recent is how long a sheaf stays after it has been used.
const recent = time.Minute

func newAnswers(limit int64) *answers {
	return &answers{limit: limit, of: make(map[sheafKey]*list.Element)}
}

// get gives a sheaf, nil if there is none, and how many of its answers are stored.
func (a *answers) get(key sheafKey, now time.Time) (s *sheaves.Sheaf, stored int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	el := a.of[key]
	if el == nil {
		return nil, 0
	}
	k := el.Value.(*keptSheaf)
	k.last = now
	a.used.MoveToFront(el)
	return k.sheaf, k.stored
}

// room tells whether a sheaf of some size may be put, which may make others go.
func (a *answers) room(size int64, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.size+size > a.limit {
		oldest := a.used.Back()
		if oldest == nil || now.Sub(oldest.Value.(*keptSheaf).last) < recent {
			return false
		}
		a.drop(oldest)
	}
	return true
}

// put keeps a sheaf, of which so many answers are stored, in the place of any that
// was there.
func (a *answers) put(key sheafKey, s *sheaves.Sheaf, stored int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.of[key]; old != nil {
		a.drop(old)
	}
	a.of[key] = a.used.PushFront(&keptSheaf{key, s, stored, now})
	a.size += costOf(s)
}

// noteStored is told that a sheaf has been stored.
func (a *answers) noteStored(key sheafKey, s *sheaves.Sheaf) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if el := a.of[key]; el != nil {
		k := el.Value.(*keptSheaf)
		k.stored = max(k.stored, s.Count())
	}
}

// drop forgets a sheaf. mu is held.
func (a *answers) drop(el *list.Element) {
	k := a.used.Remove(el).(*keptSheaf)
	delete(a.of, k.key)
	a.size -= costOf(k.sheaf)
}
