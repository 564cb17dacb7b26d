package mailbox_test

import (
	"errors"
	"fmt"
	"testing"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// REPLACE is one change: the quota counts what is left, and what fails leaves
// all as it was.
func TestReplace(t *testing.T) {
	h := newHouse(t, mailbox.Options{Quota: 1000})
	ctx := t.Context()
	sized := func(n int) string { return fmt.Sprintf("a: b\r\n\r\n%0*d", n-8, n) }
	entry := func(to mail.MailboxID, n int) mailbox.NewEntry {
		return mailbox.NewEntry{Mailbox: to, Body: h.stage(t, sized(n)), Flags: mail.Draft}
	}
	first := h.add(t, 2, sized(900), 0)
	view := h.open(t, 2)
	second, err := h.Replace(ctx, start, 2, first.UID, entry(2, 901))
	if err != nil {
		t.Fatal(err)
	}
	if second.UID != first.UID+1 || second.Email == first.Email {
		t.Fatalf("%+v after %+v", second, first)
	}
	if s := view.Snapshot(); s.Len() != 1 || s.At(0).UID != second.UID || s.At(0).Flags != mail.Draft {
		t.Fatalf("%d messages, %+v", s.Len(), s.Info())
	}
	if _, err := h.Replace(ctx, start, 2, first.UID, entry(1, 10)); !errors.Is(err, mailbox.ErrNoMessage) {
		t.Fatalf("replacing what is gone: %v", err)
	}
	if _, err := h.Replace(ctx, start, 2, second.UID, entry(1, 1001)); !errors.Is(err, mailbox.ErrOverQuota) {
		t.Fatalf("over the quota: %v", err)
	}
	if s := view.Snapshot(); s.Len() != 1 || s.At(0).UID != second.UID {
		t.Fatalf("%d messages after failures", s.Len())
	}
	if _, err := h.Replace(ctx, start, 2, second.UID, entry(1, 1000)); err != nil {
		t.Fatal(err)
	}
	h.check(t, view)
	h.verify(t)
}

// Messages that are too many for one transaction are added all the same, or
// none of them.
func TestAppendMany(t *testing.T) {
	h := newHouse(t, mailbox.Options{Quota: 9 << 20})
	ctx := t.Context()
	entries := make([]mailbox.NewEntry, 2100)
	for i := range entries {
		size := 10
		if i < 80 {
			size = 60 << 10 // inline, and together more than a transaction takes
		}
		entries[i] = mailbox.NewEntry{Mailbox: 1, Body: h.stage(t, fmt.Sprintf("a: b\r\n\r\n%0*d", size, i))}
	}
	view := h.open(t, 1)
	done, err := h.AppendMany(ctx, start, 1, entries)
	if err != nil || len(done) != len(entries) {
		t.Fatalf("%d of %d, %v", len(done), len(entries), err)
	}
	for i := range done {
		if done[i].UID != mail.UID(i+1) {
			t.Fatalf("message %d has UID %d", i, done[i].UID)
		}
	}
	h.check(t, view)
	h.verify(t)
	if done, err := h.AppendMany(ctx, start, 1, entries); !errors.Is(err, mailbox.ErrOverQuota) || done != nil {
		t.Fatalf("over the quota: %d messages, %v", len(done), err)
	}
	if n := view.Snapshot().Len(); n != len(entries) {
		t.Fatalf("%d messages after a failure", n)
	}
	h.check(t, view)
	h.verify(t)
}

// Keys of URLs are kept until they are replaced or forgotten.
func TestAccessKey(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	get := func(want []byte) {
		t.Helper()
		if key, err := h.AccessKey(ctx, h.ID(), 1); err != nil || string(key) != string(want) {
			t.Fatalf("%x, %v, want %x", key, err, want)
		}
	}
	get(nil)
	for _, step := range []struct {
		secret  [32]byte
		replace bool
		want    byte
	}{{[32]byte{1}, false, 1}, {[32]byte{2}, false, 1}, {[32]byte{2}, true, 2}} {
		key, err := h.MakeAccessKey(ctx, h.ID(), 1, step.secret, step.replace)
		if err != nil || key[0] != step.want {
			t.Fatalf("%x, %v", key, err)
		}
		get(key)
	}
	h.verify(t)
	if err := h.ForgetAccessKeys(ctx); err != nil {
		t.Fatal(err)
	}
	get(nil)
}

// What has vanished since a modseq is found in the log, and what was undeleted
// is not hidden by it.
func TestVanished(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	var last mailbox.Appended
	for i := range 6 {
		last = h.add(t, 1, text(fmt.Sprint(i)), 0)
	}
	since := last.ModSeq
	for _, uids := range [][]mail.UID{{2, 5}, {1}} {
		if _, _, err := h.Expunge(ctx, 1, uids, mailbox.ExpungeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		since mail.ModSeq
		want  string
	}{{since, "[1 2 5]"}, {since + 1, "[1]"}, {since + 2, "[]"}} {
		if uids, err := h.Vanished(ctx, 1, tt.since); err != nil || fmt.Sprint(uids) != tt.want {
			t.Errorf("since %d: %v, %v, want %s", tt.since, uids, err, tt.want)
		}
	}
	if uids, err := h.Vanished(ctx, 2, since); err != nil || len(uids) > 0 {
		t.Errorf("of another mailbox: %v, %v", uids, err)
	}
	if _, err := h.Vanished(ctx, 1, since+100); !errors.Is(err, mailbox.ErrTooOld) {
		t.Errorf("of a time to come: %v", err)
	}
}
