package mailbox_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"waxwing/mail"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// boxesOf gives the mailboxes of Views.
func boxesOf(views []*mailbox.View) (list []mail.MailboxID) {
	for _, v := range views {
		list = append(list, v.Mailbox())
	}
	return list
}

// What is open comes first, and then what was last used; what was opened beforehand
// is behind it.
func TestOpened(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ids := []mail.MailboxID{mailbox.Inbox}
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		info, err := h.CreateMailbox(t.Context(), name, mailbox.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, info.ID)
	}
	a, b, c, d, e := ids[1], ids[2], ids[3], ids[4], ids[5]
	for _, id := range ids[:5] { // nothing is in E
		h.many(t, id, 3, text("some"))
	}
	for _, id := range []mail.MailboxID{a, b, e} {
		v, err := h.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		v.Close()
	}
	held := h.open(t, mailbox.Inbox)
	for _, id := range []mail.MailboxID{c, d, a, mailbox.Inbox} { // of which two are there already
		if v, err := h.Reopen(t.Context(), id); err != nil || v == nil || v.Mailbox() != id || v.Account() != h.Account {
			t.Fatalf("%v is not opened beforehand: %v", id, err)
		}
	}
	for _, tt := range []struct {
		most, entries int
		want          []mail.MailboxID
	}{
		{10, 0, []mail.MailboxID{mailbox.Inbox, e, b, a, c, d}},
		{10, 3, []mail.MailboxID{mailbox.Inbox, b, a, c, d}},
		{2, 3, []mail.MailboxID{mailbox.Inbox, b}},
		{10, 4, nil},
	} {
		if got := boxesOf(h.store.Opened(tt.most, tt.entries)); !slices.Equal(got, tt.want) {
			t.Errorf("of %d with %d entries %v are open, not %v", tt.most, tt.entries, got, tt.want)
		}
	}
	if v := h.open(t, c); v != h.store.Opened(10, 0)[1] {
		t.Error("what has been opened beforehand is loaded again")
	}
	h.check(t, held)
}

// No more than half of what may rest is opened beforehand.
func TestReopenIsBounded(t *testing.T) {
	h := newHouse(t, mailbox.Options{Resting: 600})
	h.many(t, mailbox.Inbox, 50, text("some"))
	other, err := h.CreateMailbox(t.Context(), "Other", mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := h.Reopen(t.Context(), mailbox.Inbox); v == nil || err != nil {
		t.Fatalf("%v", err)
	}
	if v, err := h.Reopen(t.Context(), other.ID); v != nil || err != nil {
		t.Errorf("a second one is opened: %v", err)
	}
	if v, err := h.Reopen(t.Context(), mailbox.Inbox); v == nil || err != nil {
		t.Errorf("what is there is not found: %v", err)
	}
	if got := boxesOf(h.store.Opened(10, 0)); !slices.Equal(got, []mail.MailboxID{mailbox.Inbox}) {
		t.Errorf("%v are open", got)
	}
}

// A frail engine panics when it is asked anything, once it may.
type frail struct {
	kv.Store
	may chan struct{}
}

func (f *frail) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	if f.may != nil {
		<-f.may
		panic("a bug")
	}
	return f.Store.View(ctx, p, fn)
}

// When loading a mailbox panics, which ends who began it, others who wait for it
// are told, and the next one finds it.
func TestOpenPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &frail{Store: memkv.New()}
		s := mailbox.New(db, memblob.New(0), mailbox.Options{})
		if err := s.Create(t.Context(), 1, start, mailbox.AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		a := s.Account(1)
		db.may = make(chan struct{})
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			_, err := a.Open(t.Context(), mailbox.Inbox)
			t.Error(err)
		}()
		synctest.Wait()
		waiting := make(chan error, 1)
		go func() {
			_, err := a.Open(t.Context(), mailbox.Inbox)
			waiting <- err
		}()
		synctest.Wait()
		close(db.may)
		if p := <-panicked; p == nil {
			t.Error("there was no panic")
		}
		if err := <-waiting; err == nil {
			t.Error("a mailbox is open that has not been loaded")
		}
		db.may = nil
		v, err := a.Open(t.Context(), mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		v.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
