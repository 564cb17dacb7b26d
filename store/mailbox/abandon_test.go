package mailbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"waxwing/mail"
	"waxwing/store/kv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

// An impatient store has the caller give up as soon as a commit has its place.
type impatient struct {
	kv.Store
	giveUp atomic.Pointer[context.CancelFunc]
}

func (s *impatient) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	c, err := s.Store.Update(ctx, p, fn)
	if cancel := s.giveUp.Swap(nil); cancel != nil {
		(*cancel)()
	}
	return leaving{c}, err
}

func (s *impatient) WatchBut(ctx context.Context, p kv.Partition, known func(kv.Version) bool) (<-chan kv.Version, error) {
	return kv.WatchBut(ctx, s.Store, p, known)
}

// A leaving commit is not waited for by who has given up, though it be durable.
type leaving struct{ kv.Commit }

func (c leaving) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.Commit.Wait(ctx)
}

// A change whose maker has not waited for it is shown all the same, once it is
// durable.
func TestAbandonedChange(t *testing.T) {
	engine, err := pebblekv.Open(t.TempDir(), pebblekv.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	db := &impatient{Store: engine}
	h := newHouseOn(t, db, mailbox.Options{})
	a := h.add(t, mailbox.Inbox, text("x"), 0)
	v, err := h.Open(t.Context(), mailbox.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	shown := make(chan struct{}, 100)
	defer v.Subscribe(func() { shown <- struct{}{} })()
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		db.giveUp.Store(&cancel)
		change := mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Flagged}
		if i%2 > 0 {
			change.Op = mailbox.FlagsRemove
		}
		if _, err := h.SetFlags(ctx, mailbox.Inbox, []mail.UID{a.UID}, change); !errors.Is(err, context.Canceled) {
			t.Fatalf("SetFlags gives %v", err)
		}
		for v.Snapshot().At(0).Flags.Has(mail.Flagged) != (i%2 == 0) {
			<-shown
		}
	}
}
