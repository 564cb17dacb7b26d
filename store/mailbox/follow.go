package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/kv"
)

// How open views stay current.
//
// A change of this node leaves a deposit (its effects) when it has its place
// in the order. Once any commit is known to be durable, so are all before it:
// the deposits up to it are applied, in the order of their modseqs. Where one
// is missing (another node made the change, or nobody had a view open when it
// began), the account's log tells what to read again from the engine.

// A deposit is an ordered change whose effects are at hand.
type deposit struct {
	modseq  mail.ModSeq
	version kv.Version
	effects []effect
}

// A follower keeps an account's views current.
type follower struct {
	open    atomic.Int32  // views, loaded or loading
	newest  atomic.Uint64 // version of the newest deposit
	reading sync.Mutex    // held by one catchUp at a time, and to add a view

	mu      sync.Mutex // guards what follows; nothing waits while holding it
	views   map[mail.MailboxID]*View
	applied mail.ModSeq // what the views show; 0 while none is loaded
	version kv.Version  // the newest one whose effects they show
	durable kv.Version  // the newest one known to be durable
	waiting []*deposit  // by modseq
	stop    context.CancelFunc
}

// deposit keeps the effects of a change until it is durable.
func (f *follower) deposit(m mail.ModSeq, version kv.Version, effects []effect) *deposit {
	d := &deposit{m, version, effects}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.views) == 0 || m <= f.applied {
		return nil
	}
	i := len(f.waiting)
	for i > 0 && f.waiting[i-1].modseq > m {
		i--
	}
	f.waiting = slices.Insert(f.waiting, i, d)
	f.newest.Store(max(f.newest.Load(), uint64(version)))
	return d
}

// awaited tells whether somebody waits for a commit, or for a later one, who will
// bring the views up to it: nobody need be woken for that.
func (f *follower) awaited(version kv.Version) bool { return uint64(version) <= f.newest.Load() }

// withdraw takes back a deposit whose commit failed.
func (f *follower) withdraw(d *deposit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.waiting, d); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
}

// advance brings the views up to a version that is durable.
func (a *Account) advance(ctx context.Context, version kv.Version) {
	f := &a.follow
	f.mu.Lock()
	f.durable = max(f.durable, version)
	behind := f.applyWaiting(version)
	f.mu.Unlock()
	if behind {
		a.catchUpIfBehind(ctx)
	}
}

// applyWaiting applies the deposits that are durable, as far as none is
// missing. It tells whether the views are still behind version.
func (f *follower) applyWaiting(version kv.Version) bool {
	if len(f.views) == 0 || f.applied == 0 {
		return false
	}
	n := 0
	for _, d := range f.waiting {
		if d.modseq > f.applied && (d.modseq != f.applied+1 || d.version > f.durable) {
			break
		}
		if d.modseq > f.applied {
			f.apply(d)
			f.applied = d.modseq
		}
		f.version = max(f.version, d.version)
		n++
	}
	f.waiting = slices.Delete(f.waiting, 0, n)
	return f.version < version
}

// apply shows a deposit's effects in all views.
func (f *follower) apply(d *deposit) {
	for id, v := range f.views {
		switch {
		case !v.loaded:
			v.early = append(v.early, d)
			continue
		case d.modseq <= v.modseq:
			continue
		}
		v.take(d)
		if v.snapshot.Load().gone {
			delete(f.views, id)
			f.open.Store(int32(len(f.views)))
		}
	}
}

// take applies what a deposit says about the view's mailbox.
func (v *View) take(d *deposit) {
	v.modseq = d.modseq
	for i := range d.effects {
		if e := &d.effects[i]; e.info.ID == v.id {
			v.strayed += len(e.upserts) + len(e.vanished)
			v.show(v.snapshot.Load().apply(e))
		}
	}
}

// catchUpIfBehind reads from the engine what the views lack. Failing is
// logged: the change that is missing is durable, and the next one tries again.
func (a *Account) catchUpIfBehind(ctx context.Context) { a.catchUp(ctx, 0) }

// catchUpWithOthers does so for a view that was there already, where others
// may have written and the news of it may still be on its way: whoever was
// told of a change by another node shall find it here.
func (a *Account) catchUpWithOthers(ctx context.Context) error {
	if !a.store.o.Shared {
		return nil
	}
	h, err := a.head(ctx)
	if err != nil {
		return err
	}
	a.follow.mu.Lock()
	behind := a.follow.applied < h.modseq
	a.follow.mu.Unlock()
	if behind {
		a.catchUp(ctx, h.modseq)
	}
	return nil
}

// catchUp reads what the views lack, at least up to a modseq that is durable.
func (a *Account) catchUp(ctx context.Context, to mail.ModSeq) {
	f := &a.follow
	f.reading.Lock()
	defer f.reading.Unlock()
	f.mu.Lock()
	want := f.durable
	behind := f.applyWaiting(want)
	since := f.applied
	behind = behind || since != 0 && since < to
	open := make([]mail.MailboxID, 0, len(f.views))
	for id := range f.views {
		open = append(open, id)
	}
	f.mu.Unlock()
	if !behind {
		return
	}
	d, err := a.readSince(ctx, since, open)
	if errors.Is(err, ErrNoAccount) {
		f.deleted()
		return
	}
	if err != nil {
		if ctx.Err() == nil {
			a.store.log.Error("open mailboxes are behind", obs.Account, a.id, obs.Err, err)
		}
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.modseq > f.applied {
		f.apply(d)
		f.applied = d.modseq
	}
	f.version = max(f.version, want)
	f.applyWaiting(want)
}

// readSince gives what has happened to mailboxes after a modseq, as one
// deposit: each entry as it is now.
func (a *Account) readSince(ctx context.Context, since mail.ModSeq, open []mail.MailboxID) (*deposit, error) {
	d := new(deposit)
	err := a.view(ctx, func(r kv.Reader, h *head) error {
		*d = deposit{modseq: h.modseq}
		if h.modseq < since { // it is another account by that number
			return ErrNoAccount
		}
		if h.modseq == since {
			return nil
		}
		if err := a.learnKeywords(r, h); err != nil {
			return err
		}
		touched, err := touchedSince(r, h, since, open)
		if err != nil {
			return err
		}
		for _, t := range touched {
			e, err := a.readEffect(r, h, t)
			if err != nil {
				return err
			}
			d.effects = append(d.effects, e)
		}
		return nil
	})
	return d, err
}

// A touched is what changes say about one mailbox.
type touched struct {
	id       mail.MailboxID
	all      bool // the log does not reach back far enough
	live     []mail.UID
	vanished []mail.UID
}

func touchedSince(r kv.Reader, h *head, since mail.ModSeq, open []mail.MailboxID) ([]touched, error) {
	list := make([]touched, len(open))
	for i, id := range open {
		list[i] = touched{id: id, all: since < h.forgotten}
	}
	if since < h.forgotten {
		return list, nil
	}
	hit := make(map[mail.MailboxID]bool)
	find := func(id mail.MailboxID) *touched {
		for i := range list {
			if list[i].id == id {
				hit[id] = true
				return &list[i]
			}
		}
		return new(touched)
	}
	for c, err := range changesIn(r, since, 0) {
		if err != nil {
			return nil, err
		}
		for _, m := range c.Mailboxes {
			// What has left a mailbox while it was deleted nobody tells.
			t := find(m.Mailbox)
			t.all = t.all || m.Kind != MailboxChanged
		}
		for _, n := range c.Noted {
			find(n.Mailbox) // whose mod-sequence is another
		}
		for _, live := range [...][]Affected{c.Created, c.Changed} {
			for _, of := range live {
				t := find(of.Mailbox)
				t.live = append(t.live, of.UIDs...)
			}
		}
		for _, of := range c.Vanished {
			t := find(of.Mailbox)
			t.vanished = append(t.vanished, of.UIDs...)
		}
	}
	return slices.DeleteFunc(list, func(t touched) bool { return !hit[t.id] }), nil
}

// readEffect reads the present state of what was touched.
func (a *Account) readEffect(r kv.Reader, h *head, t touched) (effect, error) {
	got, err := r.GetMany([][]byte{appendBoxKey(nil, t.id)})
	if err != nil {
		return effect{}, err
	}
	if got[0] == nil {
		return effect{info: Info{ID: t.id}, gone: true}, nil
	}
	m, err := decodeBox(t.id, got[0])
	if err != nil {
		return effect{}, err
	}
	e := effect{info: m.Info, gone: m.removed != 0}
	if e.gone {
		return e, nil
	}
	if t.all {
		s, err := a.readSnapshot(r, h, t.id)
		if err != nil {
			return effect{}, err
		}
		e.whole = true
		for _, seen := range s.Entries(0) {
			e.upserts = append(e.upserts, seen)
		}
		return e, nil
	}
	slices.Sort(t.live)
	t.live = slices.Compact(t.live)
	rows, err := readRows(r, &m, t.live)
	if err != nil {
		return effect{}, err
	}
	for i := range rows {
		seen := rows[i].Entry
		seen.Keywords = a.keywords.intern(rows[i].words)
		e.upserts = append(e.upserts, seen)
	}
	e.vanished = append(t.vanished, missing(t.live, rows)...)
	slices.Sort(e.vanished)
	e.vanished = slices.Compact(e.vanished)
	return e, nil
}

// decodeEntry reads an entry as views show it, with what lies over it.
func (a *Account) decodeEntry(it kv.Item, over *sheets) (Entry, error) {
	if len(it.Key) != 9 {
		return Entry{}, fmt.Errorf("key of an entry: %w", errCorrupt)
	}
	r, err := decodeRow(mail.UID(binary.BigEndian.Uint32(it.Key[5:])), it.Value)
	if err == nil {
		err = over.lay(&r)
	}
	if err != nil {
		return Entry{}, err
	}
	r.Keywords = a.keywords.intern(r.words)
	return r.Entry, nil
}

// missing gives the UIDs that have no row. Both are sorted.
func missing(uids []mail.UID, rows []row) []mail.UID {
	var list []mail.UID
	for _, uid := range uids {
		if len(rows) > 0 && rows[0].UID == uid {
			rows = rows[1:]
			continue
		}
		list = append(list, uid)
	}
	return list
}

// deleted shows that the whole account is gone.
func (f *follower) deleted() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, v := range f.views {
		if v.loaded {
			v.show(v.snapshot.Load().apply(&effect{info: v.snapshot.Load().info, gone: true}))
			delete(f.views, id)
		} else { // it finds out, or shows what comes after
			v.from, v.early = 0, nil
		}
	}
	f.applied, f.version, f.waiting = 0, 0, nil
	f.settleCount()
}

// settleCount follows the number of views.
func (f *follower) settleCount() {
	f.open.Store(int32(len(f.views)))
	if len(f.views) > 0 {
		return
	}
	f.applied, f.version, f.waiting = 0, 0, nil
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}
