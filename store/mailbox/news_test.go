package mailbox_test

import (
	"testing"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// News puts together what has happened to each mailbox.
func TestNews(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	_, since, err := h.News(ctx, 1<<63)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	a, err := h.CreateMailbox(ctx, "a/b", mailbox.CreateOptions{})
	must(err)
	h.add(t, 1, text("x"), 0)
	h.add(t, a.ID, text("x"), 0)
	_, _, err = h.Expunge(ctx, 1, []mail.UID{1}, mailbox.ExpungeOptions{})
	must(err)
	must(h.RenameMailbox(ctx, "a", "c"))
	must(h.DeleteMailbox(ctx, "c/b"))
	must(h.Subscribe(ctx, "Sent", false))
	list, now, err := h.News(ctx, since)
	must(err)
	found := map[string]mailbox.MailboxNews{}
	for _, n := range list {
		found[n.Info.Name] = n
	}
	if n := found["c"]; !n.Created || n.Before != "a" || n.Deleted || n.Added {
		t.Errorf("%+v", n)
	}
	if n := found["c/b"]; !n.Created || n.Before != "a/b" || !n.Deleted || !n.Added {
		t.Errorf("%+v", n)
	}
	if n := found["INBOX"]; !n.Added || !n.Expunged || n.Flags || n.Changed {
		t.Errorf("%+v", n)
	}
	if n := found["Sent"]; !n.Changed || n.Before != "" || n.Info.Subscribed {
		t.Errorf("%+v", n)
	}
	if list, again, err := h.News(ctx, now); err != nil || len(list) > 0 || again != now {
		t.Errorf("%+v, %d, %v", list, again, err)
	}
	if len(list) != 4 {
		t.Errorf("%d mailboxes", len(list))
	}
	if _, _, err := h.News(ctx, 0); err != nil {
		t.Error(err)
	}
}
