package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// A maildrop has an account with n messages in its INBOX.
func newMaildrop(t *testing.T, n int) (*Account, mail.MailboxID) {
	t.Helper()
	ctx := t.Context()
	db := memkv.New()
	s := New(db, memblob.New(1<<20), Options{})
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := s.Create(ctx, 1, time.Now(), AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	a := s.Account(1)
	inbox, err := a.Mailbox(ctx, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 100 {
		var entries []NewEntry
		for k := i; k < min(n, i+100); k++ {
			body, err := blob.StageBytes(ctx, nil, fmt.Appendf(nil, "Subject: %d\r\n\r\n", k))
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, NewEntry{Mailbox: inbox.ID, Body: body})
		}
		if _, err := a.Append(ctx, time.Now(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	return a, inbox.ID
}

func messagesIn(t *testing.T, a *Account, id mail.MailboxID) int {
	t.Helper()
	info, err := a.MailboxByID(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return info.Messages
}

func TestExpungeAll(t *testing.T) {
	const n = expungeBatch + 500
	a, inbox := newMaildrop(t, n)
	// Every second one, and some that there are not.
	var uids []mail.UID
	for uid := mail.UID(n + 10); uid > 0; uid -= 2 {
		uids = append(uids, uid)
	}
	for _, part := range [][]mail.UID{uids[:10], uids} {
		if err := a.ExpungeAll(t.Context(), inbox, part); err != nil {
			t.Fatal(err)
		}
	}
	if have := messagesIn(t, a, inbox); have != n/2 {
		t.Errorf("%d messages are left, want %d", have, n/2)
	}
	all := make([]mail.UID, n)
	for i := range all {
		all[i] = mail.UID(i + 1)
	}
	if err := a.ExpungeAll(t.Context(), inbox, all); err != nil {
		t.Fatal(err)
	}
	if have := messagesIn(t, a, inbox); have != 0 {
		t.Errorf("%d messages are left", have)
	}
	if left, err := a.doomed(t.Context(), inbox); err != nil || len(left) != 0 {
		t.Errorf("%d messages are still doomed, %v", len(left), err)
	}
}

// A program that dies after the decision finishes later: at the next login,
// or when what is gone is purged.
func TestFinishExpunge(t *testing.T) {
	for name, finish := range map[string]func(a *Account, inbox mail.MailboxID) error{
		"login": func(a *Account, inbox mail.MailboxID) error { return a.FinishExpunge(t.Context(), inbox) },
		"purge": func(a *Account, inbox mail.MailboxID) error {
			lock, err := a.LockMaildrop(t.Context())
			if err != nil {
				return err
			}
			before := messagesIn(t, a, inbox)
			if err := a.store.Purge(t.Context(), time.Now()); err != nil {
				return err
			}
			if messagesIn(t, a, inbox) != before {
				t.Error("purged under a session")
			}
			lock.Unlock()
			return a.store.Purge(t.Context(), time.Now())
		},
	} {
		t.Run(name, func(t *testing.T) { testFinish(t, finish) })
	}
}

func testFinish(t *testing.T, finish func(*Account, mail.MailboxID) error) {
	a, inbox := newMaildrop(t, 20)
	var doomed []mail.UID
	for uid := mail.UID(1); uid < 20000; uid += 2 { // several rows
		doomed = append(doomed, uid)
	}
	_, err := a.change(t.Context(), time.Now(), nil, nil, func(tx *txn, _ [][]byte) error {
		tx.dirty = true
		putDoomed(tx, inbox, doomed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if have, err := a.doomed(t.Context(), inbox); err != nil || !slices.Equal(have, doomed) {
		t.Fatalf("%d messages are doomed, want %d, %v", len(have), len(doomed), err)
	}
	for range 2 {
		if err := finish(a, inbox); err != nil {
			t.Fatal(err)
		}
		if have := messagesIn(t, a, inbox); have != 10 {
			t.Errorf("%d messages are left, want 10", have)
		}
	}
	if err := a.store.db.View(t.Context(), a.part, func(r kv.Reader) error {
		for it, err := range r.Scan(appendDoomedKey(nil, inbox, 0), appendDoomedKey(nil, inbox+1, 0), kv.ScanOptions{}) {
			return errors.Join(err, fmt.Errorf("row %x is left", it.Key))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
