package mailbox_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/fsblob"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
	"waxwing/test/engine"
)

var start = time.Unix(1_700_000_000, 0).UTC()

// A house is a store with one account, for a test.
type house struct {
	db    kv.Store
	blobs blob.Store
	store *mailbox.Store
	*mailbox.Account
}

func newHouse(t testing.TB, o mailbox.Options) *house {
	t.Helper()
	return newHouseOn(t, engine.New(t), o)
}

func newHouseOn(t testing.TB, db kv.Store, o mailbox.Options) *house {
	t.Helper()
	blobs, err := fsblob.Open(t.TempDir(), fsblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{db: db, blobs: blobs, store: mailbox.New(db, blobs, o)}
	t.Cleanup(func() {
		for _, err := range []error{h.store.Close(), blobs.Close(), h.db.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	if err := h.store.Create(context.Background(), 1, start, mailbox.AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	h.Account = h.store.Account(1)
	return h
}

// text makes a small message.
func text(subject string, more ...string) string {
	return "From: ann@example.test\r\nSubject: " + subject + "\r\n" + strings.Join(more, "") + "\r\nHello.\r\n"
}

func (h *house) stage(t testing.TB, text string) *blob.Staged {
	t.Helper()
	b, err := blob.StageBytes(context.Background(), h.blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// add appends one message.
func (h *house) add(t testing.TB, id mail.MailboxID, text string, flags mail.Flags) mailbox.Appended {
	t.Helper()
	b, err := blob.StageBytes(context.Background(), h.blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	done, err := h.Append(context.Background(), start, mailbox.NewEntry{Mailbox: id, Body: b, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return done[0]
}

func (h *house) open(t testing.TB, id mail.MailboxID) *mailbox.View {
	t.Helper()
	v, err := h.Open(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func (h *house) verify(t testing.TB) {
	t.Helper()
	if err := h.Verify(context.Background()); err != nil {
		t.Error(err)
	}
}

// fresh reads a mailbox as another node would see it.
func (h *house) fresh(t testing.TB, id mail.MailboxID) *mailbox.Snapshot {
	t.Helper()
	other := mailbox.New(h.db, h.blobs, mailbox.Options{})
	defer other.Close()
	v, err := other.Account(1).Open(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	return v.Snapshot()
}

// entries lists a snapshot; keyword sets are spelt out, since their numbers
// differ from node to node.
func entries(a *mailbox.Account, s *mailbox.Snapshot) []string {
	var list []string
	for _, e := range s.Entries(0) {
		words := a.Keywords(e.Keywords)
		e.Keywords = 0
		list = append(list, fmt.Sprintf("%+v %v", e, words))
	}
	return list
}

// check compares an open view with what the engine has.
func (h *house) check(t testing.TB, v *mailbox.View) {
	t.Helper()
	other := mailbox.New(h.db, h.blobs, mailbox.Options{})
	defer other.Close()
	a := other.Account(1)
	w, err := a.Open(context.Background(), v.Mailbox())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	have, want := v.Snapshot(), w.Snapshot()
	if have.Info() != want.Info() {
		t.Errorf("view has %+v, engine %+v", have.Info(), want.Info())
	}
	if x, y := entries(h.Account, have), entries(a, want); !slices.Equal(x, y) {
		t.Errorf("view has\n%s\nengine\n%s", strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
	consistent(t, have)
}

// consistent checks that all ways to read a snapshot agree.
func consistent(t testing.TB, s *mailbox.Snapshot) {
	t.Helper()
	n := 0
	last := mail.UID(0)
	for i, e := range s.Entries(0) {
		if i != n || e.UID <= last || s.At(i) != e || s.Stretch(i)[0] != e {
			t.Fatalf("entry %d of %d: %+v", i, n, e)
		}
		if j, found := s.Find(e.UID); !found || i != j {
			t.Fatalf("UID %d found at %d, is at %d", e.UID, j, i)
		}
		if j, found := s.Find(last + 1); last+1 != e.UID && (found || i != j) {
			t.Fatalf("UID %d would be at %d, is said to be at %d", last+1, i, j)
		}
		last = e.UID
		n++
	}
	if n != s.Len() || n != s.Info().Messages && !s.Gone() {
		t.Fatalf("%d entries, Len %d, Messages %d", n, s.Len(), s.Info().Messages)
	}
	if more := s.Stretch(n); len(more) > 0 {
		t.Fatalf("%d entries behind the last", len(more))
	}
	if i, found := s.Find(last + 1); found || i != n {
		t.Fatalf("behind the last is %d, %v", i, found)
	}
}
