package mailbox

import (
	"container/list"
	"sync"

	"waxwing/mail"
	"waxwing/store/kv"
)

// A keptTable has what is kept of accounts, the least recently used of which
// go first when it is too much.
type keptTable struct {
	mu     sync.Mutex // guards all
	of     map[mail.AccountID]*list.Element
	recent list.List // of *keptPlace, the newest first
	octets int       // of filters
}

type keptPlace struct {
	id     mail.AccountID
	kept   *kept // nil while a transaction has it
	octets int
}

const (
	maxKept       = 2048     // accounts; some 700 octets each
	maxKeptOctets = 16 << 20 // of filters
)

// take gives what is kept of an account, to be given back.
func (t *keptTable) take(id mail.AccountID) *kept {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.of[id]; e != nil {
		if p := e.Value.(*keptPlace); p.kept != nil {
			k := p.kept
			p.kept = nil
			return k
		}
	}
	return new(kept)
}

// has tells whether an account is known to have a mailbox by that name, and no
// change of its names since.
func (t *keptTable) has(id mail.AccountID, names mail.ModSeq, box mail.MailboxID, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.of[id]
	if e == nil {
		return false
	}
	k := e.Value.(*keptPlace).kept
	if k == nil || k.alone > 0 || k.head.names != names {
		return false
	}
	m := k.box(box)
	return m != nil && m.removed == 0 && !m.NoSelect && m.Name == name
}

// date tells with which version the head was committed that has a stamp.
func (t *keptTable) date(id mail.AccountID, stamp uint64, version kv.Version) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.of[id]; e != nil {
		if k := e.Value.(*keptPlace).kept; k != nil && k.head.stamp == stamp {
			k.version = version
		}
	}
}

// put keeps what is to be found by the account's next transaction.
func (t *keptTable) put(id mail.AccountID, k *kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.of[id]
	if e == nil {
		if t.of == nil {
			t.of = make(map[mail.AccountID]*list.Element)
		}
		e = t.recent.PushFront(&keptPlace{id: id})
		t.of[id] = e
	} else {
		t.recent.MoveToFront(e)
	}
	p := e.Value.(*keptPlace)
	p.kept = k
	octets := k.known.octets()
	t.octets += octets - p.octets
	p.octets = octets
	for t.octets > maxKeptOctets || t.recent.Len() > maxKept {
		p := t.recent.Remove(t.recent.Back()).(*keptPlace)
		t.octets -= p.octets
		delete(t.of, p.id)
	}
}
