package adminapi

import (
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
)

// What was deleted is listed and comes back; the account says how much it is.
func TestRestore(t *testing.T) {
	ctx := t.Context()
	h := open(t, t.TempDir())
	if _, err := h.AddDomain(ctx, Domain{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.AddAccount(ctx, NewAccount{Address: "ann@example.org", Password: "long enough"}); err != nil {
		t.Fatal(err)
	}
	account := h.mail.Account(h.account(t, "ann@example.org"))
	for _, subject := range []string{"one", "=?utf-8?q?zw=C3=B6lf?="} {
		b, err := blob.StageBytes(ctx, h.blobs, []byte("From: Eve <eve@x>\r\nSubject: "+subject+"\r\nMessage-ID: <"+subject+"@x>\r\n\r\n.\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := account.Append(ctx, time.Now(), mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: b}); err != nil {
			t.Fatal(err)
		}
	}
	since := time.Now().Add(-time.Minute)
	if _, _, err := account.Expunge(ctx, mailbox.Inbox, []mail.UID{1, 2}, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	var lost []LostMessage
	for m, err := range h.Lost(ctx, "ann@example.org", LostFilter{Since: since}) {
		if err != nil {
			t.Fatal(err)
		}
		lost = append(lost, m)
	}
	if len(lost) != 2 || lost[1].Subject != "zwölf" || lost[1].From != "Eve" || lost[0].Mailbox != "INBOX" || lost[0].MessageID != "one@x" {
		t.Errorf("lost are %+v", lost)
	}
	a, err := h.Account(ctx, "ann@example.org")
	if err != nil || a.Lost == nil || *a.Lost == 0 || *a.Used != 0 {
		t.Errorf("account is %+v, %v", a, err)
	}
	n := int64(5e9)
	if a, err = h.ChangeAccount(ctx, "ann@example.org", AccountChange{Recoverable: &n}); err != nil || a.Recoverable != n {
		t.Errorf("account is %+v, %v", a, err)
	}
	n = -1
	_, err = h.ChangeAccount(ctx, "ann@example.org", AccountChange{Recoverable: &n})
	refused(t, err, 422, "cannot be negative")

	_, err = h.Restore(ctx, "ann@example.org", RestoreRequest{})
	refused(t, err, 422, "say either")
	_, err = h.Restore(ctx, "ann@example.org", RestoreRequest{Since: since, Flags: true})
	refused(t, err, 422, "say at what time")
	_, err = h.Restore(ctx, "ann@example.org", RestoreRequest{Since: since, Into: "a//b"})
	refused(t, err, 422, "mailbox name is not allowed")
	_, err = h.Restore(ctx, "ann@example.org", RestoreRequest{Since: time.Now().Add(time.Hour)})
	refused(t, err, 422, "in the future")
	one, err := h.Restore(ctx, "ann@example.org", RestoreRequest{Since: since, Message: lost[0].Message})
	if err != nil || one.Messages != 1 || len(one.Mailboxes) != 1 || one.Mailboxes[0].Is != "INBOX" {
		t.Errorf("restored %+v, %v", one, err)
	}
	rest, err := h.Restore(ctx, "ann@example.org", RestoreRequest{At: since})
	if err != nil || rest.Messages != 0 { // they have come after it
		t.Errorf("restored %+v, %v", rest, err)
	}
}

// Every room is checked; findings come as they are met.
func TestVerify(t *testing.T) {
	ctx := t.Context()
	h := open(t, t.TempDir())
	if _, err := h.AddDomain(ctx, Domain{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"ann@example.org", "bob@example.org", "eve@example.org"} {
		if _, err := h.AddAccount(ctx, NewAccount{Address: who, Password: "long enough"}); err != nil {
			t.Fatal(err)
		}
	}
	events := func(r VerifyRequest) string {
		t.Helper()
		var b strings.Builder
		for e, err := range h.Verify(ctx, r) {
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(e.Where + ":")
			if e.Clean {
				b.WriteString(" clean")
			}
			if e.Finding != nil {
				b.WriteString(" " + e.Finding.What)
				if e.Finding.Mended {
					b.WriteString(", mended")
				}
			}
			b.WriteString(e.Failed + "\n")
		}
		return b.String()
	}
	want := "directory: clean\nqueue: clean\nann@example.org: clean\nbob@example.org: clean\neve@example.org: clean\n"
	if got := events(VerifyRequest{}); got != want {
		t.Errorf("told\n%s", got)
	}
	eve := h.account(t, "eve@example.org")
	err := kv.Apply(ctx, h.db, keys.Account(h.account(t, "ann@example.org")), func(tx kv.Txn) error { tx.Delete([]byte{keys.AccountRecord}); return nil })
	if err == nil { // of bob there is nothing left
		err = kv.Apply(ctx, h.db, keys.Account(h.account(t, "bob@example.org")), func(tx kv.Txn) error { tx.DeleteRange(nil, nil); return nil })
	}
	if err == nil {
		err = h.dir.DeleteAccount(ctx, eve)
	}
	if err != nil {
		t.Fatal(err)
	}
	want = "directory: clean\nqueue: clean\nann@example.org: the account's record cannot be read, mended\n" +
		eve.String() + ": there is mail of account " + eve.String() + ", which the directory does not know\n" +
		"bob@example.org: the account has no mailboxes, mended\n"
	if got := events(VerifyRequest{Repair: true}); got != want {
		t.Errorf("told\n%s", got)
	}
	if got := events(VerifyRequest{Account: "bob@example.org", Deep: true}); got != "bob@example.org: clean\n" {
		t.Errorf("told\n%s", got)
	}
	for _, err := range h.Verify(ctx, VerifyRequest{Account: "nobody@example.org"}) {
		refused(t, err, 404, "not found")
	}
}
