package mailbox_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// many appends n entries of one message.
func (h *house) many(t testing.TB, id mail.MailboxID, n int, text string, words ...mail.Keyword) {
	t.Helper()
	b, err := blob.StageBytes(context.Background(), h.blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for ; n > 0; n -= 400 {
		list := make([]mailbox.NewEntry, min(n, 400))
		for i := range list {
			list[i] = mailbox.NewEntry{Mailbox: id, Body: b, Keywords: words}
		}
		if _, err := h.Append(context.Background(), start, list...); err != nil {
			t.Fatal(err)
		}
	}
}

// picture has the images stored.
func (h *house) picture(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := h.store.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// images gives the rows of images.
func (h *house) images(t testing.TB) (rows []kv.Item) {
	t.Helper()
	err := h.db.View(t.Context(), keys.Index(1), func(r kv.Reader) error {
		rows = nil
		for it, err := range r.Scan([]byte{keys.IndexImage}, []byte{keys.IndexImage + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			rows = append(rows, kv.Item{Key: bytes.Clone(it.Key), Value: bytes.Clone(it.Value)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// setImages puts other rows in their place.
func (h *house) setImages(t testing.TB, rows []kv.Item) {
	t.Helper()
	err := kv.Apply(t.Context(), h.db, keys.Index(1), func(tx kv.Txn) error {
		tx.DeleteRange([]byte{keys.IndexImage}, []byte{keys.IndexImage + 1})
		for _, it := range rows {
			tx.Put(it.Key, it.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A shown is an entry with its keywords spelt out.
type shown struct {
	mailbox.Entry
	words string
}

// show lists a snapshot.
func show(a *mailbox.Account, s *mailbox.Snapshot) (list []shown) {
	words := make(map[mailbox.KeywordSet]string)
	for _, e := range s.Entries(0) {
		spelt, ok := words[e.Keywords]
		if !ok {
			spelt = fmt.Sprint(a.Keywords(e.Keywords))
			words[e.Keywords] = spelt
		}
		e.Keywords = 0
		list = append(list, shown{e, spelt})
	}
	return list
}

// opened lists a mailbox as it is opened after a start.
func (h *house) opened(t testing.TB, id mail.MailboxID) ([]shown, error) {
	t.Helper()
	other := mailbox.New(h.db, h.blobs, mailbox.Options{})
	defer other.Close()
	a := other.Account(1)
	v, err := a.Open(t.Context(), id)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	consistent(t, v.Snapshot())
	return append(show(a, v.Snapshot()), shown{words: fmt.Sprintf("%+v", v.Snapshot().Info())}), nil
}

// sameOpened opens a mailbox with the images that there are and without.
func (h *house) sameOpened(t testing.TB, id mail.MailboxID) {
	t.Helper()
	with, err := h.opened(t, id)
	if err != nil {
		t.Fatal(err)
	}
	rows := h.images(t)
	h.setImages(t, nil)
	without, err := h.opened(t, id)
	if err != nil {
		t.Fatal(err)
	}
	h.setImages(t, rows)
	if !slices.Equal(with, without) {
		for i := range min(len(with), len(without)) {
			if with[i] != without[i] {
				t.Fatalf("%d with its image is %+v, without %+v", i, with[i], without[i])
			}
		}
		t.Fatalf("%d entries with the image, %d without", len(with)-1, len(without)-1)
	}
}

// A mailbox that is opened from its image is what it is without, whatever has
// happened since that was made.
func TestImage(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	r := rand.New(rand.NewPCG(41, 42))
	other, err := h.CreateMailbox(ctx, "Other", mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.many(t, mailbox.Inbox, 2000, text("many"))
	h.many(t, mailbox.Inbox, 300, text("words"), "one", "two")
	v := h.open(t, mailbox.Inbox)
	for round := range 12 {
		if round%3 == 0 {
			h.picture(t)
		}
		for range r.IntN(4) {
			s := v.Snapshot()
			from, n := r.IntN(s.Len()), 1+r.IntN(40)
			if r.IntN(5) == 0 {
				n = 1500 // a sheet, or more than are read again
			}
			var uids []mail.UID
			for i := from; i < min(s.Len(), from+n); i++ {
				uids = append(uids, s.At(i).UID)
			}
			switch r.IntN(4) {
			case 0:
				_, _, err = h.Expunge(ctx, mailbox.Inbox, uids[:min(len(uids), 30)], mailbox.ExpungeOptions{})
			case 1:
				h.many(t, mailbox.Inbox, 1+r.IntN(20), text(fmt.Sprint(round)), mail.Keyword(fmt.Sprint("word", r.IntN(9))))
			case 2:
				h.many(t, other.ID, 3, text("elsewhere"))
			default:
				_, err = h.SetFlags(ctx, mailbox.Inbox, uids, mailbox.FlagChange{
					Op: mailbox.FlagOp(r.IntN(3)), Flags: mail.Seen, Keywords: []mail.Keyword{"two"},
				})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		h.sameOpened(t, mailbox.Inbox)
	}
	if len(h.images(t)) < 2 {
		t.Errorf("%d rows of images", len(h.images(t)))
	}
	h.check(t, v)
}

// An image is what is read: an entry that is damaged is not met by who has one.
func TestImageIsUsed(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	h.many(t, mailbox.Inbox, 1200, text("many"))
	v := h.open(t, mailbox.Inbox)
	h.picture(t)
	h.add(t, mailbox.Inbox, text("later"), mail.Flagged)
	want := append(show(h.Account, v.Snapshot()), shown{words: fmt.Sprintf("%+v", v.Snapshot().Info())})
	key := append([]byte{keys.Entry}, 0, 0, 0, byte(mailbox.Inbox), 0, 0, 0, 7)
	if err := kv.Apply(t.Context(), h.db, keys.Account(1), func(tx kv.Txn) error { tx.Put(key, []byte("?")); return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := h.opened(t, mailbox.Inbox); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d entries, %v", len(got), err)
	}
	h.setImages(t, nil)
	if _, err := h.opened(t, mailbox.Inbox); err == nil {
		t.Error("a damaged entry is not met without an image")
	}
}

// An image of which anything is missing or foreign is none, and one of another
// life of the mailbox is not taken.
func TestImageIsDamaged(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	h.many(t, mailbox.Inbox, 3100, text("many"), "word")
	v := h.open(t, mailbox.Inbox)
	h.picture(t)
	old := h.images(t)
	h.many(t, mailbox.Inbox, 100, text("more"))
	h.picture(t)
	rows := h.images(t)
	if len(rows) != 3 || len(old) != 3 {
		t.Fatalf("%d rows, %d before", len(rows), len(old))
	}
	for i := range rows {
		for _, value := range [][]byte{nil, {}, {9}, rows[i].Value[:20], rows[i].Value[:len(rows[i].Value)-40], rows[i].Value[:len(rows[i].Value)-1],
			old[i].Value, rows[(i+1)%3].Value} {
			changed := slices.Clone(rows)
			changed[i].Value = value
			if value == nil {
				changed = slices.Delete(changed, i, i+1)
			}
			h.setImages(t, changed)
			h.sameOpened(t, mailbox.Inbox)
		}
	}
	h.setImages(t, old)
	h.sameOpened(t, mailbox.Inbox)
	v.Close()
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mailbox.Renew(t.Context(), h.db, 1, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.sameOpened(t, mailbox.Inbox)
	h.store = mailbox.New(h.db, h.blobs, mailbox.Options{})
	h.Account = h.store.Account(1)
}

// Images go with their mailboxes, and with the account.
func TestImagesGo(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	gone, err := h.CreateMailbox(ctx, "Gone", mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.many(t, gone.ID, 1000, text("many"))
	h.many(t, mailbox.Inbox, 1000, text("many"))
	h.open(t, gone.ID)
	h.open(t, mailbox.Inbox)
	h.picture(t)
	if n := len(h.images(t)); n != 2 {
		t.Fatalf("%d rows", n)
	}
	if err := h.DeleteMailbox(ctx, "Gone"); err != nil {
		t.Fatal(err)
	}
	h.many(t, mailbox.Inbox, 100, text("more"))
	h.picture(t)
	if n := len(h.images(t)); n != 1 {
		t.Errorf("%d rows when a mailbox has gone", n)
	}
	if err := h.store.Delete(ctx, 1); err != nil {
		t.Fatal(err)
	}
	h.picture(t)
	if n := len(h.images(t)); n != 0 {
		t.Errorf("%d rows when the account has gone", n)
	}
}

// A mailbox has its image made when it has been left alone for a while, and not
// again for one message.
func TestImageInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{db: memkv.New(), blobs: memblob.New(0)}
		h.store = mailbox.New(h.db, h.blobs, mailbox.Options{})
		if err := h.store.Create(t.Context(), 1, start, mailbox.AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		h.Account = h.store.Account(1)
		h.many(t, mailbox.Inbox, 1000, text("many"))
		v, err := h.Open(t.Context(), mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := h.store.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		first := h.images(t)
		if len(first) != 1 {
			t.Errorf("%d rows", len(first))
		}
		h.add(t, mailbox.Inbox, text("one more"), 0)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if now := h.images(t); len(now) != 1 || !bytes.Equal(now[0].Value, first[0].Value) {
			t.Error("the image is made again for one message")
		}
		h.many(t, mailbox.Inbox, 100, text("more"))
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if now := h.images(t); len(now) != 1 || bytes.Equal(now[0].Value, first[0].Value) {
			t.Error("the image is not made again for a hundred messages")
		}
		stop()
		running.Wait()
		v.Close()
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Images are made while others change the mailbox.
func TestImageBesideChanges(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	h.many(t, mailbox.Inbox, 1000, text("many"))
	h.open(t, mailbox.Inbox)
	var changing sync.WaitGroup
	for w := range 2 {
		changing.Go(func() {
			for i := range 30 {
				_, err := h.SetFlags(context.Background(), mailbox.Inbox, []mail.UID{mail.UID(1 + 30*w + i)},
					mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Seen})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		h.picture(t)
		if _, err := h.opened(t, mailbox.Inbox); err != nil {
			t.Error(err)
		}
	}
	changing.Wait()
	h.sameOpened(t, mailbox.Inbox)
}
