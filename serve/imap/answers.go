package imap

import (
	"container/list"
	"sync"
	"time"
	"weak"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/mailbox"
)

// Answers to FETCH that never change for a message are kept as they are sent:
// envelopes and structures of a mailbox that somebody lists are copied from
// memory. They belong to the open mailbox (mailbox.View), whose UIDs mean the
// same as long as it is open or rests.

// A sheaf holds one kind of answer for up to sheafSize UIDs that differ in
// their last bits only. It never changes.
type sheaf struct {
	emails [sheafSize]mail.EmailID // zero where there is no answer
	ends   [sheafSize]uint32       // in octets, where the answer before it begins
	octets []byte
}

const sheafSize = 256

// sheafCost is what a sheaf takes besides its octets.
const sheafCost = sheafSize*12 + 200

func (s *sheaf) cost() int64 { return sheafCost + int64(cap(s.octets)) }

// at gives the answer for an entry, nil if it is not there.
func (s *sheaf) at(e *imapserver.Entry) []byte {
	i := e.UID % sheafSize
	if s.emails[i] != e.Email {
		return nil
	}
	from := uint32(0)
	if i > 0 {
		from = s.ends[i-1]
	}
	return s.octets[from:s.ends[i]:s.ends[i]]
}

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
	key   sheafKey
	sheaf *sheaf
	last  time.Time // it was used
}

// recent is how long a sheaf stays after it has been used.
const recent = time.Minute

func newAnswers(limit int64) *answers {
	return &answers{limit: limit, of: make(map[sheafKey]*list.Element)}
}

// get gives a sheaf, nil if there is none.
func (a *answers) get(key sheafKey, now time.Time) *sheaf {
	a.mu.Lock()
	defer a.mu.Unlock()
	el := a.of[key]
	if el == nil {
		return nil
	}
	k := el.Value.(*keptSheaf)
	k.last = now
	a.used.MoveToFront(el)
	return k.sheaf
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

// put keeps a sheaf in the place of any that was there.
func (a *answers) put(key sheafKey, s *sheaf, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.of[key]; old != nil {
		a.drop(old)
	}
	a.of[key] = a.used.PushFront(&keptSheaf{key, s, now})
	a.size += s.cost()
}

// drop forgets a sheaf. mu is held.
func (a *answers) drop(el *list.Element) {
	k := a.used.Remove(el).(*keptSheaf)
	delete(a.of, k.key)
	a.size -= k.sheaf.cost()
}
