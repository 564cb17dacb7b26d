package outqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"waxwing/obs"
	"waxwing/store/kv"
)

// Limits of what is kept of new items, for the relay that takes them at once.
// What is more is read from the engine.
const (
	maxNews       = 10_000
	maxFresh      = 4_000
	maxFreshSize  = 16 << 20 // octets
	freshPatience = 5 * time.Second
)

// A memory is what a queue knows that no other process can change: who has
// which item, and items that have just come, with their bodies. Where processes
// share the engine leases are durable instead, and nothing here is used.
//
// Whoever changes an item by hand says so first (touch). So an item is either
// leased before, and its holder learns that what he knows of it is old, or it
// is not leased until the change is made. What is being enqueued cannot be leased
// before it is here: whoever found it in the index first might have sent it by
// the time that it is handed over.
type memory struct {
	mu       sync.Mutex
	epoch    uint64          // of the newest lease; guarded by mu
	lent     map[ID]*loan    // guarded by mu
	changing map[ID]int      // by how many it is being changed; guarded by mu
	coming   map[ID]*arrival // being enqueued; guarded by mu
	fresh    map[ID]fresh    // guarded by mu
	order    []ID            // of fresh, the oldest first, and of some that have gone; guarded by mu
	octets   int             // of the bodies in fresh; guarded by mu
	news     []Ready         // not given to News yet; guarded by mu
	stirred  bool            // the index has something new; guarded by mu
	next     time.Time       // when the first becomes due that has been put off; guarded by mu
	behind   bool            // also before the cursors; guarded by mu
}

// A loan is a lease.
type loan struct {
	epoch   uint64
	expires time.Time
	state   state // as it was when the item was leased
	touched bool  // the engine may know better by now
}

// fresh is an item that has just come, as it was enqueued.
type fresh struct {
	item  *Item
	state state
}

func newMemory() *memory {
	return &memory{lent: map[ID]*loan{}, changing: map[ID]int{}, coming: map[ID]*arrival{}, fresh: map[ID]fresh{}}
}

// has tells whether somebody has an item, or is about to hand it over; mu is
// held.
func (m *memory) has(id ID, now time.Time) bool {
	l := m.lent[id]
	_, coming := m.coming[id]
	return coming || l != nil && now.Before(l.expires)
}

// An arrival is what one call of Enqueue brings in one transaction.
type arrival struct {
	ids     []ID // also those of a run of the transaction that came to nothing
	touched map[ID]bool
}

// touch notes that an item has been changed on its way.
func (a *arrival) touch(id ID) {
	if a.touched == nil {
		a.touched = map[ID]bool{}
	}
	a.touched[id] = true
}

// expect says that items are being enqueued, until add or giveUp.
func (m *memory) expect(a *arrival, made []fresh) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range made {
		m.coming[f.item.ID] = a
		a.ids = append(a.ids, f.item.ID)
	}
}

// arrived says that the arrival is over; mu is held.
func (m *memory) arrived(a *arrival) {
	for _, id := range a.ids {
		if m.coming[id] == a {
			delete(m.coming, id)
		}
	}
}

// giveUp says that nothing has come; or that nobody knows.
func (m *memory) giveUp(a *arrival, unknown bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrived(a)
	m.behind = m.behind || unknown
}

// free leaves what nobody has of what is due.
func (m *memory) free(now time.Time, page []Ready) []Ready {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(page, func(r Ready) bool { return m.has(r.ID, now) })
}

// reclaim ends all leases, and tells how many there were.
func (m *memory) reclaim() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.lent)
	clear(m.lent)
	m.behind = true
	return n
}

// add takes in items that have just come: the relay hears of them, and what there
// is room for need not be read again.
func (m *memory) add(now time.Time, a *arrival, made []fresh) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrived(a)
	for _, f := range made {
		switch {
		case a.touched[f.item.ID]:
			m.behind = true
		case f.state.held:
		case f.state.due > now.UnixNano():
			m.stirred = true
		case len(m.news) == maxNews:
			m.behind = true
		default:
			m.news = append(m.news, f.state.ready(f.item.ID))
			m.keep(now, f)
		}
	}
}

// keep keeps an item if there is room, or if others have waited in vain; mu is
// held.
func (m *memory) keep(now time.Time, f fresh) {
	size := len(f.item.body)
	for len(m.order) > 0 && (len(m.order) >= maxFresh || m.octets+size > maxFreshSize) {
		oldest, ok := m.fresh[m.order[0]]
		if ok && now.Sub(oldest.item.Created) < freshPatience {
			return
		}
		m.forget(m.order[0])
		m.order = m.order[1:]
	}
	m.fresh[f.item.ID] = f
	m.order = append(m.order, f.item.ID)
	m.octets += size
}

// forget drops what is kept of an item, and gives it; mu is held.
func (m *memory) forget(id ID) (f fresh, ok bool) {
	if f, ok = m.fresh[id]; ok {
		m.octets -= len(f.item.body)
		delete(m.fresh, id)
	}
	return f, ok
}

// touch says that items are about to be changed by hand, until done is called.
func (m *memory) touch(ids []ID) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.changing[id]++
		m.forget(id)
		if a := m.coming[id]; a != nil {
			a.touch(id)
		}
		if l := m.lent[id]; l != nil {
			l.touched = true
		}
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, id := range ids {
			if m.changing[id]--; m.changing[id] == 0 {
				delete(m.changing, id)
			}
		}
		m.behind = true
	}
}

// lend notes leases of those items that nobody has or changes, and gives those
// that are known, and the others, which must be read: not all of them may be
// due any more (see unlend).
func (m *memory) lend(now, expires time.Time, ready []Ready) (known []*Lease, unknown []Ready) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range ready {
		if l, ok := m.lendOne(now, expires, r.ID); l != nil {
			known = append(known, l)
		} else if ok {
			unknown = append(unknown, r)
		}
	}
	m.trim()
	return known, unknown
}

// lendKnown notes leases of what is known, and gives the others back.
func (m *memory) lendKnown(now, expires time.Time, ready []Ready) (known []*Lease, rest []Ready) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range ready {
		if _, ok := m.fresh[r.ID]; ok {
			if l, _ := m.lendOne(now, expires, r.ID); l != nil {
				known = append(known, l)
				continue
			}
		}
		rest = append(rest, r)
	}
	m.trim()
	return known, rest
}

// lendOne notes the lease of an item that nobody has or changes, and gives it if
// the item is known; mu is held.
func (m *memory) lendOne(now, expires time.Time, id ID) (l *Lease, ok bool) {
	if m.has(id, now) || m.changing[id] > 0 {
		return nil, false
	}
	m.epoch++
	lent := &loan{epoch: m.epoch, expires: expires}
	m.lent[id] = lent
	f, ok := m.forget(id)
	if !ok {
		return nil, true
	}
	lent.state = f.state
	f.item.Leased, f.item.Due = true, expires
	return &Lease{Item: f.item, Expires: expires, epoch: lent.epoch}, true
}

// trim drops from the order what has gone at its front; mu is held.
func (m *memory) trim() {
	for len(m.order) > 0 {
		if _, ok := m.fresh[m.order[0]]; ok {
			break
		}
		m.order = m.order[1:]
	}
}

// unlend takes leases back that have come to nothing.
func (m *memory) unlend(ready []Ready) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range ready {
		delete(m.lent, r.ID)
	}
}

// loan gives what was lent with a lease.
func (m *memory) loan(l *Lease) (loan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lent := m.lent[l.Item.ID]
	if lent == nil || lent.epoch != l.epoch {
		return loan{}, ErrLeaseLost
	}
	return *lent, nil
}

// doubt says that the item of a lease is about to be another: who notes more of
// it reads it again.
func (m *memory) doubt(l *Lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lent := m.lent[l.Item.ID]; lent != nil && lent.epoch == l.epoch {
		lent.touched = true
	}
}

// settled says that results are durable, and whether the lease has ended.
func (m *memory) settled(l *Lease, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lent := m.lent[l.Item.ID]; ended && lent != nil && lent.epoch == l.epoch {
		delete(m.lent, l.Item.ID)
	}
}

// extend lengthens a lease.
func (m *memory) extend(l *Lease, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	lent := m.lent[l.Item.ID]
	if lent == nil || lent.epoch != l.epoch {
		return ErrLeaseLost
	}
	lent.expires = expires
	return nil
}

// leased tells whether somebody has an item.
func (m *memory) leased(id ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lent[id] != nil
}

// show puts into an item, as the engine has it, who has it.
func (m *memory) show(it *Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lent[it.ID]; l != nil {
		it.Leased, it.Due = true, l.expires
	}
}

// News is what has happened since News was last asked for.
type News struct {
	// Fresh is what has come and is due.
	Fresh []Ready
	// Stirred says that Ready may find more behind a cursor, and Behind that
	// it may before it.
	Stirred, Behind bool
	// Next is when something becomes due again that has been put off; zero for
	// nothing.
	Next time.Time
}

// News tells what the relay should know. Where other processes share the
// engine, it never names anything: what is due is in the index.
func (q *Queue) News() News {
	m := q.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	n := News{Fresh: m.news, Stirred: m.stirred, Behind: m.behind, Next: m.next}
	m.news, m.stirred, m.behind, m.next = nil, false, false, time.Time{}
	return n
}

// putOff says that an item has become due again, or will. The index need not be
// read for it before that. If the time has passed while that was made durable, a
// cursor may have passed it, too.
func (q *Queue) putOff(next time.Time) {
	m := q.memory
	m.mu.Lock()
	if !next.After(time.Now()) {
		m.behind = true
	} else if q.o.Shared {
		m.stirred = true
	} else if m.next.IsZero() || next.Before(m.next) {
		m.next = next
	}
	m.mu.Unlock()
	q.poke()
}

// stir says that the index has something new, and wakes whoever waits for it.
func (q *Queue) stir() {
	q.memory.mu.Lock()
	q.memory.stirred = true
	q.memory.mu.Unlock()
	q.poke()
}

// behind says that the index has something new before a cursor.
func (q *Queue) behind() {
	q.memory.mu.Lock()
	q.memory.behind = true
	q.memory.mu.Unlock()
	q.poke()
}

// lendAll is Lease where nobody shares the engine: what is leased is known here
// alone, and nothing is written.
func (q *Queue) lendAll(ctx context.Context, now time.Time, ready []Ready, shards int) ([]*Lease, error) {
	expires := now.Add(q.o.Lease)
	leases, unknown := q.memory.lend(now, expires, ready)
	byShard := map[int][]Ready{}
	for _, r := range unknown {
		byShard[r.ID.shard()] = append(byShard[r.ID.shard()], r)
	}
	var failed error
	for shard, ready := range byShard {
		for batch := range slices.Chunk(ready, maxLease) {
			more, err := q.lendUnknown(ctx, now, shard, shards, batch)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("lease queue items: %w", err))
			}
			leases = append(leases, more...)
		}
	}
	return leases, failed
}

// lendUnknown reads items that have been lent, and takes those back that are not
// to be.
func (q *Queue) lendUnknown(ctx context.Context, now time.Time, shard, shards int, ready []Ready) (leases []*Lease, err error) {
	ids := make([]ID, len(ready))
	for i, r := range ready {
		ids[i] = r.ID
	}
	var states []state
	var items []*Item
	var damaged []error
	err = q.db.View(ctx, partition(shard), func(r kv.Reader) (err error) {
		states, items, damaged, err = readAll(r, ids)
		return err
	})
	if err != nil {
		q.memory.unlend(ready)
		return nil, err
	}
	var odd, back []Ready
	q.memory.mu.Lock()
	for i, r := range ready {
		l := q.memory.lent[r.ID]
		switch s := states[i]; {
		case l == nil:
		case s == (state{}) || damaged[i] != nil:
			odd = append(odd, r)
		case s.held || s.due > now.UnixNano():
			back = append(back, r)
		default:
			l.state = s
			items[i].Leased, items[i].Due = true, l.expires
			leases = append(leases, &Lease{Item: items[i], Expires: l.expires, epoch: l.epoch})
		}
	}
	q.memory.mu.Unlock()
	if len(odd) > 0 {
		err = q.setAside(ctx, shard, shards, odd)
	}
	q.memory.unlend(append(back, odd...))
	return leases, err
}

// setAside takes out of the way what is in the index and cannot be leased.
func (q *Queue) setAside(ctx context.Context, shard, shards int, ready []Ready) error {
	ids := make([]ID, len(ready))
	for i, r := range ready {
		ids[i] = r.ID
	}
	return kv.Apply(ctx, q.db, partition(shard), func(kvtx kv.Txn) error {
		tx, err := begin(kvtx, shard, shards)
		if err != nil {
			return err
		}
		states, _, damaged, err := readAll(tx, ids)
		if err != nil {
			return err
		}
		for i, r := range ready {
			tx.setAside(q, r, states[i], damaged[i])
		}
		tx.end()
		return nil
	})
}

// setAside is that of one item: one that has gone, or of which nobody knows how
// it stands, leaves the index; one that is damaged is held.
func (tx *shardTxn) setAside(q *Queue, r Ready, s state, damaged error) {
	switch {
	case s == (state{}):
		tx.Delete(dueKey(r.Due.UnixNano(), r.ID))
	case damaged != nil && !s.held:
		q.o.Log.Error("queue item cannot be read and is set aside", obs.Queue, r.ID.String(), obs.Err, damaged)
		old := s
		s.held = true // out of the way of the others
		tx.schedule(r.ID, old, s)
	}
}
