package mailbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// A scale weighs the transactions of an engine.
type scale struct {
	kv.Store
	updates, writes, reads int // how many; the most of one
}

type weighed struct {
	kv.Txn
	writes, reads int
}

func (s *scale) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	w := &weighed{}
	s.updates++
	commit, err := s.Store.Update(ctx, p, func(tx kv.Txn) error {
		*w = weighed{Txn: tx}
		return fn(w)
	})
	s.writes, s.reads = max(s.writes, w.writes), max(s.reads, w.reads)
	return commit, err
}

func (w *weighed) GetMany(keys [][]byte) ([][]byte, error) { w.reads++; return w.Txn.GetMany(keys) }
func (w *weighed) Get(key []byte) ([]byte, error)          { w.reads++; return w.Txn.Get(key) }
func (w *weighed) Put(key, value []byte)                   { w.writes++; w.Txn.Put(key, value) }
func (w *weighed) Delete(key []byte)                       { w.writes++; w.Txn.Delete(key) }

// crowd fills a mailbox with messages that have much to say of their threads.
func crowd(t *testing.T, s *Store, a *Account, id mail.MailboxID, n int) {
	t.Helper()
	for i := range n {
		var refs strings.Builder
		for j := range maxMentions {
			fmt.Fprintf(&refs, " <%d.%d@x>", i, j)
		}
		b, err := blob.StageBytes(t.Context(), s.blobs, fmt.Appendf(nil, "Message-ID: <%d@x>\r\nReferences:%s\r\n\r\n%s", i, refs.String(), strings.Repeat("body ", 13_000)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Append(t.Context(), time.Now(), NewEntry{Mailbox: id, Body: b}); err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
}

// However much is to be purged, no transaction is long: a delivery that comes
// meanwhile waits for a few round trips. An account at rest is not written to.
func TestPurgeIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		db := &scale{Store: memkv.New()}
		defer db.Close()
		s := New(db, memblob.New(0), Options{})
		defer s.Close()
		if err := s.Create(ctx, 1, time.Now(), AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		a := s.Account(1)
		crowd(t, s, a, Inbox, 3*purgeBatch)
		crowd(t, s, a, 2, 2*purgeBatch)
		uids := make([]mail.UID, 3*purgeBatch)
		for i := range uids {
			uids[i] = mail.UID(i + 1)
		}
		if _, _, err := a.Expunge(ctx, Inbox, uids, ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := a.DeleteMailbox(ctx, "Drafts"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * 24 * time.Hour)
		db.updates, db.writes, db.reads = 0, 0, 0
		if err := s.Purge(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d transactions, at most %d writes and %d reads", db.updates, db.writes, db.reads)
		if db.writes > 35*purgeBatch || db.reads > 8 || db.updates < 6 {
			t.Errorf("%d transactions, at most %d writes and %d reads", db.updates, db.writes, db.reads)
		}
		if u, err := a.Usage(ctx); err != nil || u.Recoverable != 0 {
			t.Errorf("usage is %+v, %v", u, err)
		}
		if err := a.Verify(ctx); err != nil {
			t.Error(err)
		}
		db.updates = 0
		if err := s.Purge(ctx, time.Now().Add(time.Hour)); err != nil || db.updates != 0 {
			t.Errorf("%d transactions on an account at rest, %v", db.updates, err)
		}
	})
}

// Two nodes do not purge one account at a time, and a dead one does not keep
// the other from it for long.
func TestPurgeLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		db, blobs := memkv.New(), memblob.New(0)
		defer db.Close()
		dead, alive := New(db, blobs, Options{}), New(db, blobs, Options{})
		defer alive.Close()
		if err := dead.Create(ctx, 1, time.Now(), AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		crowd(t, dead, dead.Account(1), Inbox, 1)
		if _, _, err := dead.Account(1).Expunge(ctx, Inbox, []mail.UID{1}, ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * 24 * time.Hour)
		if mine, err := dead.Account(1).claim(ctx, time.Now()); !mine || err != nil {
			t.Fatal(mine, err)
		}
		dead.Close()
		for _, want := range []bool{true, false} {
			if err := alive.Purge(ctx, time.Now()); err != nil {
				t.Fatal(err)
			}
			u, err := alive.Account(1).Usage(ctx)
			if err != nil || (u.Recoverable > 0) != want {
				t.Errorf("usage is %+v, %v", u, err)
			}
			time.Sleep(leaseFor)
		}
	})
}

// The oldest goes first when there is too much, be it expunged or in a deleted
// mailbox.
func TestPurgeOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		db := memkv.New()
		defer db.Close()
		s := New(db, memblob.New(0), Options{Recoverable: 250_000})
		defer s.Close()
		if err := s.Create(ctx, 1, time.Now(), AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		a := s.Account(1)
		crowd(t, s, a, 2, 1) // 65 kB each
		crowd(t, s, a, Inbox, 5)
		if err := a.DeleteMailbox(ctx, "Drafts"); err != nil {
			t.Fatal(err)
		}
		for uid := range mail.UID(5) {
			time.Sleep(time.Minute)
			if _, _, err := a.Expunge(ctx, Inbox, []mail.UID{uid + 1}, ExpungeOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		var left []mail.UID
		for l, err := range a.Lost(ctx, LostOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Whole {
				t.Error("the mailbox went first, and is there")
			}
			left = append(left, l.Entry.UID)
		}
		if fmt.Sprint(left) != "[3 4 5]" {
			t.Errorf("left are %v", left)
		}
		if err := a.Verify(ctx); err != nil {
			t.Error(err)
		}
	})
}
