package mailbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob/fsblob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
)

// rot changes one octet where a text lies on the disk.
func rot(t *testing.T, dir, text string) {
	t.Helper()
	name := filepath.Join(dir, "log", "00000001.log")
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(log, []byte(text))
	if i < 0 || bytes.Contains(log[i+1:], []byte(text)) {
		t.Fatalf("%q is not there once", text)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{log[i] ^ 1}, int64(i))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// An octet that the disk has changed costs the message that it was in, which is
// told and taken out, and no other; brought again it is whole.
func TestRotten(t *testing.T) {
	dir := t.TempDir()
	db, err := pebblekv.Open(dir, pebblekv.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	w := &ward{db: db, blobs: memblob.New(0)}
	w.s = New(w.db, w.blobs, Options{})
	defer w.close(t)
	if err := w.s.Create(t.Context(), 1, time.Unix(1e9, 0), AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Account = w.s.Account(1)
	letter := func(name string) string {
		return "Subject: " + name + "\r\nMessage-ID: <" + name + "@x>\r\n\r\n" + strings.Repeat("all work and no play\r\n", 100) + name + " ends\r\n"
	}
	var list []Appended
	for _, name := range []string{"one", "two", "three"} {
		list = append(list, w.add(t, Inbox, letter(name)))
	}
	rot(t, dir, "two ends")
	if _, err := w.OpenMessage(t.Context(), list[1].Email); !errors.Is(err, kv.ErrDamaged) {
		t.Errorf("what is damaged opens with %v", err)
	}
	texts, err := w.ReadInline(t.Context(), []mail.EmailID{list[0].Email, list[1].Email, list[2].Email})
	if err != nil || len(texts) != 3 || texts[0] == nil || texts[1] != nil || texts[2] == nil {
		t.Errorf("read together: %q, %v", texts, err)
	}
	for _, deep := range []bool{false, true} {
		var told []string
		if err := w.Check(t.Context(), CheckOptions{Deep: deep}, func(f Finding) { told = append(told, f.What) }); err != nil {
			t.Fatal(err)
		}
		if len(told) != 1 || !strings.HasPrefix(told[0], "message e2 is damaged: its octets are not those that were written (message 2 of mailbox") {
			t.Errorf("found %q", told)
		}
	}
	mended := 0
	err = w.Check(t.Context(), CheckOptions{Repair: true}, func(f Finding) {
		if mended++; !f.Mended {
			t.Errorf("%s: not mended: %s", f.What, f.Failed)
		}
	})
	if err != nil || mended == 0 {
		t.Fatalf("%d mended, %v", mended, err)
	}
	if err := w.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	for _, i := range []int{0, 2} {
		b, err := w.OpenMessage(t.Context(), list[i].Email)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	m, err := w.Mailbox(t.Context(), DamagedName)
	if err != nil || m.Messages != 1 {
		t.Errorf("%s holds %d messages, %v", DamagedName, m.Messages, err)
	}
	again := w.add(t, m.ID, letter("two"), mail.Keyword("again"))
	b, err := w.OpenMessage(t.Context(), again.Email)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := w.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// The same of a large one, in a file.
func TestRottenFile(t *testing.T) {
	dir := t.TempDir()
	files, err := fsblob.Open(dir, fsblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	w := &ward{db: memkv.New(), blobs: files}
	w.s = New(w.db, w.blobs, Options{})
	defer w.close(t)
	if err := w.s.Create(t.Context(), 1, time.Unix(1e9, 0), AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Account = w.s.Account(1)
	a := w.add(t, Inbox, large())
	names, err := filepath.Glob(filepath.Join(dir, "*", "*", strings.Repeat("?", 64)))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	f, err := os.OpenFile(names[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0}, 70_000)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.OpenMessage(t.Context(), a.Email); !IsDamaged(err) {
		t.Errorf("what is damaged opens with %v", err)
	}
	if err := w.Check(t.Context(), CheckOptions{Deep: true, Repair: true}, func(f Finding) {
		if !f.Mended {
			t.Errorf("%s: not mended: %s", f.What, f.Failed)
		}
	}); err != nil {
		t.Fatal(err)
	}
	m, err := w.Mailbox(t.Context(), DamagedName)
	if err != nil || m.Messages != 1 || m.Size < 100_000 {
		t.Errorf("%s holds %d messages of %v, %v", DamagedName, m.Messages, m.Size, err)
	}
	again := w.add(t, m.ID, large())
	b, err := w.OpenMessage(t.Context(), again.Email)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := w.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
