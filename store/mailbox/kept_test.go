package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/mail"
	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

// Two nodes change one account by turns; what one keeps in memory between its
// changes must not hide what the other has done.
func TestKeptBesideAnotherNode(t *testing.T) {
	onBoth(t, keptBesideAnotherNode)
}

// onBoth runs a test on an engine that tells nothing of its commits, and on one
// that does.
func onBoth(t *testing.T, test func(*testing.T, kv.Store)) {
	t.Run("silent", func(t *testing.T) { test(t, memkv.New()) })
	t.Run("dated", func(t *testing.T) {
		db, err := pebblekv.Open("store", pebblekv.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		test(t, db)
	})
}

func keptBesideAnotherNode(t *testing.T, db kv.Store) {
	h := newHouseOn(t, db, mailbox.Options{Window: time.Hour})
	other := mailbox.New(h.db, h.blobs, mailbox.Options{Window: time.Hour})
	defer other.Close()
	nodes := []*house{h, {db: h.db, blobs: h.blobs, store: other, Account: other.Account(1)}}
	ctx := context.Background()
	chance := rand.New(rand.NewPCG(1, 2))
	now := start
	var boxes []mail.MailboxID
	names := make(map[mail.MailboxID]string)
	for i := range 3 {
		m, err := h.CreateMailbox(ctx, fmt.Sprint("box", i), mailbox.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		boxes, names[m.ID] = append(boxes, m.ID), m.Name
	}
	sent := 0
	node := h
	for range 600 {
		if chance.IntN(4) == 0 {
			node = nodes[chance.IntN(2)]
		}
		box := boxes[chance.IntN(len(boxes))]
		now = now.Add(time.Minute)
		var err error
		switch chance.IntN(10) {
		case 0:
			name := fmt.Sprint("box", sent, "-", box)
			if name != names[box] {
				err = node.RenameMailbox(ctx, names[box], name)
			}
			names[box] = name
		case 1:
			_, _, err = node.Expunge(ctx, box, []mail.UID{1, 2, mail.UID(chance.IntN(20))}, mailbox.ExpungeOptions{})
		case 2:
			_, err = node.Purge(ctx, now, 50)
		case 3:
			_, err = node.SetFlags(ctx, box, []mail.UID{3, 4, 5}, mailbox.FlagChange{Op: mailbox.FlagOp(chance.IntN(3)), Flags: mail.Seen})
		case 4:
			_, err = node.Copy(ctx, now, box, []mail.UID{1, 7, 8}, boxes[chance.IntN(len(boxes))])
		case 5: // the same once more: the body and the thread are known
			node.add(t, box, text("again", fmt.Sprintf("Message-ID: <%d@example.test>\r\n", chance.IntN(sent+1))), 0)
		default:
			sent++
			node.add(t, box, text("again", fmt.Sprintf("Message-ID: <%d@example.test>\r\n", sent)), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h.verify(t)
}

// A message is known again by its body and its Message-ID whether the node has
// just started, has kept what came, or has learnt what there is.
func TestKeptKnowsWhatIsThere(t *testing.T) { onBoth(t, keptKnowsWhatIsThere) }

func keptKnowsWhatIsThere(t *testing.T, db kv.Store) {
	h := newHouseOn(t, db, mailbox.Options{})
	letter := func(i int) string {
		return text("about", fmt.Sprintf("Message-ID: <%d@example.test>\r\nX: %d\r\n", i, i))
	}
	reply := func(i, to int) string {
		return text("Re: about", fmt.Sprintf("Message-ID: <r%d@example.test>\r\nReferences: <%d@example.test>\r\n", i, to))
	}
	const n = 40
	threads := make([]mail.ThreadID, n)
	for i := range n {
		threads[i] = h.add(t, mailbox.Inbox, letter(i), 0).Thread
	}
	check := func(round int) {
		for i := range n {
			if got := h.add(t, mailbox.Inbox, letter(i), 0); got.Thread != threads[i] {
				t.Errorf("round %d: letter %d came into thread %v, not %v", round, i, got.Thread, threads[i])
			}
			if got := h.add(t, mailbox.Inbox, reply(1000*round+i, i), 0); got.Thread != threads[i] {
				t.Errorf("round %d: the answer to %d came into thread %v, not %v", round, i, got.Thread, threads[i])
			}
		}
		h.verify(t) // also counts who shares a body
	}
	check(1)
	h.store.Close()
	h.store = mailbox.New(h.db, h.blobs, mailbox.Options{})
	h.Account = h.store.Account(1)
	check(2)
	check(3)
}

// An account that is deleted and made again, by somebody else, is another one.
func TestKeptOfDeletedAccount(t *testing.T) { onBoth(t, keptOfDeletedAccount) }

func keptOfDeletedAccount(t *testing.T, db kv.Store) {
	h := newHouseOn(t, db, mailbox.Options{})
	other := mailbox.New(h.db, h.blobs, mailbox.Options{})
	defer other.Close()
	ctx := context.Background()
	h.add(t, mailbox.Inbox, text("one"), 0)
	if err := other.Delete(ctx, 1); err != nil {
		t.Fatal(err)
	}
	b := h.stage(t, text("two"))
	if _, err := h.Append(ctx, start, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: b}); !errors.Is(err, mailbox.ErrNoAccount) {
		t.Fatalf("append to a deleted account: %v", err)
	}
	if err := other.Create(ctx, 1, start, mailbox.AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := h.add(t, mailbox.Inbox, text("two"), 0); got.UID != 1 || got.Email != 1 {
		t.Errorf("the first message of a new account is %+v", got)
	}
	h.verify(t)
}

// The same on an engine that runs functions again and takes its time.
func TestKeptFarAway(t *testing.T) {
	db := kvtest.Far(memkv.New(), time.Millisecond)
	h := newHouseOn(t, db, mailbox.Options{})
	other := mailbox.New(db, h.blobs, mailbox.Options{})
	defer other.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			node := h
			if i%2 == 1 {
				node = &house{db: db, blobs: h.blobs, store: other, Account: other.Account(1)}
			}
			for j := range 5 {
				b := node.stage(t, text("far", fmt.Sprintf("Message-ID: <%d@example.test>\r\n", j)))
				if _, err := node.Append(context.Background(), start, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: b}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	h.verify(t)
	if s := h.fresh(t, mailbox.Inbox); s.Len() != 40 {
		t.Errorf("%d messages have come", s.Len())
	}
}
