package mailbox

import (
	"container/list"
	"context"
	"sync"

	"waxwing/mail"
	"waxwing/store/kv"
)

// join finds the View of a mailbox, or registers a new one, which the caller
// then loads.
func (a *Account) join(id mail.MailboxID) (v *View, mine bool, err error) {
	f := &a.follow
	f.mu.Lock()
	v = a.rejoin(id)
	f.mu.Unlock()
	if v != nil {
		return v, false, nil
	}
	f.reading.Lock() // what is being caught up with is for the views there are
	defer f.reading.Unlock()
	for {
		f.mu.Lock()
		if v := a.rejoin(id); v != nil {
			f.mu.Unlock()
			return v, false, nil
		}
		if f.stop != nil {
			v := &View{a: a, id: id, ready: make(chan struct{}), opened: 1, from: f.applied}
			f.views[id] = v
			f.open.Store(int32(len(f.views)))
			f.mu.Unlock()
			return v, true, nil
		}
		f.mu.Unlock()
		stop, err := a.followStore()
		if err != nil {
			return nil, false, err
		}
		f.mu.Lock()
		f.stop = stop
		f.mu.Unlock()
	}
}

// rejoin opens a View that is there. f.mu is held.
func (a *Account) rejoin(id mail.MailboxID) *View {
	v := a.follow.views[id]
	if v == nil {
		return nil
	}
	if v.opened == 0 {
		a.store.resting.remove(v)
	}
	v.opened++
	return v
}

// followStore starts what keeps the views current with other nodes, and with
// changes of others than Account.change: who makes one that way, and has left its
// effects, brings the views up to it.
func (a *Account) followStore() (stop context.CancelFunc, err error) {
	ctx, stop := context.WithCancel(a.store.ctx)
	versions, err := kv.WatchBut(ctx, a.store.db, a.part, a.follow.awaited)
	if err == nil {
		err = a.store.start()
	}
	if err != nil {
		stop()
		return nil, err
	}
	go func() {
		defer a.store.work.Done()
		for version := range versions {
			a.advance(ctx, version)
		}
	}()
	return stop, nil
}

// loaded says that a View has its snapshot, or why it has none. It tells
// whether the View must be loaded again: other Views have gone ahead of it in
// a way that early does not hold.
func (f *follower) loaded(v *View, err error) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		v.err = err
		close(v.ready)
		if f.views[v.id] == v {
			delete(f.views, v.id)
		}
		f.settleCount()
		return false
	}
	if f.applied == 0 {
		f.applied = v.modseq
		for _, other := range f.views {
			other.from = v.modseq
		}
	}
	if v.modseq < v.from {
		return true
	}
	v.loaded = true
	for _, d := range v.early {
		if d.modseq > v.modseq {
			v.take(d)
		}
	}
	v.early = nil
	f.applyWaiting(f.durable)
	if v.snapshot.Load().gone && f.views[v.id] == v {
		delete(f.views, v.id)
		f.settleCount()
	}
	close(v.ready)
	return false
}

// leave gives a View back. What nobody has open any longer rests a while, longer
// if it was used.
func (a *Account) leave(v *View, used bool) {
	f := &a.follow
	f.mu.Lock()
	v.opened--
	rests := v.opened == 0 && v.loaded && f.views[v.id] == v
	if rests {
		a.store.resting.add(v, used)
	}
	f.mu.Unlock()
	if !rests {
		return
	}
	for {
		v := a.store.resting.tooMany()
		if v == nil {
			return
		}
		v.a.drop(v)
	}
}

// drop forgets a View that nobody has open.
func (a *Account) drop(v *View) {
	f := &a.follow
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.opened == 0 && f.views[v.id] == v {
		delete(f.views, v.id)
		f.settleCount()
	}
}

// restingViews are the Views that nobody has open but somebody may soon: a
// client that connects again finds its mailbox in memory. The longest unused
// go first when they hold more entries than the limit.
type restingViews struct {
	mu    sync.Mutex // guards all, and resting and weight of the views
	list  list.List  // of *View, the newest first
	total int
	limit int
}

// viewWeight is what a View costs besides its entries, in entries.
const viewWeight = 256

// add lets a View rest, as the newest or as the oldest.
func (r *restingViews) add(v *View, newest bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.resting != nil {
		return
	}
	v.weight = viewWeight + v.snapshot.Load().Len()
	if newest {
		v.resting = r.list.PushFront(v)
	} else {
		v.resting = r.list.PushBack(v)
	}
	r.total += v.weight
}

func (r *restingViews) remove(v *View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.resting != nil {
		r.list.Remove(v.resting)
		v.resting = nil
		r.total -= v.weight
	}
}

// tooMany takes the View that is to go, nil if none.
func (r *restingViews) tooMany() *View {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total <= r.limit || r.list.Len() == 0 {
		return nil
	}
	v := r.list.Remove(r.list.Back()).(*View)
	v.resting = nil
	r.total -= v.weight
	return v
}
