package mailbox

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/kv"
)

// A View is an open mailbox: one for all sessions on the node that have it
// open. It is kept current by the account's changes, after they are durable.
// It is safe for concurrent use.
type View struct {
	a        *Account
	id       mail.MailboxID
	snapshot atomic.Pointer[Snapshot]

	ready chan struct{} // closed once it is loaded, or loading has failed
	err   error         // why loading failed

	// Guarded by a.follow.mu.
	opened int         // by whom Close is still to be called
	loaded bool        // snapshot is set
	modseq mail.ModSeq // what snapshot shows
	from   mail.ModSeq // early has every change after this one
	early  []*deposit  // what came while it was loading

	pictured bool      // it has an image that is stored
	strayed  int       // entries that have changed since
	looked   *Snapshot // what it was when it was last asked whether it is to be stored

	resting *list.Element // of Store.resting, guarded by its mutex
	weight  int           // what it counts there

	mu          sync.Mutex // guards subscribers
	subscribers map[*func()]struct{}
}

// Snapshot gives the newest durable state.
func (v *View) Snapshot() *Snapshot { return v.snapshot.Load() }

// Mailbox gives the number of the mailbox.
func (v *View) Mailbox() mail.MailboxID { return v.id }

// Subscribe has poke called after each change of the mailbox, by whoever has
// made it and with locks held: poke returns at once, and calls nothing of this
// package. After cancel it is not called any more.
func (v *View) Subscribe(poke func()) (cancel func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.subscribers == nil {
		v.subscribers = make(map[*func()]struct{})
	}
	v.subscribers[&poke] = struct{}{}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.subscribers, &poke)
	}
}

// show makes a snapshot the newest.
func (v *View) show(s *Snapshot) {
	v.snapshot.Store(s)
	v.mu.Lock()
	defer v.mu.Unlock()
	for poke := range v.subscribers {
		(*poke)()
	}
}

// Open opens a mailbox. Whoever opens it closes the View. If it is open
// already, by anybody on the node, this costs nothing.
func (a *Account) Open(ctx context.Context, id mail.MailboxID) (*View, error) {
	for {
		v, mine, err := a.join(id)
		if err != nil {
			return nil, err
		}
		if mine {
			if err := a.loadFirst(ctx, v); err != nil {
				return nil, err
			}
			a.catchUpIfBehind(ctx)
			return v, nil
		}
		select {
		case <-v.ready:
		case <-ctx.Done():
			v.Close()
			return nil, ctx.Err()
		}
		if v.err == nil {
			if err := a.catchUpWithOthers(ctx); err != nil {
				v.Close()
				return nil, err
			}
			return v, nil
		}
		// Whoever loaded it failed, perhaps for reasons of its own.
		if !errors.Is(v.err, context.Canceled) && !errors.Is(v.err, context.DeadlineExceeded) {
			return nil, v.err
		}
	}
}

// Close says that the caller needs the View no longer. Its snapshots stay
// valid.
func (v *View) Close() {
	v.a.leave(v, true)
}

// errPanicked is why a View is not there whose loading has panicked, which is a bug
// of ours: nobody shall wait for it.
var errPanicked = errors.New("mailbox: panic while loading")

// loadFirst loads a View that the caller has registered.
func (a *Account) loadFirst(ctx context.Context, v *View) error {
	panics := true
	defer func() {
		if panics {
			a.follow.loaded(v, errPanicked)
		}
	}()
	for {
		err := a.load(ctx, v)
		if again := a.follow.loaded(v, err); err != nil || !again {
			panics = false
			return err
		}
	}
}

// load reads the whole mailbox.
func (a *Account) load(ctx context.Context, v *View) error {
	var s *Snapshot
	var modseq mail.ModSeq
	pending, strayed, pictured := false, 0, false
	image := a.readImage(ctx, v.id)
	read := func(r kv.Reader, h *head) (err error) {
		modseq, pending = h.modseq, h.pending > 0
		if image != nil {
			s, strayed, err = a.fromImage(r, h, v.id, image)
			if pictured = err == nil && s != nil; pictured {
				return nil
			}
		}
		s, err = a.readSnapshot(r, h, v.id)
		return err
	}
	err := a.view(ctx, read)
	if err == nil && pending {
		// Half of a copy may be in it whose maker has died. Where that cannot
		// be taken away, as on a full disk, there is still mail to be read.
		if err := a.undoStale(ctx, time.Now()); err != nil && ctx.Err() == nil {
			a.store.log.Error("copy is left in part", obs.Account, a.id, obs.Mailbox, v.id, obs.Err, err)
		}
		err = a.view(ctx, read)
	}
	if err != nil {
		return err
	}
	v.snapshot.Store(s)
	v.modseq = modseq // nobody else looks at it yet
	v.pictured, v.strayed = pictured, strayed
	return nil
}

// readSnapshot reads a mailbox from a state.
func (a *Account) readSnapshot(r kv.Reader, h *head, id mail.MailboxID) (*Snapshot, error) {
	got, err := r.GetMany([][]byte{appendBoxKey(nil, id)})
	if err != nil {
		return nil, err
	}
	if got[0] == nil {
		return nil, ErrNoMailbox
	}
	m, err := decodeBox(id, got[0])
	if err != nil {
		return nil, err
	}
	if m.removed != 0 || m.NoSelect {
		return nil, ErrNoMailbox
	}
	if err := a.learnKeywords(r, h); err != nil {
		return nil, err
	}
	over, err := allSheets(r, &m)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{info: m.Info}
	lo := appendEntryKey(nil, id, 0)
	hi := kv.PrefixEnd(lo[:5])
	for it, err := range r.Scan(lo, hi, kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		e, err := a.decodeEntry(it, &over)
		if err != nil {
			return nil, err
		}
		if len(s.tail) == cap(s.tail) {
			s.room(m.Messages - s.Len())
		}
		s.add(e)
	}
	if s.Len() != m.Messages {
		return nil, fmt.Errorf("mailbox %v counts %d messages and has %d: %w", id, m.Messages, s.Len(), errCorrupt)
	}
	return s, nil
}
