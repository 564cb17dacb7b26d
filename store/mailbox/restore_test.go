package mailbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// inTime runs a test on a house in virtual time.
func inTime(t *testing.T, o mailbox.Options, fn func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{db: memkv.New(), blobs: memblob.New(0)}
		h.store = mailbox.New(h.db, h.blobs, o)
		if err := h.store.Create(t.Context(), 1, time.Now(), mailbox.AccountOptions{}); err != nil {
			t.Fatal(err)
		}
		h.Account = h.store.Account(1)
		defer func() {
			for _, err := range []error{h.store.Close(), h.db.Close()} {
				if err != nil {
					t.Error(err)
				}
			}
		}()
		fn(t, h)
		h.verify(t)
	})
}

// put appends a message now, and lets a minute pass.
func (h *house) put(t *testing.T, id mail.MailboxID, subject string, flags mail.Flags, words ...mail.Keyword) mailbox.Appended {
	t.Helper()
	b, err := blob.StageBytes(t.Context(), h.blobs, []byte(text(subject, "Message-ID: <"+subject+"@x>\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	done, err := h.Append(t.Context(), time.Now(), mailbox.NewEntry{Mailbox: id, Body: b, Flags: flags, Keywords: words, Internal: start})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	return done[0]
}

func (h *house) expunge(t *testing.T, id mail.MailboxID, uids ...mail.UID) {
	t.Helper()
	if _, _, err := h.Expunge(t.Context(), id, uids, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}

func (h *house) set(t *testing.T, id mail.MailboxID, c mailbox.FlagChange, uids ...mail.UID) {
	t.Helper()
	if _, err := h.SetFlags(t.Context(), id, uids, c); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}

func (h *house) make(t *testing.T, name string) mailbox.Info {
	t.Helper()
	m, err := h.CreateMailbox(t.Context(), name, mailbox.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	return m
}

func (h *house) drop(t *testing.T, name string) {
	t.Helper()
	if err := h.DeleteMailbox(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}

func (h *house) restore(t *testing.T, o mailbox.RestoreOptions) mailbox.Restored {
	t.Helper()
	dry := o
	dry.DryRun = true
	would, err := h.Restore(t.Context(), time.Now(), dry)
	if err != nil {
		t.Fatal(err)
	}
	did, err := h.Restore(t.Context(), time.Now(), o)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(would) != fmt.Sprint(did) {
		t.Errorf("said %+v, did %+v", would, did)
	}
	again, err := h.Restore(t.Context(), time.Now(), o)
	if err != nil || again.Messages != 0 || len(again.Mailboxes) != 0 || again.Flags != 0 {
		t.Errorf("the second time %+v, %v", again, err)
	}
	return did
}

// tree shows the mailboxes that hold something, as name: subject flags keywords.
func (h *house) tree(t *testing.T) string {
	t.Helper()
	list, err := h.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range list {
		if m.NoSelect || m.Messages == 0 {
			continue
		}
		v, err := h.Open(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s:", m.Name)
		for _, e := range v.Snapshot().Entries(0) {
			h.show(t, &b, e)
		}
		v.Close()
		b.WriteString("\n")
	}
	return b.String()
}

// show writes an entry as tree does.
func (h *house) show(t *testing.T, b *strings.Builder, e mailbox.Entry) {
	t.Helper()
	f, err := h.Facts(t.Context(), []mail.EmailID{e.Email})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, " %s", f[0].Message.Envelope.Subject)
	if e.Flags.Has(mail.Seen) {
		b.WriteString("+seen")
	}
	if e.Flags.Has(mail.Flagged) {
		b.WriteString("+flagged")
	}
	if e.Flags.Has(mail.Deleted) {
		b.WriteString("+deleted")
	}
	for _, k := range h.Keywords(e.Keywords) {
		b.WriteString("+" + string(k))
	}
	if e.Internal != start.Unix() {
		t.Errorf("%s is of %v", f[0].Message.Envelope.Subject, e.InternalDate())
	}
}

func (h *house) wantTree(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := h.tree(t), strings.Join(lines, "\n"); strings.TrimSpace(got) != want {
		t.Errorf("account is\n%swant\n%s", got, want)
	}
}

// What was expunged since a time comes back with flags, keywords, dates, email
// and thread, and an open mailbox sees it arrive.
func TestRestoreSince(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		a := h.put(t, mailbox.Inbox, "one", mail.Seen, "work")
		h.put(t, mailbox.Inbox, "two", mail.Flagged|mail.Deleted)
		h.put(t, mailbox.Inbox, "three", 0)
		v := h.open(t, mailbox.Inbox)
		h.expunge(t, mailbox.Inbox, 3)
		since := time.Now()
		h.expunge(t, mailbox.Inbox, 1, 2)
		if r := h.restore(t, mailbox.RestoreOptions{Since: since}); r.Messages != 2 || len(r.Mailboxes) != 1 || len(r.Notes) != 0 {
			t.Errorf("restored %+v", r)
		}
		h.wantTree(t, "INBOX: one+seen+work two+flagged")
		s := v.Snapshot()
		if s.Len() != 2 || s.At(0).UID != 4 || s.At(0).Email != a.Email {
			t.Errorf("the open mailbox has %+v", entries(h.Account, s))
		}
		h.check(t, v)
		v.Close()
	})
}

func TestRestoreChoice(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		var first mailbox.Appended
		for i := range 4 {
			a := h.put(t, mailbox.Inbox, fmt.Sprint("in", i), 0)
			if i == 0 {
				first = a
			}
			h.put(t, 2, fmt.Sprint("draft", i), 0)
		}
		since := time.Now()
		h.expunge(t, mailbox.Inbox, 1, 2, 3, 4)
		h.expunge(t, 2, 1, 2, 3, 4)
		h.restore(t, mailbox.RestoreOptions{Since: since, Message: first.Email.String()})
		h.restore(t, mailbox.RestoreOptions{Since: since, Message: "<draft1@x>"})
		h.restore(t, mailbox.RestoreOptions{Since: since, Message: "in2@x", Into: "Back/here"})
		h.wantTree(t, "INBOX: in0", "Back/here: in2", "Drafts: draft1")
		h.restore(t, mailbox.RestoreOptions{Since: since, Mailbox: "Drafts", Into: "Back/here"})
		h.wantTree(t, "INBOX: in0", "Back/here: in2 draft0 draft2 draft3", "Drafts: draft1")
	})
}

func TestRestoreUnknown(t *testing.T) {
	inTime(t, mailbox.Options{Quota: 250}, func(t *testing.T, h *house) {
		h.put(t, mailbox.Inbox, "one", 0)
		_, err := h.Restore(t.Context(), time.Now(), mailbox.RestoreOptions{Mailbox: "nix"})
		if !errors.Is(err, mailbox.ErrNoMailbox) {
			t.Errorf("an unknown mailbox gives %v", err)
		}
		h.expunge(t, mailbox.Inbox, 1)
		h.put(t, mailbox.Inbox, "two", 0)
		h.put(t, mailbox.Inbox, "three", 0)
		h.put(t, mailbox.Inbox, "four", 0)
		_, err = h.Restore(t.Context(), time.Now(), mailbox.RestoreOptions{})
		if n, ok := errors.AsType[*mailbox.NoRoom](err); !ok || n.Need < 60 || n.Free >= n.Need || !errors.Is(err, mailbox.ErrOverQuota) {
			t.Errorf("without room: %+v %v", n, err)
		}
		h.wantTree(t, "INBOX: two three four")
	})
}

// Deleted mailboxes come back with what they held, their role and their
// subscription, and with what had been expunged from them.
func TestRestoreMailboxes(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		ctx := t.Context()
		p := h.make(t, "Work")
		c := h.make(t, "Work/2026")
		if err := h.Subscribe(ctx, "Work/2026", true); err != nil {
			t.Fatal(err)
		}
		h.put(t, p.ID, "plan", 0)
		h.put(t, c.ID, "budget", mail.Seen)
		h.put(t, c.ID, "draft", 0)
		sent := h.put(t, 3, "answer", mail.Seen)
		since := time.Now()
		h.expunge(t, c.ID, 1, 2)
		h.drop(t, "Work") // there is something below: the bare name stays
		h.drop(t, "Work/2026")
		h.drop(t, "Sent")
		if err := h.Subscribe(ctx, "Work/2026", false); err != nil {
			t.Fatal(err)
		}
		h.wantTree(t, "")
		r := h.restore(t, mailbox.RestoreOptions{Since: since})
		if r.Messages != 4 {
			t.Errorf("restored %+v", r)
		}
		h.wantTree(t, "Sent: answer+seen", "Work: plan", "Work/2026: budget+seen draft")
		if m, err := h.MailboxByRole(ctx, mail.RoleSent); err != nil || m.ID != sent.Mailbox {
			t.Errorf("Sent is %+v, %v", m, err)
		}
		if m, err := h.Mailbox(ctx, "Work/2026"); err != nil || m.ID != c.ID || m.UIDValidity != c.UIDValidity || !m.Subscribed {
			t.Errorf("Work/2026 is %+v, %v", m, err)
		}
	})
}

// A name that is taken meanwhile stays with whoever has it.
func TestRestoreNameTaken(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		old := h.make(t, "x")
		h.put(t, old.ID, "old", 0)
		since := time.Now()
		h.drop(t, "x")
		middle := h.make(t, "x")
		h.put(t, middle.ID, "middle", 0)
		h.drop(t, "x")
		fresh := h.make(t, "x")
		h.put(t, fresh.ID, "fresh", 0)
		r := h.restore(t, mailbox.RestoreOptions{Since: since})
		h.wantTree(t, "x: fresh", "x (restored 2): old", "x (restored): middle")
		if len(r.Notes) != 2 || !strings.Contains(r.Notes[0], `another mailbox is called "x" meanwhile`) {
			t.Errorf("notes are %q", r.Notes)
		}
	})
}

func TestRestoreInto(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		m := h.make(t, "x")
		h.put(t, m.ID, "a", 0)
		h.put(t, mailbox.Inbox, "b", 0)
		h.drop(t, "x")
		h.expunge(t, mailbox.Inbox, 1)
		h.restore(t, mailbox.RestoreOptions{Into: "Restored"})
		h.wantTree(t, "Restored/INBOX: b", "Restored/x: a")
	})
}

// One message of a deleted mailbox comes back alone.
func TestRestoreOneOfDeleted(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		m := h.make(t, "x")
		h.put(t, m.ID, "a", mail.Seen)
		b := h.put(t, m.ID, "b", mail.Seen)
		h.drop(t, "x")
		h.restore(t, mailbox.RestoreOptions{Message: b.Email.String()})
		h.wantTree(t, "x: b+seen")
		h.verify(t)
		h.restore(t, mailbox.RestoreOptions{})
		h.wantTree(t, "x: b+seen", "x (restored): a+seen")
	})
}

// The account as it was at a time: what was moved and then expunged goes to
// where it was, flags are those of then, what came since stays, what was
// moved and lives is only reported.
func TestRestoreAt(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.put(t, mailbox.Inbox, "expunged", mail.Seen)
		h.put(t, mailbox.Inbox, "trashed", 0, "work")
		h.put(t, mailbox.Inbox, "moved", 0)
		h.put(t, mailbox.Inbox, "still", mail.Flagged)
		x := h.make(t, "x")
		h.put(t, x.ID, "with x", 0)
		at := time.Now()
		time.Sleep(time.Minute)
		h.set(t, mailbox.Inbox, mailbox.FlagChange{Op: mailbox.FlagsReplace, Flags: mail.Seen | mail.Deleted, Keywords: []mail.Keyword{"other"}}, 1, 2, 4)
		h.set(t, mailbox.Inbox, mailbox.FlagChange{Op: mailbox.FlagsRemove, Flags: mail.Seen}, 1)
		h.set(t, x.ID, mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Seen}, 1)
		for uid, to := range map[mail.UID]mail.MailboxID{2: 5, 3: 6} {
			if _, err := h.Move(ctx, time.Now(), mailbox.Inbox, []mail.UID{uid}, to); err != nil {
				t.Fatal(err)
			}
		}
		h.expunge(t, 5, 1)
		h.expunge(t, mailbox.Inbox, 1)
		h.put(t, mailbox.Inbox, "later", 0)
		h.put(t, mailbox.Inbox, "later and gone", 0)
		h.expunge(t, mailbox.Inbox, 6)
		if err := h.RenameMailbox(ctx, "x", "y"); err != nil {
			t.Fatal(err)
		}
		h.drop(t, "y")
		h.put(t, h.make(t, "z").ID, "in z", 0)
		h.drop(t, "z")
		r := h.restore(t, mailbox.RestoreOptions{At: at})
		h.wantTree(t, "INBOX: still+seen+deleted+other later trashed+work expunged+seen", "Archive: moved", "y: with x")
		want := []string{`1 message that had been in "INBOX" by then: moved to "Archive" since, and left there`}
		if !slices.Equal(r.Notes, want) {
			t.Errorf("notes are %q", r.Notes)
		}
		if r = h.restore(t, mailbox.RestoreOptions{At: at, Flags: true}); r.Flags != 1 {
			t.Errorf("restored %+v", r)
		}
		h.wantTree(t, "INBOX: still+flagged later trashed+work expunged+seen", "Archive: moved", "y: with x")
	})
}

// A time before the log's beginning cannot be gone back to.
func TestRestoreTooFarBack(t *testing.T) {
	inTime(t, mailbox.Options{Window: time.Hour}, func(t *testing.T, h *house) {
		before := time.Now()
		h.put(t, mailbox.Inbox, "one", 0)
		time.Sleep(3 * time.Hour)
		h.put(t, mailbox.Inbox, "two", 0)
		if err := h.store.Purge(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := h.Restore(t.Context(), time.Now(), mailbox.RestoreOptions{At: before})
		if old, ok := errors.AsType[*mailbox.TooOld](err); !ok || !errors.Is(err, mailbox.ErrTooOld) || old.First.Before(before.Add(3*time.Hour)) {
			t.Errorf("so long ago: %v", err)
		}
	})
}
