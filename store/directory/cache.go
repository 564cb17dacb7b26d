package directory

import (
	"sync"
	"sync/atomic"

	"waxwing/mail"
)

// How much stays in memory. What strangers can ask for without its being in
// the directory is kept apart, so that they can not push out what is.
const (
	maxPresent = 1 << 18
	maxAbsent  = 1 << 14
)

// A cache remembers what has been read from one state of the directory or a
// later one. When the directory changes the whole cache is given up: readers
// that began before still fill the old one, which nobody reads any more.
type cache struct {
	domains memo[string, Domain]
	names   memo[mail.Address, nameRecord] // by folded address; the zero Address is the first admin
	bare    memo[string, bareName]
	secrets memo[mail.AccountID, Credentials]
	some    atomic.Pointer[[]string] // what SomeDomains gives
}

// bareName is what a login name without a domain stands for.
type bareName struct {
	account   mail.AccountID
	ambiguous bool
}

// A memo is a bounded map that also knows what is not there. Values never
// change once they are in it.
type memo[K comparable, V any] struct {
	mu      sync.RWMutex // guards both
	present generations[K, *V]
	absent  generations[K, struct{}]
}

// get gives the value, or nil with known where there is none.
func (m *memo[K, V]) get(k K) (v *V, known bool) {
	m.mu.RLock()
	v, known, old := m.present.get(k)
	if !known {
		_, known, old = m.absent.get(k)
	}
	m.mu.RUnlock()
	if old {
		m.put(k, v)
	}
	return v, known
}

// put remembers v, or with nil that there is none.
func (m *memo[K, V]) put(k K, v *V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v == nil {
		m.absent.put(k, struct{}{}, maxAbsent/2)
	} else {
		m.present.put(k, v, maxPresent/2)
	}
}

// generations is a map that forgets: when the young half is full the old
// half goes. What is used in time is put among the young again.
type generations[K comparable, V any] struct{ young, old map[K]V }

func (g *generations[K, V]) get(k K) (v V, known, old bool) {
	if v, known = g.young[k]; known {
		return v, true, false
	}
	v, known = g.old[k]
	return v, known, known
}

func (g *generations[K, V]) put(k K, v V, limit int) {
	if len(g.young) >= limit {
		g.old, g.young = g.young, nil
	}
	if g.young == nil {
		g.young = make(map[K]V)
	}
	g.young[k] = v
}
