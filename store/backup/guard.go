package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// A Tracker is a store that knows which partitions have been written since it
// was made, so that backups need not look at the others; and how commits fare,
// so that they can stand back.
type Tracker struct {
	kv.Store
	busy    atomic.Int64
	commits atomic.Int64 // begun so far
	ease    ease

	mu     sync.Mutex // guards what follows
	run    string     // tells the counts of this Tracker from those of others
	writes map[kv.Partition]uint64
}

// maxTracked bounds the partitions remembered; beyond it all are forgotten,
// which costs one backup some reading.
const maxTracked = 1 << 20

// Track makes a Tracker of a store that nobody else writes to.
func Track(db kv.Store) *Tracker {
	t := &Tracker{Store: db}
	t.forget()
	return t
}

// forget begins anew. t.mu is held, or nobody has t yet.
func (t *Tracker) forget() {
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails
	t.run, t.writes = hex.EncodeToString(run[:]), make(map[kv.Partition]uint64)
}

// Update implements kv.Store. The write is counted after it has its place in
// the order: a snapshot of a later count holds it.
func (t *Tracker) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	began := time.Now()
	t.busy.Add(1)
	t.commits.Add(1)
	defer t.count(p)
	c, err := t.Store.Update(ctx, p, fn)
	if err != nil {
		t.busy.Add(-1)
		return nil, err
	}
	return &trackedCommit{Commit: c, of: t, began: began}, nil
}

// WatchBut does what kv.WatchBut says.
func (t *Tracker) WatchBut(ctx context.Context, p kv.Partition, known func(kv.Version) bool) (<-chan kv.Version, error) {
	return kv.WatchBut(ctx, t.Store, p, known)
}

func (t *Tracker) count(p kv.Partition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.writes) >= maxTracked {
		t.forget()
	}
	t.writes[p]++
}

// A trackedCommit is under way until it is waited for.
type trackedCommit struct {
	kv.Commit
	of    *Tracker
	began time.Time
	done  atomic.Bool
}

func (c *trackedCommit) Wait(ctx context.Context) error {
	err := c.Commit.Wait(ctx)
	if !c.done.Swap(true) {
		c.of.busy.Add(-1)
		if err == nil {
			now := time.Now()
			c.of.ease.note(now, now.Sub(c.began))
		}
	}
	return err
}

// Versions gives the versions of partitions, as Versioned has them.
func (t *Tracker) Versions(_ context.Context, list []kv.Partition) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = t.run + ":" + strconv.FormatUint(t.writes[p], 10)
	}
	return texts, nil
}

// A Holder is a blob store whose blobs can be kept from being deleted.
type Holder struct {
	blob.Store

	mu    sync.Mutex // guards what follows
	holds map[mail.AccountID]*hold
}

type hold struct {
	count   int
	deleted map[blob.Sum]time.Time // what is to go when the hold ends, and since when
}

// Hold makes a Holder.
func Hold(s blob.Store) *Holder {
	return &Holder{Store: s, holds: make(map[mail.AccountID]*hold)}
}

// Delete implements blob.Store. What is held goes later.
func (h *Holder) Delete(ctx context.Context, key blob.Key) error {
	h.mu.Lock()
	if held := h.holds[key.Owner]; held != nil {
		held.deleted[key.Sum] = time.Now()
		h.mu.Unlock()
		return nil
	}
	h.mu.Unlock()
	return h.Store.Delete(ctx, key)
}

// Reap implements blob.Store. What is held is not reaped; the next sweep does.
func (h *Holder) Reap(ctx context.Context, stat blob.Stat) (bool, error) {
	h.mu.Lock()
	held := h.holds[stat.Key.Owner] != nil
	h.mu.Unlock()
	if held {
		return false, nil
	}
	return h.Store.Reap(ctx, stat)
}

// settled is how long before its deletion a blob must have been kept to be
// deleted after a hold: one that was kept at about that time, by whatever
// clock, may be named again. It is left to the sweep, which asks.
const settled = time.Hour

// Hold keeps the owner's blobs until release is called, which deletes what was
// to be deleted meanwhile and has not been kept again.
func (h *Holder) Hold(id mail.AccountID) (release func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.holds[id]
	if held == nil {
		held = &hold{deleted: make(map[blob.Sum]time.Time)}
		h.holds[id] = held
	}
	held.count++
	return func(ctx context.Context) error {
		h.mu.Lock()
		held.count--
		last := held.count == 0
		if last {
			delete(h.holds, id)
		}
		h.mu.Unlock()
		if !last || len(held.deleted) == 0 {
			return nil
		}
		return h.reap(ctx, id, held.deleted)
	}
}

func (h *Holder) reap(ctx context.Context, id mail.AccountID, deleted map[blob.Sum]time.Time) error {
	var errs []error
	for stat, err := range h.List(ctx, id) {
		if err != nil {
			return fmt.Errorf("delete blobs: %w", errors.Join(append(errs, err)...))
		}
		since, ok := deleted[stat.Key.Sum]
		if !ok || stat.Modified.After(since.Add(-settled)) {
			continue
		}
		if _, err := h.Reap(ctx, stat); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
