package mailbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

func TestAppendAndRead(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	v := h.open(t, mailbox.Inbox)
	for name, size := range map[string]int{"small": 10, "two values": 90 << 10, "large": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			body := "Subject: x\r\nMessage-ID: <" + name + "@x>\r\n\r\n" + strings.Repeat("0123456789", size/10)
			prefix := "Received: from here\r\n"
			b := h.stage(t, body)
			done, err := h.Append(ctx, start, mailbox.NewEntry{
				Mailbox: mailbox.Inbox, Body: b, Prefix: []byte(prefix), Flags: mail.Seen | 1<<12,
				Keywords: []mail.Keyword{"$Forwarded", "a", "A"},
			})
			if err != nil {
				t.Fatal(err)
			}
			s := v.Snapshot()
			e := s.At(s.Len() - 1)
			if e.UID != done[0].UID || e.Email != done[0].Email || e.Flags != mail.Seen || int(e.Size) != len(prefix)+len(body) {
				t.Errorf("entry is %+v, appended %+v", e, done[0])
			}
			if got := h.Keywords(e.Keywords); !slices.Equal(got, []mail.Keyword{"$Forwarded", "a"}) {
				t.Errorf("keywords are %q", got)
			}
			f, err := h.Facts(ctx, []mail.EmailID{e.Email, 999})
			if err != nil || f[1] != nil {
				t.Fatal(f, err)
			}
			if f[0].Message.Envelope.Subject != "x" || int(f[0].Size) != len(prefix)+len(body) || f[0].Message.Root.Header != 0 {
				t.Errorf("facts are %+v", f[0])
			}
			m, err := h.OpenMessage(ctx, e.Email)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			got, err := io.ReadAll(io.NewSectionReader(m, 0, int64(m.Size())))
			if err != nil || string(got) != prefix+body {
				t.Errorf("message is %d octets, %v", len(got), err)
			}
			at := int64(f[0].Message.Root.Body)
			headers, err := h.ReadHeaders(ctx, []mail.EmailID{999, e.Email}, 1<<20)
			if err != nil || len(headers) != 2 || headers[0] != nil ||
				string(headers[1]) != string(got[:at]) || !bytes.HasSuffix(headers[1], []byte("\r\n\r\n")) {
				t.Errorf("headers are %q, %v", headers, err)
			}
		})
	}
	h.check(t, v)
	h.verify(t)
}

func TestOneEmailInTwoPlaces(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	b := h.stage(t, text("one"))
	junk, err := h.MailboxByRole(ctx, mail.RoleJunk)
	if err != nil {
		t.Fatal(err)
	}
	done, err := h.Append(ctx, start,
		mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: b},
		mailbox.NewEntry{Mailbox: junk.ID, Body: b, Flags: mail.Seen},
		mailbox.NewEntry{Mailbox: junk.ID, Body: h.stage(t, text("one")), Prefix: []byte("X: y\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	if done[0].Email != done[1].Email || done[0].Thread != done[1].Thread || done[2].Email == done[0].Email {
		t.Errorf("appended %+v", done)
	}
	h.verify(t)
	places, err := h.Places(ctx, []mail.EmailID{done[0].Email, done[2].Email, 99})
	if err != nil || len(places[0]) != 2 || len(places[1]) != 1 || places[2] != nil {
		t.Errorf("places are %v, %v", places, err)
	}
}

func TestToken(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	e := mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: h.stage(t, text("once")), Token: "q1/ann"}
	first, err := h.Append(ctx, start, e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Append(ctx, start.Add(5*24*time.Hour), e)
	if err != nil || again[0] != first[0] {
		t.Errorf("again gives %+v, %v, not %+v", again, err, first)
	}
	if _, err := h.Purge(ctx, start.Add(11*24*time.Hour), 100); err != nil {
		t.Fatal(err)
	}
	later, err := h.Append(ctx, start.Add(11*24*time.Hour), e)
	if err != nil || later[0].UID == first[0].UID {
		t.Errorf("later gives %+v, %v", later, err)
	}
	h.verify(t)
}

func TestQuota(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{Quota: 99})
	e := mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: h.stage(t, text("quota"))}
	if _, err := h.Append(ctx, start, e); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Append(ctx, start, e); !errors.Is(err, mailbox.ErrOverQuota) {
		t.Errorf("append gives %v", err)
	}
	if _, err := h.Copy(ctx, start, mailbox.Inbox, []mail.UID{1}, 2); !errors.Is(err, mailbox.ErrOverQuota) {
		t.Errorf("copy gives %v", err)
	}
	if err := h.store.SetQuota(ctx, 1, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Append(ctx, start, e); err != nil {
		t.Error(err)
	}
	u, err := h.Usage(ctx)
	if err != nil || u.Quota != 0 || u.Messages != 2 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	h.verify(t)
}

func TestThreads(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	a := h.add(t, mailbox.Inbox, text("Hello", "Message-ID: <a@x>\r\n"), 0)
	b := h.add(t, mailbox.Inbox, text("Re: hello", "Message-ID: <b@x>\r\nReferences: <a@x>\r\n"), 0)
	c := h.add(t, mailbox.Inbox, text("other", "Message-ID: <c@x>\r\nReferences: <a@x>\r\n"), 0)
	d := h.add(t, mailbox.Inbox, text("RE: Fwd: Hello", "Message-ID: <d@x>\r\nIn-Reply-To: <b@x>\r\n"), 0)
	if a.Thread != b.Thread || a.Thread != d.Thread || a.Thread == c.Thread {
		t.Errorf("threads are %v %v %v %v", a.Thread, b.Thread, c.Thread, d.Thread)
	}
	list, err := h.Thread(ctx, a.Thread)
	if want := []mail.EmailID{a.Email, b.Email, d.Email}; err != nil || !slices.Equal(list, want) {
		t.Errorf("thread is %v, %v, not %v", list, err, want)
	}
	h.verify(t)
}

func TestFlags(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{MaxKeywords: 3})
	v := h.open(t, mailbox.Inbox)
	for range 4 {
		h.add(t, mailbox.Inbox, text("x"), 0)
	}
	r, err := h.SetFlags(ctx, mailbox.Inbox, []mail.UID{3, 1, 1, 9}, mailbox.FlagChange{
		Op: mailbox.FlagsAdd, Flags: mail.Seen, Keywords: []mail.Keyword{"b", "a"}})
	if err != nil || r.ModSeq == 0 {
		t.Fatal(r, err)
	}
	if i := v.Snapshot().Info(); i.Unseen != 2 || i.HighestModSeq != r.ModSeq {
		t.Errorf("info is %+v", i)
	}
	if i, ok := v.Snapshot().FirstUnseen(); i != 1 || !ok {
		t.Errorf("first unseen is %d", i)
	}
	// Setting what is set is no change.
	if again, err := h.SetFlags(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Seen}); err != nil || again.ModSeq != 0 {
		t.Errorf("again is %+v, %v", again, err)
	}
	before := r.ModSeq - 1
	r, err = h.SetFlags(ctx, mailbox.Inbox, []mail.UID{1, 2}, mailbox.FlagChange{
		Op: mailbox.FlagsReplace, Flags: mail.Deleted, UnchangedSince: &before})
	if err != nil || !slices.Equal(r.Modified, []mail.UID{1}) {
		t.Errorf("conditional is %+v, %v", r, err)
	}
	_, err = h.SetFlags(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.FlagChange{Op: mailbox.FlagsRemove, Keywords: []mail.Keyword{"A", "never"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Keywords(v.Snapshot().At(0).Keywords); !slices.Equal(got, []mail.Keyword{"b"}) {
		t.Errorf("keywords are %q", got)
	}
	_, err = h.SetFlags(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.FlagChange{Op: mailbox.FlagsAdd, Keywords: []mail.Keyword{"c", "d"}})
	if !errors.Is(err, mailbox.ErrTooMany) {
		t.Errorf("too many keywords give %v", err)
	}
	for _, k := range []mail.Keyword{"", "a b", `\Seen`, "a(", "é"} {
		if _, err := h.SetFlags(ctx, mailbox.Inbox, []mail.UID{1}, mailbox.FlagChange{Keywords: []mail.Keyword{k}}); !errors.Is(err, mailbox.ErrKeyword) {
			t.Errorf("keyword %q gives %v", k, err)
		}
	}
	if _, err := h.SetFlags(ctx, 77, []mail.UID{1}, mailbox.FlagChange{}); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("no mailbox gives %v", err)
	}
	h.check(t, v)
	h.verify(t)
}

func TestMailboxes(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{MaxMailboxes: 12})
	names := func() string {
		list, err := h.Mailboxes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, m := range list {
			n := m.Name
			if m.NoSelect {
				n += "!"
			}
			s = append(s, n)
		}
		h.verify(t)
		return strings.Join(s, " ")
	}
	expect := func(want string) {
		t.Helper()
		if got := names(); got != want {
			t.Errorf("mailboxes are %q, not %q", got, want)
		}
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	expect("INBOX Archive Drafts Junk Sent Trash")
	for _, n := range []string{"Archive", "Drafts", "Junk", "Sent", "Trash"}[1:4] {
		ok(h.DeleteMailbox(ctx, n))
	}
	first, err := h.CreateMailbox(ctx, "a/b/c", mailbox.CreateOptions{})
	ok(err)
	expect("INBOX Archive Trash a a/b a/b/c")
	h.add(t, first.ID, text("x"), 0)
	v := h.open(t, first.ID)
	ok(h.RenameMailbox(ctx, "a/b", "inbox/d"))
	expect("INBOX INBOX/d INBOX/d/c Archive Trash a")
	if i := v.Snapshot().Info(); i.Name != "INBOX/d/c" || i.ID != first.ID || i.UIDValidity != first.UIDValidity {
		t.Errorf("info is %+v", i)
	}
	ok(h.DeleteMailbox(ctx, "InBox/d"))
	expect("INBOX INBOX/d! INBOX/d/c Archive Trash a")
	if err := h.DeleteMailbox(ctx, "INBOX/d"); !errors.Is(err, mailbox.ErrHasChildren) {
		t.Errorf("delete gives %v", err)
	}
	ok(h.DeleteMailbox(ctx, "INBOX/d/c"))
	expect("INBOX Archive Trash a")
	if !v.Snapshot().Gone() {
		t.Error("deleted mailbox is not gone")
	}
	if _, err := h.Open(ctx, first.ID); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("open gives %v", err)
	}
	second, err := h.CreateMailbox(ctx, "INBOX/d/c", mailbox.CreateOptions{Role: mail.RoleSent})
	ok(err)
	if second.UIDValidity <= first.UIDValidity || second.ID == first.ID {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if found, err := h.MailboxByRole(ctx, mail.RoleSent); err != nil || found.ID != second.ID {
		t.Errorf("by role: %+v, %v", found, err)
	}
	if found, err := h.Mailbox(ctx, "inbox/d/c"); err != nil || found != second {
		t.Errorf("by name: %+v, %v, not %+v", found, err, second)
	}
	for name, want := range map[string]error{"a": mailbox.ErrExists, "Inbox": mailbox.ErrExists, "x//y": mailbox.ErrName,
		"/x": mailbox.ErrName, "x/": mailbox.ErrName, "a\x00": mailbox.ErrName, "*": mailbox.ErrName, "": mailbox.ErrName, "\xff": mailbox.ErrName} {
		if _, err := h.CreateMailbox(ctx, name, mailbox.CreateOptions{}); !errors.Is(err, want) {
			t.Errorf("create %q gives %v", name, err)
		}
	}
	if _, err := h.CreateMailbox(ctx, "1/2/3/4/5/6/7/8/9", mailbox.CreateOptions{}); !errors.Is(err, mailbox.ErrTooMany) {
		t.Errorf("too many give %v", err)
	}
	if err := h.RenameMailbox(ctx, "a", "a/b"); !errors.Is(err, mailbox.ErrName) {
		t.Errorf("rename below itself gives %v", err)
	}
	if err := h.DeleteMailbox(ctx, "inbox"); !errors.Is(err, mailbox.ErrInboxDelete) {
		t.Errorf("delete INBOX gives %v", err)
	}
}

// RFC 9051 §6.3.6: INBOX is emptied, what is below it stays.
func TestRenameInbox(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	h.add(t, mailbox.Inbox, text("x"), mail.Flagged)
	if _, err := h.CreateMailbox(ctx, "INBOX/child", mailbox.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := h.RenameMailbox(ctx, "inbox", "old/mail"); err != nil {
		t.Fatal(err)
	}
	m, err := h.Mailbox(ctx, "old/mail")
	if err != nil || m.Messages != 1 {
		t.Errorf("new mailbox is %+v, %v", m, err)
	}
	in, err := h.Mailbox(ctx, "INBOX")
	if err != nil || in.Messages != 0 || in.ID != mailbox.Inbox {
		t.Errorf("INBOX is %+v, %v", in, err)
	}
	if _, err := h.Mailbox(ctx, "INBOX/child"); err != nil {
		t.Error(err)
	}
	h.verify(t)
}

func TestSubscriptions(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	for name, on := range map[string]bool{"new/one": true, "Trash": false, "Junk": true} {
		if err := h.Subscribe(ctx, name, on); err != nil {
			t.Fatal(err)
		}
	}
	list, err := h.Subscriptions(ctx)
	if want := "INBOX Archive Drafts Junk Sent new/one"; err != nil || strings.Join(list, " ") != want {
		t.Errorf("subscriptions are %q, %v", list, err)
	}
	m, err := h.CreateMailbox(ctx, "new/one", mailbox.CreateOptions{})
	if err != nil || !m.Subscribed {
		t.Errorf("created %+v, %v", m, err)
	}
	if m, err := h.Mailbox(ctx, "Trash"); err != nil || m.Subscribed {
		t.Errorf("Trash is %+v, %v", m, err)
	}
}

func TestAccounts(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t, mailbox.Options{})
	v := h.open(t, mailbox.Inbox)
	h.add(t, mailbox.Inbox, strings.Repeat("x", 200<<10), 0)
	if err := h.store.Create(ctx, 1, start, mailbox.AccountOptions{}); err != nil || v.Snapshot().Len() != 1 {
		t.Errorf("creating again: %v", err)
	}
	if _, err := h.store.Account(2).Mailboxes(ctx); !errors.Is(err, mailbox.ErrNoAccount) {
		t.Errorf("no account gives %v", err)
	}
	if err := h.store.Delete(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if !v.Snapshot().Gone() {
		t.Error("view of a deleted account is not gone")
	}
	if _, err := h.Usage(ctx); !errors.Is(err, mailbox.ErrNoAccount) {
		t.Errorf("deleted account gives %v", err)
	}
	for stat, err := range h.blobs.List(ctx, 1) {
		t.Errorf("blob %v is left, %v", stat, err)
	}
}

func TestMaildropLock(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	lock, err := h.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.LockMaildrop(t.Context()); !errors.Is(err, mailbox.ErrLocked) {
		t.Errorf("second lock gives %v", err)
	}
	if err := lock.Held(); err != nil {
		t.Error(err)
	}
	lock.Unlock()
	lock.Unlock()
	again, err := h.LockMaildrop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again.Unlock()
}

func TestWatchAndChanges(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := newHouse(t, mailbox.Options{})
	w, err := h.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	a := h.add(t, mailbox.Inbox, text("x"), mail.Deleted)
	if m := <-w; m != a.ModSeq {
		t.Errorf("watch says %d, not %d", m, a.ModSeq)
	}
	_, last, err := h.Expunge(ctx, mailbox.Inbox, []mail.UID{a.UID}, mailbox.ExpungeOptions{OnlyDeleted: true})
	if err != nil {
		t.Fatal(err)
	}
	if m := <-w; m != last {
		t.Errorf("watch says %d, not %d", m, last)
	}
	var list []mailbox.Change
	for c, err := range h.Changes(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	if len(list) != 3 || len(list[0].Mailboxes) != 6 || list[1].Created[0].UIDs[0] != a.UID || list[2].Vanished[0].Emails[0] != a.Email {
		t.Errorf("changes are %+v", list)
	}
	cancel()
	for range w {
	}
}
