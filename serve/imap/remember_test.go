package imap

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/store/opened"
)

// restart gives the house a store that has nothing in memory.
func (h *house) restart(db kv.Store, o mailbox.Options) {
	h.t.Helper()
	h.must(h.mailboxes.Close())
	h.mailboxes = mailbox.New(db, h.blobs, o)
}

// remembering makes a door with a list of what is open.
func (h *house) remembering(file string, answers int64) *Door {
	return New(h.mailboxes, h.blobs, Options{Stored: h.db, Answers: answers, Opened: opened.New(file)})
}

// inbox opens alice's INBOX by a door.
func (h *house) inbox(d *Door) *folder {
	h.t.Helper()
	session, err := d.Open(h.t.Context(), nil, sasl.Identity{Account: h.accounts["alice"]})
	h.must(err)
	box, err := session.Open(h.t.Context(), "INBOX")
	h.must(err)
	h.t.Cleanup(func() { box.Close(); session.Close() })
	return box.(*folder)
}

// note has a door note what is in memory.
func (h *house) note(d *Door) {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	stop()
	h.must(d.Remember(ctx))
}

// used fills alice's INBOX, has a client list it, and gives the name of the list
// that the program has left.
func (h *house) used(messages int, kinds ...imap.FetchKind) (file string) {
	h.t.Helper()
	for i := range messages {
		h.append(short(i))
	}
	file = filepath.Join(h.t.TempDir(), "opened")
	door := h.remembering(file, 0)
	box := h.inbox(door)
	for _, kind := range kinds {
		checkReady(h.t, box, imapserver.Answer{Kind: kind}, entriesIn(box))
	}
	h.read(box)
	h.finish(door)
	h.note(door)
	return file
}

// read has a client read half of a mailbox and a little more.
func (h *house) read(f *folder) {
	h.t.Helper()
	entries := entriesIn(f)
	for n := 0; n <= len(entries)/2; n += fewAnswers {
		var ids []mail.EmailID
		for _, e := range entries[n:][:fewAnswers] {
			ids = append(ids, e.Email)
		}
		texts, err := f.Small(h.t.Context(), ids)
		h.must(err)
		texts.Release()
	}
}

// What was in memory is there again after a start, and right.
func TestRemember(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	const messages = 300
	file := h.used(messages, imap.FetchEnvelope, imap.FetchBodyStructure)
	h.append(short(messages)) // which the answers lack
	h.restart(h.db, mailbox.Options{})

	door := h.remembering(file, 0)
	if rest := door.reopen(t.Context(), door.opened.Take()); rest != nil {
		t.Errorf("%v are left", rest)
	}
	views := h.mailboxes.Opened(10, 1)
	if len(views) != 1 {
		t.Fatalf("%d mailboxes are open", len(views))
	}
	if n := door.recalled(); n != 4 {
		t.Errorf("%d sheaves are there, not 2 of each kind", n)
	}
	box := h.inbox(door)
	if box.view != views[0] {
		t.Error("the mailbox is opened a second time")
	}
	for _, kind := range []imap.FetchKind{imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchPreview} {
		checkReady(t, box, imapserver.Answer{Kind: kind}, entriesIn(box))
	}
	want := []opened.Mailbox{{Account: h.accounts["alice"], Mailbox: mailbox.Inbox, Stretches: []opened.Stretch{
		{Kind: 4, First: 0, Last: 1}, {Kind: 2, First: 0, Last: 1}, {Kind: 1, First: 0, Last: 1}, {Kind: textsKind},
	}}}
	h.read(box)
	if list := door.inMemory(); !reflect.DeepEqual(list, want) {
		t.Errorf("%+v is noted, not %+v", list, want)
	}
}

// A list may name what has gone, or has never been. The others come back.
func TestRememberWhatHasGone(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	file := h.used(leastNoted, imap.FetchEnvelope)
	list := opened.New(file).Take()
	alice, bob := h.accounts["alice"], h.accounts["bob"]
	h.must(h.mailboxes.Delete(ctx, bob))
	gone, err := h.mailboxes.Account(alice).CreateMailbox(ctx, "Gone", mailbox.CreateOptions{})
	h.must(err)
	h.must(h.mailboxes.Account(alice).DeleteMailbox(ctx, "Gone"))
	h.restart(h.db, mailbox.Options{})
	strange := []opened.Stretch{{Kind: 0}, {Kind: 6}, {Kind: 1, First: 1 << 31, Last: 1<<32 - 1}, {Kind: 1, Last: 1<<32 - 1}, {Kind: 0x81, Last: 5}}
	list = append([]opened.Mailbox{
		{Account: bob, Mailbox: mailbox.Inbox, Stretches: strange}, {Account: 12345, Mailbox: 1}, {Account: 0, Mailbox: 0},
		{Account: alice, Mailbox: gone.ID, Stretches: strange}, {Account: alice, Mailbox: 999}, {Account: alice, Mailbox: mailbox.Inbox, Stretches: strange},
	}, list...)
	door := h.remembering(file, 0)
	door.reopen(ctx, list)
	if views := h.mailboxes.Opened(10, 0); len(views) != 1 || views[0].Account().ID() != alice || views[0].Mailbox() != mailbox.Inbox {
		t.Errorf("%d mailboxes are open", len(views))
	}
	if n := door.recalled(); n != 1 {
		t.Errorf("%d sheaves are there", n)
	}
	box := h.inbox(door)
	checkReady(t, box, imapserver.Answer{Kind: imap.FetchEnvelope}, entriesIn(box))
}

// What does not fit is not brought back.
func TestRememberLimits(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	file := h.used(600, imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchPreview)
	list := opened.New(file).Take()
	const limit = 60 << 10
	h.restart(h.db, mailbox.Options{})
	door := h.remembering(file, limit)
	door.reopen(t.Context(), list)
	if n := door.recalled(); n == 0 || n == 9 || door.answers.size > limit {
		t.Errorf("%d sheaves are there, of %d octets", n, door.answers.size)
	}
	h.restart(h.db, mailbox.Options{Resting: 1})
	door = h.remembering(file, 0)
	door.reopen(t.Context(), list)
	if n := len(h.mailboxes.Opened(10, 0)); n != 0 {
		t.Errorf("%d mailboxes are open", n)
	}
}

// What an end comes before is named again to the next start.
func TestRememberIsCutShort(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	file := h.used(leastNoted)
	before := opened.New(file)
	want := before.Take()
	if len(want) != 1 {
		t.Fatalf("%v was in memory", want)
	}
	h.must(before.Write(want))
	for range 3 {
		h.restart(h.db, mailbox.Options{})
		h.note(h.remembering(file, 0)) // which has ended before it began
	}
	if list := opened.New(file).Take(); !reflect.DeepEqual(list, want) {
		t.Errorf("%v, not %v", list, want)
	}
}

// A frail store panics while that is wanted.
type frail struct {
	kv.Store
	panics atomic.Bool
}

func (f *frail) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	if f.panics.Load() {
		panic("a bug")
	}
	return f.Store.View(ctx, p, fn)
}

// A panic costs the mailbox that it happens with, for that moment.
func TestRememberPanics(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	file := h.used(leastNoted)
	db := &frail{Store: h.db}
	h.restart(db, mailbox.Options{})
	door := h.remembering(file, 0)
	list := door.opened.Take()
	db.panics.Store(true)
	if rest := door.reopen(t.Context(), list); rest != nil {
		t.Errorf("%v are left", rest)
	}
	db.panics.Store(false)
	if n := h.inbox(door).Snapshot().Len(); n != leastNoted {
		t.Errorf("%d messages", n)
	}
}

// newBubble makes a house in memory, which may stand in a bubble.
func newBubble(t *testing.T) *house {
	h := &house{t: t, db: memkv.New(), blobs: memblob.New(0), accounts: map[string]mail.AccountID{"alice": 1}}
	h.mailboxes = mailbox.New(h.db, h.blobs, mailbox.Options{})
	t.Cleanup(func() { h.must(h.mailboxes.Close()) })
	h.must(h.mailboxes.Create(t.Context(), 1, time.Now(), mailbox.AccountOptions{}))
	return h
}

// It is noted each minute what is in memory.
func TestRememberInTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newBubble(t)
		file := filepath.Join(dir, "opened")
		door := h.remembering(file, 0)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- door.Remember(ctx) }()
		time.Sleep(noteEvery / 2)
		synctest.Wait()
		if list := opened.New(file).Take(); len(list) != 0 {
			t.Errorf("%v before anything is open", list)
		}
		var messages []string
		for i := range leastNoted {
			messages = append(messages, fmt.Sprintf("Subject: %d\r\n\r\n", i))
		}
		h.append(messages...)
		h.inbox(door)
		time.Sleep(noteEvery)
		synctest.Wait()
		if list := opened.New(file).Take(); len(list) != 1 || list[0].Account != mail.AccountID(1) {
			t.Errorf("%v a minute later", list)
		}
		stop()
		h.must(<-ended)
	})
}
