package mailbox_test

import (
	"fmt"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// More mailboxes than are kept, two of which a change needs: one that is not
// kept, and the one that goes first when the other is.
func TestKeptManyMailboxes(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	var boxes []mail.MailboxID
	for i := range 12 {
		m, err := h.CreateMailbox(ctx, fmt.Sprint("box", i), mailbox.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, m.ID)
	}
	for _, id := range boxes {
		h.add(t, id, text(id.String()), 0)
	}
	// The last eight are kept, boxes[4] is the oldest of them.
	for i := range 4 {
		done, err := h.Move(ctx, start, boxes[i], []mail.UID{1}, boxes[4+i])
		if err != nil || len(done.Dest) != 1 {
			t.Fatalf("move from %v to %v: %+v, %v", boxes[i], boxes[4+i], done, err)
		}
	}
	h.verify(t)
}

// A keyword that comes with a change that does nothing is not given a number.
func TestKeywordOfNothing(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	done := h.add(t, mailbox.Inbox, text("one"), 0)
	v := h.open(t, mailbox.Inbox)
	old := done.ModSeq - 1
	set := func(word mail.Keyword, since *mail.ModSeq) mailbox.SetResult {
		t.Helper()
		r, err := h.SetFlags(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.FlagChange{Op: mailbox.FlagsAdd, Keywords: []mail.Keyword{word}, UnchangedSince: since})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := set("never", &old); len(r.Modified) != 1 || r.ModSeq != 0 {
		t.Errorf("%+v", r)
	}
	h.verify(t)
	set("ever", nil)
	if words := spell(h.Keywords(v.Snapshot().At(0).Keywords)); words != "ever" {
		t.Errorf("the keyword is %q", words)
	}
	h.verify(t)
}

// What is lost comes back once, however often it is named.
func TestRecoverTwice(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.add(t, mailbox.Inbox, text("one"), 0)
		if _, _, err := h.Expunge(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
		var lost []mailbox.Lost
		for range 2 {
			for l, err := range h.Lost(ctx, mailbox.LostOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				lost = append(lost, l)
			}
		}
		if n, err := h.Recover(ctx, start, lost, mailbox.Inbox); n != 1 || err != nil {
			t.Errorf("%d came back, %v", n, err)
		}
	})
}

// A list of what is lost may be older than what it tells of.
func TestRecoverWithOldList(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		ctx := t.Context()
		m := h.make(t, "box")
		h.add(t, m.ID, text("one"), 0)
		h.drop(t, "box")
		var lost []mailbox.Lost
		for l, err := range h.Lost(ctx, mailbox.LostOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			lost = append(lost, l)
		}
		if _, err := h.RecoverMailbox(ctx, m.ID, "box"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SetFlags(ctx, m.ID, []mail.UID{1}, mailbox.FlagChange{Flags: mail.Seen | mail.Flagged}); err != nil {
			t.Fatal(err)
		}
		h.add(t, m.ID, text("two"), 0)
		h.drop(t, "box")
		if n, err := h.Recover(ctx, start, lost, mailbox.Inbox); n != 1 || err != nil {
			t.Errorf("%d came back, %v", n, err)
		}
	})
}

// What has left a deleted mailbox is not in it when it comes back, nor in a
// view on another node that has slept over both.
func TestRecoverThinned(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		ctx := t.Context()
		m := h.make(t, "box")
		h.add(t, m.ID, text("one"), 0)
		h.add(t, m.ID, text("two"), 0)
		h.drop(t, "box")
		var lost []mailbox.Lost
		for l, err := range h.Lost(ctx, mailbox.LostOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			lost = append(lost, l)
		}
		if _, err := h.Recover(ctx, start, lost[:1], mailbox.Inbox); err != nil {
			t.Fatal(err)
		}
		back, err := h.RecoverMailbox(ctx, m.ID, "box")
		if err != nil {
			t.Fatal(err)
		}
		if back.UIDValidity == m.UIDValidity {
			t.Error("mail programs cannot see that something is missing")
		}
	})
}

// An empty mailbox that waits to be purged does not keep fuller ones from it.
func TestRecoverableBesideEmpty(t *testing.T) {
	inTime(t, mailbox.Options{Recoverable: 1000}, func(t *testing.T, h *house) {
		ctx := t.Context()
		empty, full := h.make(t, "empty"), h.make(t, "full")
		h.add(t, empty.ID, text("one"), 0)
		if _, _, err := h.Expunge(ctx, empty.ID, []mail.UID{1}, mailbox.ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := h.DeleteMailbox(ctx, "empty"); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			h.add(t, full.ID, text(fmt.Sprint(i)), 0)
		}
		if err := h.DeleteMailbox(ctx, "full"); err != nil {
			t.Fatal(err)
		}
		for n, err := 1, error(nil); n > 0; {
			if n, err = h.Purge(ctx, time.Now(), 1000); err != nil {
				t.Fatal(err)
			}
		}
		if u, err := h.Usage(ctx); err != nil || u.Recoverable > 1000 {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// What was moved into a mailbox that came later and went with it comes back to
// where it was.
func TestRestoreAtFromLaterMailbox(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		h.put(t, mailbox.Inbox, "one", mail.Seen)
		h.put(t, mailbox.Inbox, "two", 0)
		at := time.Now()
		time.Sleep(time.Minute)
		m := h.make(t, "later")
		if _, err := h.Move(t.Context(), time.Now(), mailbox.Inbox, []mail.UID{1}, m.ID); err != nil {
			t.Fatal(err)
		}
		h.put(t, m.ID, "three", 0)
		h.drop(t, "later")
		h.restore(t, mailbox.RestoreOptions{At: at})
		h.wantTree(t, "INBOX: two one+seen")
	})
}
