package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/blob/fsblob"
	"waxwing/store/directory"
	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

func mailID(n int) mail.AccountID { return mail.AccountID(n) }

func makeKeys(t testing.TB) backup.Keys {
	t.Helper()
	secret, public, err := backup.MakeKey()
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	write(t, file, secret)
	ids, err := backup.ReadIdentities(file)
	if err != nil {
		t.Fatal(err)
	}
	return backup.Keys{Recipients: []backup.Recipient{r}, Identities: ids}
}

func newDiskHouse(t testing.TB) *house {
	t.Helper()
	dir := t.TempDir()
	db, err := pebblekv.Open(filepath.Join(dir, "store"), pebblekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := fsblob.Open(filepath.Join(dir, "blobs"), fsblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	return newHouse(t, db, blobs)
}

// From one disk to another, encrypted, through the stream of the server.
func TestDisk(t *testing.T) {
	h, d := newDiskHouse(t), newDesk(t)
	d.keys = makeKeys(t)
	h.fill(t)
	s := d.run(t, streamed{h.local()}, backup.Options{})
	back := newDiskHouse(t)
	_, err := backup.Restore(t.Context(), d.open(t), d.keys, s.ID, backup.Target{DB: back.db, Blobs: back.blobs, Moved: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, h, back)
	verify(t, back)

	_, err = backup.Restore(t.Context(), d.open(t), backup.Keys{}, s.ID, backup.Target{DB: memkv.New()}, nil)
	if !errors.Is(err, backup.ErrSealed) {
		t.Errorf("without a key: %v", err)
	}
	_, err = backup.Restore(t.Context(), d.open(t), makeKeys(t), s.ID, backup.Target{DB: memkv.New()}, nil)
	if !errors.Is(err, backup.ErrSealed) {
		t.Errorf("with another key: %v", err)
	}
	for stat, err := range d.place.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, d.place, stat.Name); bytes.Contains(text, []byte("example.org")) || bytes.Contains(text, []byte("INBOX")) {
			t.Errorf("%s can be read", stat.Name)
		}
	}
	// The memory knows the public key, and not from the repository.
	secret := d.keys
	d.keys = backup.Keys{}
	if _, err := d.tryRun(t, h.local(), backup.Options{}); err != nil {
		t.Error(err)
	}
	d.dir = t.TempDir()
	if _, err := d.tryRun(t, h.local(), backup.Options{}); err == nil || !strings.Contains(err.Error(), "--recipient") {
		t.Errorf("without a memory: %v", err)
	}
	d.keys = secret
	if s := d.run(t, h.local(), backup.Options{}); s.Written < 1<<20 {
		t.Errorf("without a memory %d octets are new", s.Written)
	}
}

// streamed is a source on the other side of a stream.
type streamed struct{ *backup.Local }

func (s streamed) Read(ctx context.Context, p kv.Partition, known backup.Known, to backup.Sink) error {
	r, w := io.Pipe()
	var work sync.WaitGroup
	work.Go(func() {
		e := backup.NewEncoder(w)
		w.CloseWithError(e.End(s.Local.Read(ctx, p, known, e)))
	})
	err := backup.Decode(r, to)
	r.CloseWithError(err)
	work.Wait()
	return err
}

// An engine that is slow and hands out memory that does not last.
func TestFarEngine(t *testing.T) {
	db := memkv.New()
	defer db.Close()
	h, d := newMemoryHouse(t), newDesk(t)
	h.deliver(t, 1, h.text(3000), h.text(80_000), h.text(300_000))
	far := &backup.Local{DB: kvtest.Far(h.db, 100*time.Microsecond), Blobs: h.blobs}
	d.run(t, far, backup.Options{})
	h.deliver(t, 1, h.text(3000), h.text(80_000))
	s := d.run(t, far, backup.Options{})
	same(t, h, d.restore(t, s.ID))
}

// A partition that has not been written since is not read.
func TestUnchanged(t *testing.T) {
	inner := memkv.New()
	defer inner.Close()
	tracker := backup.Track(inner)
	h, d := newHouse(t, tracker, newMemoryHouse(t).blobs), newDesk(t)
	h.fill(t)
	local := &backup.Local{DB: tracker, Blobs: h.blobs, Versions: tracker.Versions, Pace: tracker.Pace}
	d.run(t, local, backup.Options{})
	h.deliver(t, 2, h.text(500))
	s := d.run(t, local, backup.Options{})
	if s.Unchanged != 4 || s.Read > 1<<20 {
		t.Errorf("%+v", s)
	}
	same(t, h, d.restore(t, s.ID))
	// Another process counts from the beginning.
	tracker = backup.Track(inner)
	local.Versions = tracker.Versions
	if s := d.run(t, local, backup.Options{}); s.Unchanged != 0 {
		t.Errorf("%+v", s)
	}
}

// What was acknowledged before a backup began is in it, whatever else goes on.
func TestOnline(t *testing.T) {
	db, err := pebblekv.Open(filepath.Join(t.TempDir(), "store"), pebblekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blobs, err := fsblob.Open(filepath.Join(t.TempDir(), "blobs"), fsblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	tracker, held := backup.Track(db), backup.Hold(blobs)
	h, d := newHouse(t, tracker, held), newDesk(t)
	h.fill(t)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for id := range mail.AccountID(4) {
		writer := newHouse(t, tracker, held)
		writer.mailboxes = h.mailboxes
		writer.random.Uint64()
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				writer.deliver(t, id+1, writer.text(500+n%7*20_000))
				a := h.mailboxes.Account(id + 1)
				if inbox, err := a.Mailbox(t.Context(), mailbox.InboxName); err == nil && n%3 == 0 {
					uid := mail.UID(n + 2)
					if _, _, err := a.Expunge(t.Context(), inbox.ID, []mail.UID{uid}, mailbox.ExpungeOptions{}); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	local := &backup.Local{DB: tracker, Blobs: held, Versions: tracker.Versions, Hold: held.Hold, Pace: tracker.Pace}
	for range 4 {
		acknowledged := make(map[mail.AccountID]mail.UID)
		for id := range mail.AccountID(4) {
			inbox, err := h.mailboxes.Account(id+1).Mailbox(t.Context(), mailbox.InboxName)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged[id+1] = inbox.UIDNext
		}
		s := d.run(t, streamed{local}, backup.Options{})
		back := d.restore(t, s.ID)
		verify(t, back)
		for id, next := range acknowledged {
			inbox, err := back.mailboxes.Account(id).Mailbox(t.Context(), mailbox.InboxName)
			if err != nil || inbox.UIDNext < next {
				t.Errorf("account %v: UIDNEXT %d, %v, and %d were acknowledged", id, inbox.UIDNext, err, next)
			}
		}
		if len(s.Missing) > 0 {
			t.Error(s.Missing)
		}
	}
	stop()
	work.Wait()
}

// A bucket does as well.
func TestS3(t *testing.T) {
	fake := s3mem.New()
	if err := fake.CreateBucket("mail"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(fake).Server())
	defer server.Close()
	place, err := backup.S3(backup.S3Options{
		Endpoint: server.URL, Region: "us-east-1", Bucket: "mail", Prefix: "here/",
		Credentials: credentials.NewStaticV4("key", "secret", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	h, d := newMemoryHouse(t), newDesk(t)
	d.place, d.keys = place, makeKeys(t)
	h.fill(t)
	d.run(t, h.local(), backup.Options{})
	h.deliver(t, 1, h.text(1000))
	s := d.run(t, h.local(), backup.Options{})
	same(t, h, d.restore(t, s.ID))
	found, err := backup.Check(t.Context(), d.open(t), d.keys, nil)
	if err != nil || len(found.Faults) > 0 || found.Snapshots != 2 || found.Objects == 0 {
		t.Errorf("%v, %+v", err, found)
	}
}

// Old backups go, and with them what nobody needs any longer.
func TestPrune(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.fill(t)
	for range 4 {
		h.deliver(t, 1, h.text(20_000))
		d.run(t, h.local(), backup.Options{})
	}
	repo := d.open(t)
	memory, err := backup.OpenMemory(d.dir, repo)
	if err != nil {
		t.Fatal(err)
	}
	keep, err := backup.ParseKeep("2n")
	if err != nil {
		t.Fatal(err)
	}
	done, err := backup.Prune(t.Context(), repo, memory, keep, time.Now(), time.UTC)
	if err := errors.Join(err, memory.Close()); err != nil {
		t.Fatal(err)
	}
	if done.Kept != 2 || done.Removed != 2 || done.Packs == 0 {
		t.Errorf("%+v", done)
	}
	list, err := repo.Snapshots(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, s := range list {
		d.restore(t, s.ID)
	}
	same(t, h, d.restore(t, list[1].ID))
	found, err := backup.Check(t.Context(), repo, d.keys, nil)
	if err != nil || len(found.Faults) > 0 || found.Unused > 0 {
		t.Errorf("%v, %+v", err, found)
	}
	h.deliver(t, 1, h.text(20_000))
	same(t, h, d.restore(t, d.run(t, h.local(), backup.Options{}).ID))
}

// One account comes out of a backup, with its bodies read as they are needed.
func TestOpenAccount(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	ctx, now := t.Context(), time.Now()
	names := directory.New(h.db)
	address := mail.Address{Local: "ann", Domain: "example.org"}
	if _, err := names.AddDomain(ctx, now, directory.Domain{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	ann, err := names.AddAccount(ctx, now, directory.Account{Address: address, Name: "Ann"})
	if err != nil {
		t.Fatal(err)
	}
	texts := [][]byte{h.text(300), h.text(70_000), h.text(3_500_000)}
	h.deliver(t, ann.ID, texts...)
	s := d.run(t, h.local(), backup.Options{})
	if err := names.DeleteAccount(ctx, ann.ID); err != nil {
		t.Fatal(err)
	}
	back, err := backup.OpenAccount(ctx, d.open(t), d.keys, s.ID, address)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := back.Mail.Verify(ctx); err != nil {
		t.Error(err)
	}
	inbox, err := back.Mail.Mailbox(ctx, mailbox.InboxName)
	if err != nil || back.Name != "Ann" || inbox.Messages != len(texts) {
		t.Fatal(back.Account, inbox, err)
	}
	view, err := back.Mail.Open(ctx, inbox.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	for i, e := range view.Snapshot().Entries(0) {
		body, err := back.Mail.OpenMessage(ctx, e.Email)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(body, 0, int64(body.Size())))
		if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, texts[i]) {
			t.Errorf("message %d: %v, %d octets", i, err, len(got))
		}
	}
	_, err = backup.OpenAccount(ctx, d.open(t), d.keys, s.ID, mail.Address{Local: "x", Domain: "example.org"})
	if !errors.Is(err, directory.ErrNotFound) && !errors.Is(err, directory.ErrNoUser) {
		t.Error(err)
	}
}
