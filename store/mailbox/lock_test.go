package mailbox_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/store/blob/memblob"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// Two stores on one engine, as on two machines: the lock of one keeps the
// other out for as long as it lives, and a minute after it has died.
func TestSharedMaildropLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, blobs := memkv.New(), memblob.New(0)
		open := func() (*mailbox.Store, *mailbox.Account) {
			s := mailbox.New(db, blobs, mailbox.Options{Shared: true})
			return s, s.Account(1)
		}
		store, one := open()
		other, two := open()
		if err := store.Create(t.Context(), 1, time.Now(), mailbox.AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		lock, err := one.LockMaildrop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(time.Minute)
			if _, err := two.LockMaildrop(t.Context()); !errors.Is(err, mailbox.ErrLocked) {
				t.Fatalf("while the other lives: %v", err)
			}
			if err := lock.Held(); err != nil {
				t.Error(err)
			}
		}
		lock.Unlock()
		lock, err = two.LockMaildrop(t.Context())
		if err != nil {
			t.Fatalf("after the other has unlocked: %v", err)
		}
		// The store's end stops renewing, as the program's death does.
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Second)
		if _, err := one.LockMaildrop(t.Context()); !errors.Is(err, mailbox.ErrLocked) {
			t.Errorf("before the lock has run out: %v", err)
		}
		time.Sleep(20 * time.Second)
		if err := lock.Held(); !errors.Is(err, mailbox.ErrLocked) {
			t.Errorf("a lock that has run out: %v", err)
		}
		next, err := one.LockMaildrop(t.Context())
		if err != nil {
			t.Fatalf("after the lock has run out: %v", err)
		}
		lock.Unlock() // which is not its any more
		if _, err := two.LockMaildrop(t.Context()); err == nil {
			t.Error("unlocked what was another's")
		}
		next.Unlock()
		if _, err := store.Account(2).LockMaildrop(t.Context()); !errors.Is(err, mailbox.ErrNoAccount) {
			t.Errorf("no account: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A mailbox that rests in memory shows, when it is opened again, what another
// store has acknowledged before, though the news may still be on its way.
func TestSharedViewIsCurrent(t *testing.T) {
	h := newHouse(t, mailbox.Options{Shared: true})
	other := mailbox.New(h.db, h.blobs, mailbox.Options{Shared: true})
	defer other.Close()
	for n := range 100 {
		h.add(t, mailbox.Inbox, text("x"), 0)
		v, err := other.Account(1).Open(t.Context(), mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Snapshot().Len(); got != n+1 {
			t.Errorf("%d messages instead of %d", got, n+1)
		}
		v.Close()
	}
}

// So it does with the mod-sequence that an annotation has given the mailbox.
// RFC 7162 §3.2
func TestSharedViewKnowsAnnotations(t *testing.T) {
	h := newHouse(t, mailbox.Options{Shared: true})
	other := mailbox.New(h.db, h.blobs, mailbox.Options{Shared: true})
	defer other.Close()
	for n := range 50 {
		note := mailbox.Annotation{Name: "/shared/comment", Value: []byte{'a' + byte(n%2)}}
		if err := h.Annotate(t.Context(), start, mailbox.Noted{Mailbox: mailbox.Inbox}, note); err != nil {
			t.Fatal(err)
		}
		info, err := h.Mailbox(t.Context(), "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		v, err := other.Account(1).Open(t.Context(), mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Snapshot().Info().HighestModSeq; got != info.HighestModSeq {
			t.Errorf("the view is of mod-sequence %d, the mailbox of %d", got, info.HighestModSeq)
		}
		v.Close()
	}
}
