package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// A mortal is an engine whose program dies after so many transactions.
type mortal struct {
	kv.Store
	left atomic.Int64
}

var errDead = errors.New("the program has died")

func (m *mortal) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	if m.left.Add(-1) < 0 {
		return nil, errDead
	}
	return m.Store.Update(ctx, p, fn)
}

func (m *mortal) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	if m.left.Load() < 0 {
		return errDead
	}
	return m.Store.View(ctx, p, fn)
}

// What takes several transactions is done or undone after the program has
// died between any two of them.
func TestKilledBetween(t *testing.T) {
	const many = 2*copyBatch + 10
	count := func(t *testing.T, a *Account, name string) int {
		t.Helper()
		info, err := a.Mailbox(t.Context(), name)
		if errors.Is(err, ErrNoMailbox) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return info.Messages
	}
	for name, op := range map[string]struct {
		do    func(ctx context.Context, a *Account, uids []mail.UID) error
		check func(t *testing.T, a *Account, done bool)
	}{
		"copy": {
			func(ctx context.Context, a *Account, uids []mail.UID) error {
				_, err := a.Copy(ctx, time.Now(), Inbox, uids, 2)
				return err
			},
			func(t *testing.T, a *Account, done bool) {
				if n := count(t, a, "Drafts"); n != 0 && n != many || done && n == 0 {
					t.Errorf("%d of %d are there", n, many)
				}
			},
		},
		"move": {
			func(ctx context.Context, a *Account, uids []mail.UID) error {
				_, err := a.Move(ctx, time.Now(), Inbox, uids, 2)
				return err
			},
			func(t *testing.T, a *Account, done bool) {
				if n, m := count(t, a, "Drafts"), count(t, a, "INBOX"); n+m != many || done && n != many {
					t.Errorf("%d and %d of %d are there", n, m, many)
				}
			},
		},
		"quit": {
			func(ctx context.Context, a *Account, uids []mail.UID) error { return a.ExpungeAll(ctx, Inbox, uids) },
			func(t *testing.T, a *Account, done bool) {
				if n := count(t, a, "INBOX"); n != 0 && n != many || done && n != 0 {
					t.Errorf("%d of %d are left", n, many)
				}
			},
		},
		"rename": {
			func(ctx context.Context, a *Account, _ []mail.UID) error {
				return a.RenameMailbox(ctx, "INBOX", "old/mail")
			},
			func(t *testing.T, a *Account, done bool) {
				if n, m := count(t, a, "old/mail"), count(t, a, "INBOX"); n+m != many || done && m != 0 {
					t.Errorf("%d and %d of %d are there", n, m, many)
				}
			},
		},
		"purge": {
			func(ctx context.Context, a *Account, uids []mail.UID) error {
				if _, _, err := a.Expunge(ctx, Inbox, uids[:1000], ExpungeOptions{}); err != nil {
					return err
				}
				return a.store.Purge(ctx, time.Now().Add(365*24*time.Hour))
			},
			func(t *testing.T, a *Account, done bool) {
				if n := count(t, a, "INBOX"); n != many && n != many-1000 {
					t.Errorf("%d of %d are left", n, many)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for kill := int64(0); ; kill++ {
					if died := killed(t, kill, many, op.do, op.check); !died || t.Failed() {
						if kill < 3 {
							t.Errorf("only %d transactions", kill)
						}
						return
					}
				}
			})
		})
	}
}

// killed lets the program die after so many transactions of do, and tells
// whether it did.
func killed(t *testing.T, transactions int64, many int, do func(context.Context, *Account, []mail.UID) error,
	check func(t *testing.T, a *Account, done bool)) bool {
	t.Helper()
	ctx := t.Context()
	db := &mortal{Store: memkv.New()}
	db.left.Store(1 << 40)
	blobs := memblob.New(1 << 20)
	s := New(db, blobs, Options{})
	if err := s.Create(ctx, 1, time.Now(), AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	a := s.Account(1)
	uids := fill(t, a, many)
	db.left.Store(transactions)
	err := do(ctx, a, uids)
	died := db.left.Load() < 0
	if died != (err != nil) && err != nil {
		t.Errorf("killed after %d: %v", transactions, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	// The program is started again, and time passes.
	db.left.Store(1 << 40)
	again := New(db, blobs, Options{})
	a = again.Account(1)
	for range 2 {
		if err := a.Verify(ctx); err != nil {
			t.Errorf("killed after %d: %v", transactions, err)
		}
		time.Sleep(2 * patience)
		if err := again.Purge(ctx, time.Now()); err != nil {
			t.Errorf("killed after %d: %v", transactions, err)
		}
	}
	check(t, a, err == nil)
	if err := errors.Join(again.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("killed after %d transactions", transactions)
	}
	return died
}

// fill puts messages into INBOX, most of them copies.
func fill(t *testing.T, a *Account, n int) []mail.UID {
	t.Helper()
	ctx := t.Context()
	var uids []mail.UID
	for i := range 50 {
		body, err := blob.StageBytes(ctx, nil, fmt.Appendf(nil, "Subject: %d\r\n\r\n", i))
		if err != nil {
			t.Fatal(err)
		}
		done, err := a.Append(ctx, time.Now(), NewEntry{Mailbox: Inbox, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, done[0].UID)
	}
	for len(uids) < n {
		done, err := a.Copy(ctx, time.Now(), Inbox, uids[:min(len(uids), n-len(uids), copyBatch)], Inbox)
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, done.Dest...)
	}
	return uids
}
