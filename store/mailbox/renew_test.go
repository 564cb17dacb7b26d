package mailbox_test

import (
	"errors"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// After an older state has come back, nothing gets a number that it may have
// given before: not when it comes back once more either.
func TestRenew(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	inbox, err := h.Mailbox(ctx, mailbox.InboxName)
	if err != nil {
		t.Fatal(err)
	}
	last := h.add(t, inbox.ID, text("one"), mail.Seen)
	extra, err := h.CreateMailbox(ctx, "Extra", mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.add(t, extra.ID, text("two"), 0)
	for _, at := range []time.Time{start.Add(time.Minute), start.Add(2 * time.Minute)} {
		before, err := h.Mailboxes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		newest := mail.ModSeq(0)
		used := make(map[mail.UIDValidity]bool)
		ids := mail.MailboxID(0)
		for _, m := range before {
			newest, used[m.UIDValidity], ids = max(newest, m.HighestModSeq), true, max(ids, m.ID)
		}
		if err := h.store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := mailbox.Renew(ctx, h.db, 1, at); err != nil {
			t.Fatal(err)
		}
		h.store = mailbox.New(h.db, h.blobs, mailbox.Options{})
		h.Account = h.store.Account(1)
		after, err := h.Mailboxes(ctx)
		if err != nil || len(after) != len(before) {
			t.Fatal(len(after), err)
		}
		for i, m := range after {
			if used[m.UIDValidity] || m.UIDValidity < before[i].UIDValidity || m.HighestModSeq < newest+1e6 {
				t.Errorf("%s: UIDVALIDITY %d, HIGHESTMODSEQ %d, were %d, %d", m.Name, m.UIDValidity, m.HighestModSeq, before[i].UIDValidity, before[i].HighestModSeq)
			}
			used[m.UIDValidity] = true
			if m.Messages != before[i].Messages || m.UIDNext != before[i].UIDNext {
				t.Errorf("%s: %+v, was %+v", m.Name, m, before[i])
			}
		}
		for _, err := range h.Changes(ctx, newest) {
			if !errors.Is(err, mailbox.ErrTooOld) {
				t.Error("changes since a state of before:", err)
			}
		}
		done := h.add(t, inbox.ID, text("more"), 0)
		if done.ModSeq < newest+1e6 || done.Email < last.Email+1e6 {
			t.Errorf("%+v after %+v", done, last)
		}
		last = done
		made, err := h.CreateMailbox(ctx, at.Format("M-05-04"), mailbox.CreateOptions{})
		if err != nil || made.ID < ids+50 || used[made.UIDValidity] {
			t.Errorf("%+v, %v", made, err)
		}
		h.verify(t)
	}
}

// What cannot be read is left to be mended, and what is not there is not made.
func TestRenewNothing(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	if err := mailbox.Renew(t.Context(), h.db, 2, start); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Account(2).Usage(t.Context()); !errors.Is(err, mailbox.ErrNoAccount) {
		t.Error(err)
	}
}
