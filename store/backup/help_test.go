package backup_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// A house is a store with accounts in it.
type house struct {
	db        kv.Store
	blobs     blob.Store
	mailboxes *mailbox.Store
	random    *rand.Rand
}

func newHouse(t testing.TB, db kv.Store, blobs blob.Store) *house {
	t.Helper()
	h := &house{db: db, blobs: blobs, random: seeded(1)}
	h.mailboxes = mailbox.New(db, blobs, mailbox.Options{})
	t.Cleanup(func() { h.mailboxes.Close() })
	return h
}

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 2)) }

func newMemoryHouse(t testing.TB) *house {
	t.Helper()
	db := memkv.New()
	t.Cleanup(func() { db.Close() })
	return newHouse(t, db, memblob.New(0))
}

func (h *house) local() *backup.Local { return &backup.Local{DB: h.db, Blobs: h.blobs} }

// text gives a message of about so many octets that does not compress to
// nothing.
func (h *house) text(n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: ann@example.org\r\nSubject: %d\r\nMessage-ID: <%d.%d@example.org>\r\n\r\n", h.random.Int(), h.random.Int(), n)
	noise := make([]byte, 57)
	for b.Len() < n {
		for i := 0; i < len(noise); i += 8 {
			copy(noise[i:], binary.LittleEndian.AppendUint64(nil, h.random.Uint64()))
		}
		b.WriteString(base64.StdEncoding.EncodeToString(noise))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// deliver appends messages to an account's INBOX, which it makes if need be.
func (h *house) deliver(t testing.TB, id mail.AccountID, texts ...[]byte) {
	t.Helper()
	ctx := t.Context()
	if err := h.mailboxes.Create(ctx, id, time.Now(), mailbox.AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	a := h.mailboxes.Account(id)
	inbox, err := a.Mailbox(ctx, mailbox.InboxName)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		body, err := blob.StageBytes(ctx, h.blobs, text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Append(ctx, time.Now(), mailbox.NewEntry{Mailbox: inbox.ID, Body: body, Flags: mail.Seen})
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// fill gives a few accounts some mail, small and large.
func (h *house) fill(t testing.TB) {
	t.Helper()
	shared := h.text(30_000)
	for id := range mail.AccountID(4) {
		h.deliver(t, id+1, shared, h.text(200), h.text(5_000), h.text(90_000), h.text(3_000_000), h.text(200_000))
		for range 40 {
			h.deliver(t, id+1, h.text(1000+h.random.IntN(8000)))
		}
	}
	// Two messages that share a body, and one whose large body is released.
	h.deliver(t, 2, shared, shared)
	a := h.mailboxes.Account(3)
	inbox, err := a.Mailbox(t.Context(), mailbox.InboxName)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Expunge(t.Context(), inbox.ID, []mail.UID{2, 5}, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	err = kv.Apply(t.Context(), h.db, keys.Directory, func(tx kv.Txn) error {
		tx.Put([]byte("d"), nil)
		tx.Put([]byte{0xff, 0xff}, bytes.Repeat([]byte("x"), 60_000))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump gives all that a store holds.
func (h *house) dump(t testing.TB) map[string]string {
	t.Helper()
	ctx := t.Context()
	all := make(map[string]string)
	for p, err := range h.db.Partitions(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		err := h.db.View(ctx, p, func(r kv.Reader) error {
			for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
				if err != nil {
					return err
				}
				all[fmt.Sprintf("%x %x", uint64(p), it.Key)] = string(it.Value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for stat, err := range h.blobs.List(ctx, mail.AccountID(p)) {
			if err != nil {
				t.Fatal(err)
			}
			blob, err := h.blobs.Open(ctx, stat.Key)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(blob)
			if err := errors.Join(err, blob.Close()); err != nil {
				t.Fatal(err)
			}
			all[fmt.Sprintf("blob %x %v", uint64(p), stat.Key.Sum)] = string(text)
		}
	}
	return all
}

// same fails if two stores do not hold the same.
func same(t testing.TB, a, b *house) {
	t.Helper()
	x, y := a.dump(t), b.dump(t)
	if len(x) == 0 {
		t.Fatal("nothing to compare")
	}
	for k, v := range x {
		if w, ok := y[k]; !ok || v != w {
			t.Errorf("%s: %d octets, then %d (%v)", k, len(v), len(w), ok)
		}
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			t.Errorf("%s is new", k)
		}
	}
}

// verify checks all accounts.
func verify(t testing.TB, h *house) {
	t.Helper()
	for p, err := range h.db.Partitions(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		id, ok := keys.AccountOf(p)
		if !ok {
			break
		}
		if err := h.mailboxes.Account(id).Verify(t.Context()); err != nil {
			t.Errorf("account %v: %v", id, err)
		}
	}
}

// A desk is a repository with what one machine knows of it.
type desk struct {
	place backup.Place
	dir   string // of the memory
	keys  backup.Keys
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	place, err := backup.Dir(filepath.Join(t.TempDir(), "repo"))
	if err != nil {
		t.Fatal(err)
	}
	return &desk{place: place, dir: t.TempDir()}
}

func (d *desk) open(t testing.TB) *backup.Repository {
	t.Helper()
	ctx := context.Background()
	repo, err := backup.Open(ctx, d.place)
	if errors.Is(err, backup.ErrNoRepository) {
		repo, err = backup.Create(ctx, d.place, time.Now(), len(d.keys.Recipients) > 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(repo.Close)
	return repo
}

func (d *desk) tryRun(t testing.TB, source backup.Source, o backup.Options) (backup.Snapshot, error) {
	t.Helper()
	repo := d.open(t)
	memory, err := backup.OpenMemory(d.dir, repo)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if o.Recipients, err = memory.Recipients(repo, d.keys.Recipients); err != nil {
		return backup.Snapshot{}, err
	}
	o.Stopped = true
	return backup.Run(t.Context(), repo, memory, source, o)
}

func (d *desk) run(t testing.TB, source backup.Source, o backup.Options) backup.Snapshot {
	t.Helper()
	s, err := d.tryRun(t, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// restore gives a new house in memory with what a backup holds.
func (d *desk) restore(t testing.TB, id string) *house {
	t.Helper()
	h := newMemoryHouse(t)
	_, err := backup.Restore(t.Context(), d.open(t), d.keys, id, backup.Target{DB: h.db, Blobs: h.blobs, Moved: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
