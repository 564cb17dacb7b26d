package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// A mailbox that is open when the program ends is in memory again after the next
// start; where that is noted is in no backup.
func TestOpenedMailboxes(t *testing.T) {
	ctx, c := t.Context(), anywhere(t)
	const id = mail.AccountID(77)
	a, stop := running(t, c, Options{Log: new(logBuffer)})
	if err := a.stores.mailboxes.Create(ctx, id, time.Now(), mailbox.AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	var entries []mailbox.NewEntry
	for i := range 200 {
		body, err := blob.StageBytes(ctx, a.stores.blobs, fmt.Appendf(nil, "Subject: %d\r\n\r\n", i))
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		entries = append(entries, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body})
	}
	account := a.stores.mailboxes.Account(id)
	if _, err := account.Append(ctx, time.Now(), entries...); err != nil {
		t.Fatal(err)
	}
	v, err := account.Open(ctx, mailbox.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.Data, openedFile)); err != nil {
		t.Error(err)
	}
	files, err := BackupFiles(c)
	for _, f := range files {
		if strings.Contains(f.Name, openedFile) {
			t.Errorf("%s is in backups", f.Name)
		}
	}
	if err != nil || len(files) == 0 {
		t.Errorf("%d files, %v", len(files), err)
	}
	a, _ = running(t, c, Options{Log: new(logBuffer)})
	for len(a.stores.mailboxes.Opened(10, 1)) == 0 {
		time.Sleep(time.Millisecond) // until the test is given up
	}
	if v := a.stores.mailboxes.Opened(10, 1)[0]; v.Account().ID() != id || v.Snapshot().Len() != len(entries) {
		t.Errorf("account %v, %d messages", v.Account().ID(), v.Snapshot().Len())
	}
}
