package mailbox_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

func lost(t *testing.T, h *house) []mailbox.Lost {
	t.Helper()
	var list []mailbox.Lost
	for l, err := range h.Lost(t.Context(), mailbox.LostOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

func TestRecover(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	v := h.open(t, mailbox.Inbox)
	a := h.add(t, mailbox.Inbox, text("keep"), mail.Deleted|mail.Seen)
	if _, _, err := h.Expunge(ctx, mailbox.Inbox, []mail.UID{a.UID}, mailbox.ExpungeOptions{OnlyDeleted: true}); err != nil {
		t.Fatal(err)
	}
	list := lost(t, h)
	if len(list) != 1 || list[0].Entry.Email != a.Email || list[0].Mailbox != mailbox.Inbox {
		t.Fatalf("lost are %+v", list)
	}
	for want := 1; want >= 0; want-- { // the second time there is nothing
		if n, err := h.Recover(ctx, start, list, mailbox.Inbox); n != want || err != nil {
			t.Errorf("recovered %d, %v", n, err)
		}
	}
	if e := v.Snapshot().At(0); e.UID != 2 || e.Flags != mail.Seen || e.Email != a.Email {
		t.Errorf("entry is %+v", e)
	}
	h.check(t, v)
	h.verify(t)
}

func TestRecoverMailbox(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	m, err := h.CreateMailbox(ctx, "x", mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := h.add(t, m.ID, text("keep"), 0)
	if err := h.DeleteMailbox(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	h.verify(t)
	list, err := h.LostMailboxes(ctx)
	if err != nil || len(list) != 1 || list[0].ID != m.ID {
		t.Fatalf("lost are %+v, %v", list, err)
	}
	back, err := h.RecoverMailbox(ctx, m.ID, "y/x")
	if err != nil || back.UIDValidity != m.UIDValidity || back.Messages != 1 {
		t.Errorf("recovered %+v, %v", back, err)
	}
	if e := h.open(t, m.ID).Snapshot().At(0); e.Email != a.Email {
		t.Errorf("entry is %+v", e)
	}
	h.verify(t)
}

// Everything of what is gone goes after the window, bodies too.
func TestPurge(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{Window: time.Hour})
	m, err := h.CreateMailbox(ctx, "x", mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("big ", 50<<10)
	for _, id := range []mail.MailboxID{m.ID, mailbox.Inbox} {
		for range 3 {
			h.add(t, id, text("small", "Message-ID: <a@x>\r\n"), 0)
			h.add(t, id, big, 0)
		}
	}
	if err := h.DeleteMailbox(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Expunge(ctx, mailbox.Inbox, []mail.UID{1, 2, 3, 4, 5, 6}, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	h.verify(t)
	if n, err := h.Purge(ctx, time.Now(), 1000); n != 1 || err != nil { // the change of Create, long ago
		t.Errorf("purged %d, %v, too early", n, err)
	}
	if n := len(lost(t, h)); n != 12 {
		t.Errorf("%d can be recovered", n)
	}
	later := time.Now().Add(2 * time.Hour)
	if err := h.store.Purge(ctx, later); err != nil {
		t.Fatal(err)
	}
	h.verify(t)
	u, err := h.Usage(ctx)
	if err != nil || u.Recoverable != 0 || u.Messages != 0 || u.Bytes != 0 || len(lost(t, h)) != 0 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	for stat, err := range h.blobs.List(ctx, 1) {
		t.Errorf("blob %v is left, %v", stat, err)
	}
	for _, err := range h.Changes(ctx, 0) {
		if !errors.Is(err, mailbox.ErrTooOld) {
			t.Errorf("old changes give %v", err)
		}
	}
	h.add(t, mailbox.Inbox, big, 0)
	// A crash before the commit leaves this; it is not taken before a day.
	if _, err := h.stage(t, big+"more").Keep(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for days, want := range []int{2, 2, 1} {
		if err := h.store.Purge(ctx, time.Now().Add(time.Duration(days)*23*time.Hour)); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range h.blobs.List(ctx, 1) {
			n++
		}
		if n != want {
			t.Errorf("%d blobs after %d days, not %d", n, days, want)
		}
	}
	h.verify(t)
}

// What can be recovered has a limit of its own.
func TestPurgeBeforeTime(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{Recoverable: 200})
	for range 10 {
		a := h.add(t, mailbox.Inbox, text("50 octets"), 0)
		if _, _, err := h.Expunge(ctx, mailbox.Inbox, []mail.UID{a.UID}, mailbox.ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	u, err := h.Usage(ctx)
	if err != nil || u.Recoverable > 200 || u.Recoverable == 0 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	h.verify(t)
}

// Copies of more than one transaction holds are all or none.
func TestLargeCopy(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{Quota: 800_000})
	v, w := h.open(t, mailbox.Inbox), h.open(t, 2)
	uids := []mail.UID{h.add(t, mailbox.Inbox, text("x"), 0).UID}
	for len(uids) < 6000 {
		// Several emails, since one may have only so many places.
		if len(uids) == 1 {
			for range 9 {
				uids = append(uids, h.add(t, mailbox.Inbox, text("x"), 0).UID)
			}
		}
		done, err := h.Copy(ctx, start, mailbox.Inbox, uids[:min(len(uids), 6000-len(uids))], mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, done.Dest...)
	}
	done, err := h.Copy(ctx, start, mailbox.Inbox, uids, 2)
	if err != nil || len(done.Source) != len(uids) || w.Snapshot().Len() != len(uids) {
		t.Fatalf("copied %d, %v", len(done.Source), err)
	}
	h.check(t, w)
	if _, err := h.Copy(ctx, start, mailbox.Inbox, uids, 2); !errors.Is(err, mailbox.ErrOverQuota) {
		t.Errorf("copy gives %v", err)
	}
	if n := w.Snapshot().Len(); n != len(uids) {
		t.Errorf("%d are there after a failure, not %d", n, len(uids))
	}
	if moved, err := h.Move(ctx, start, 2, done.Dest, mailbox.Inbox); err != nil || len(moved.Dest) != len(uids) {
		t.Errorf("moved %d, %v", len(moved.Dest), err)
	}
	gone, _, err := h.Expunge(ctx, mailbox.Inbox, uids, mailbox.ExpungeOptions{})
	if err != nil || len(gone) != len(uids) || v.Snapshot().Len() != len(uids) {
		t.Errorf("expunged %d, %v", len(gone), err)
	}
	h.check(t, v)
	h.check(t, w)
	h.verify(t)
}
