package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/blob"
	"waxwing/store/blob/fsblob"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

var errPlug = errors.New("the plug was pulled")

// A faulty place fails after some writes; the one that fails may have
// happened all the same.
type faulty struct {
	backup.Place
	left  atomic.Int64
	after bool
}

func (f *faulty) Put(ctx context.Context, name string, content ...[]byte) error {
	left := f.left.Add(-1)
	if left < 0 {
		return errPlug
	}
	if left == 0 && f.after {
		return errors.Join(f.Place.Put(ctx, name, content...), errPlug)
	}
	return f.Place.Put(ctx, name, content...)
}

// A run that is cut short leaves the backups as they were, and the next one
// goes on.
func TestCutShort(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.fill(t)
	good := d.place
	first := d.run(t, h.local(), backup.Options{})
	random := rand.New(rand.NewPCG(3, 4))
	was := h.dump(t)
	for id := range 4 {
		for range 5 {
			h.deliver(t, mailID(id+1), h.text(2_000_000+h.random.IntN(1_000_000)))
		}
		h.deliver(t, mailID(id+1), h.text(5000))
	}
	is := h.dump(t)
	for try := 1; ; try++ {
		place := &faulty{Place: good, after: random.IntN(2) == 0}
		place.left.Store(int64(1 + try/3))
		d.place = place
		s, err := d.tryRun(t, h.local(), backup.Options{})
		d.place = good
		if err == nil {
			if s.Written > 30<<20 {
				t.Errorf("the last run wrote everything again: %d", s.Written)
			}
			break
		}
		if !errors.Is(err, errPlug) {
			t.Fatal(err)
		}
		newest, err := d.open(t).Find(t.Context(), "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.restore(t, newest.ID).dump(t); !maps.Equal(got, was) && (newest.ID == first.ID || !maps.Equal(got, is)) {
			t.Errorf("try %d: the backup %s is neither what was nor what is", try, newest.ID)
		}
	}
	newest, err := d.open(t).Find(t.Context(), "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, h, d.restore(t, newest.ID))
	found, err := backup.Check(t.Context(), d.open(t), d.keys, nil)
	if err != nil || len(found.Faults) > 0 {
		t.Errorf("%v, %+v", err, found)
	}
}

// A restore that is cut short leaves a store that says so, and goes on.
func TestRestoreCutShort(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.fill(t)
	s := d.run(t, h.local(), backup.Options{})
	db := memkv.New()
	defer db.Close()
	back := newHouse(t, db, memblob.New(0))
	for n := int64(1); ; n += 3 {
		ctx, cancel := context.WithCancel(t.Context())
		half := &cancelling{Store: db, end: cancel}
		half.left.Store(n)
		_, err := backup.Restore(ctx, d.open(t), d.keys, s.ID, backup.Target{DB: half, Blobs: back.blobs, Moved: true}, nil)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n > 1 {
			if err := backup.Whole(t.Context(), db); !errors.Is(err, backup.ErrHalfRestored) {
				t.Fatalf("after %d writes: %v", n, err)
			}
		}
	}
	if err := backup.Whole(t.Context(), db); err != nil {
		t.Error(err)
	}
	same(t, h, back)
	_, err := backup.Restore(t.Context(), d.open(t), d.keys, s.ID, backup.Target{DB: db, Blobs: back.blobs, Moved: true}, nil)
	if !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
}

// cancelling is a store that ends the context after some writes.
type cancelling struct {
	kv.Store
	left atomic.Int64
	end  func()
}

func (c *cancelling) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	commit, err := c.Store.Update(ctx, p, fn)
	if c.left.Add(-1) == 0 {
		c.end()
	}
	return commit, err
}

// What is damaged is found, with the key and without.
func TestDamage(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprint("sealed ", sealed), func(t *testing.T) {
			h, d := newMemoryHouse(t), newDesk(t)
			if sealed {
				d.keys = makeKeys(t)
			}
			h.deliver(t, 1, h.text(5000), h.text(300_000))
			s := d.run(t, h.local(), backup.Options{})
			var names []string
			for stat, err := range d.place.List(t.Context(), "packs/") {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, stat.Name)
			}
			names = append(names, "snapshots/"+s.ID)
			for _, name := range names {
				whole := read(t, d.place, name)
				for _, at := range []int{0, len(whole) / 2, len(whole) - 1} {
					broken := append([]byte(nil), whole...)
					broken[at] ^= 0x40
					put(t, d.place, name, broken)
					found, err := backup.Check(t.Context(), d.open(t), backup.Keys{}, nil)
					if err != nil || len(found.Faults) == 0 {
						t.Errorf("%s, octet %d: %v, %+v", name, at, err, found)
					}
					restoreBroken(t, d, s.ID, h)
				}
				put(t, d.place, name, whole[:len(whole)/2])
				restoreBroken(t, d, s.ID, h)
				put(t, d.place, name, whole)
			}
			if err := d.place.Delete(t.Context(), names[0]); err != nil {
				t.Fatal(err)
			}
			found, err := backup.Check(t.Context(), d.open(t), backup.Keys{}, nil)
			if err != nil || !strings.Contains(strings.Join(found.Faults, " "), "is missing; the backup "+s.ID+" needs it") {
				t.Errorf("%v, %+v", err, found)
			}
			// The next run notices, and writes it again.
			again := d.run(t, h.local(), backup.Options{})
			same(t, h, d.restore(t, again.ID))
		})
	}
}

// restoreBroken restores a damaged backup: it fails, or what comes is right.
func restoreBroken(t *testing.T, d *desk, id string, want *house) {
	t.Helper()
	h := newMemoryHouse(t)
	_, err := backup.Restore(t.Context(), d.open(t), d.keys, id, backup.Target{DB: h.db, Blobs: h.blobs, Moved: true}, nil)
	if err == nil {
		same(t, want, h)
	}
}

func read(t *testing.T, p backup.Place, name string) []byte {
	t.Helper()
	f, err := p.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, p backup.Place, name string, content []byte) {
	t.Helper()
	if err := p.Put(t.Context(), name, content); err != nil {
		t.Fatal(err)
	}
}

// A body that the store itself has lost is told of, and does not keep the rest
// away.
func TestMissingBody(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.deliver(t, 1, h.text(300_000), h.text(400_000), h.text(100))
	n := 0
	for stat, err := range h.blobs.List(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			if err := h.blobs.Delete(t.Context(), stat.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := d.run(t, h.local(), backup.Options{})
	if len(s.Missing) != 1 || !strings.Contains(s.Missing[0], "of account ") {
		t.Errorf("%+v", s)
	}
	same(t, h, d.restore(t, s.ID))
}

// A small message that the disk has lost is told, and all others are in the
// backup.
func TestRottenRow(t *testing.T) {
	dir := t.TempDir()
	db, err := pebblekv.Open(dir, pebblekv.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tracker := backup.Track(db)
	h, d := newHouse(t, tracker, memblob.New(0)), newDesk(t)
	local := h.local()
	local.Versions = tracker.Versions
	rotten := h.text(5000)
	h.deliver(t, 1, h.text(5000), rotten, h.text(5000))
	log := filepath.Join(dir, "log", "00000001.log")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	text[bytes.Index(text, rotten[200:300])] ^= 1
	if err := os.WriteFile(log, text, 0o600); err != nil {
		t.Fatal(err)
	}
	// It is told every time, also when nothing has changed since.
	for _, full := range []bool{false, false, true} {
		s := d.run(t, local, backup.Options{Full: full})
		if len(s.Missing) != 1 || !strings.Contains(s.Missing[0], fmt.Sprintf("body %x of account", sha256.Sum256(rotten))) {
			t.Errorf("%+v", s)
		}
		again := d.restore(t, s.ID)
		var found []string
		err = again.mailboxes.Account(1).Check(t.Context(), mailbox.CheckOptions{}, func(f mailbox.Finding) { found = append(found, f.What) })
		if err != nil || len(found) != 1 || !strings.Contains(found[0], "its text is missing") {
			t.Errorf("restored with %q, %v", found, err)
		}
	}
}

// A large message that is damaged is told, until it is only waiting to be deleted.
func TestRottenFile(t *testing.T) {
	dir := t.TempDir()
	files, err := fsblob.Open(dir, fsblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	db := memkv.New()
	t.Cleanup(func() { db.Close() })
	h, d := newHouse(t, db, files), newDesk(t)
	h.deliver(t, 1, h.text(300_000))
	var sum blob.Sum
	for stat, err := range files.List(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		sum = stat.Key.Sum
	}
	name := filepath.Join(dir, "01", mail.AccountID(1).String(), sum.String())
	if err := os.WriteFile(name, h.text(300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if s := d.run(t, h.local(), backup.Options{}); len(s.Missing) != want {
			t.Errorf("%+v", s)
		}
		err := kv.Apply(t.Context(), db, keys.Account(1), func(tx kv.Txn) error {
			tx.Delete(append([]byte{keys.Refs}, sum[:]...))
			tx.Put(append([]byte{keys.Release}, sum[:]...), []byte{1, 0, 0})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// While a partition is read nothing of it is deleted; afterwards it is, unless
// it was kept again.
func TestHold(t *testing.T) {
	held := backup.Hold(memblob.New(0))
	ctx := t.Context()
	body, err := blob.StageBytes(ctx, held, []byte(strings.Repeat("x", 200_000)))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	key, err := body.Keep(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	release := held.Hold(7)
	if err := held.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	b, err := held.Open(ctx, key)
	if err != nil {
		t.Fatal("deleted while it was held:", err)
	}
	b.Close()
	if err := release(ctx); err != nil {
		t.Fatal(err)
	}
	// It was kept a moment ago, so the sweep decides.
	if _, err := held.Open(ctx, key); err != nil {
		t.Error("deleted too soon:", err)
	}
	if err := held.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Open(ctx, key); !errors.Is(err, blob.ErrNotFound) {
		t.Error("not deleted after the hold:", err)
	}
}
