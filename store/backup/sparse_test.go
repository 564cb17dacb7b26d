package backup_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/backup"
	"waxwing/store/mailbox"
)

// size gives the octets of all packs.
func (d *desk) size(t testing.TB) (octets int64) {
	t.Helper()
	for stat, err := range d.place.List(t.Context(), "packs/") {
		if err != nil {
			t.Fatal(err)
		}
		octets += stat.Size
	}
	return octets
}

func (d *desk) prune(t testing.TB) backup.Pruned {
	t.Helper()
	repo := d.open(t)
	memory, err := backup.OpenMemory(d.dir, repo)
	if err != nil {
		t.Fatal(err)
	}
	done, err := backup.Prune(t.Context(), repo, memory, backup.Keep{Last: 1}, time.Now(), time.UTC)
	if err := errors.Join(err, memory.Close()); err != nil {
		t.Fatal(err)
	}
	return done
}

// thinned is a house whose first account has lost nearly all that was in the
// first backup, while the second has not changed; the backups know that.
func thinned(t *testing.T, d *desk) (*house, *backup.Local) {
	h := newMemoryHouse(t)
	tracker := backup.Track(h.db)
	h.mailboxes.Close()
	h.db = tracker
	h.mailboxes = mailbox.New(h.db, h.blobs, mailbox.Options{})
	local := &backup.Local{DB: tracker, Blobs: h.blobs, Versions: tracker.Versions}
	for range 4 {
		h.deliver(t, 1, h.text(2_900_000), h.text(60_000))
		h.deliver(t, 2, h.text(300_000), h.text(20_000))
	}
	d.run(t, local, backup.Options{})
	a := h.mailboxes.Account(1)
	if _, _, err := a.Expunge(t.Context(), mailbox.Inbox, []mail.UID{1, 3, 5, 7}, mailbox.ExpungeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := h.mailboxes.Purge(t.Context(), time.Now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	d.run(t, local, backup.Options{})
	return h, local
}

// The space of what has gone out of a pack comes back, though something in it
// lives on and has not changed; also where nobody can read the backup.
func TestSparse(t *testing.T) {
	d := newDesk(t)
	d.keys = makeKeys(t)
	h, local := thinned(t, d)
	d.prune(t)
	before := d.size(t)
	if before < 9<<20 {
		t.Fatalf("%d octets before", before)
	}
	s := d.run(t, local, backup.Options{})
	if s.Written > 4<<20 {
		t.Errorf("%d octets were written", s.Written)
	}
	d.prune(t)
	if after := d.size(t); after > 4<<20 {
		t.Errorf("%d octets before, %d after", before, after)
	}
	same(t, h, d.restore(t, s.ID))
	found, err := backup.Check(t.Context(), d.open(t), d.keys, nil)
	if err != nil || len(found.Faults) > 0 || found.Snapshots != 1 {
		t.Errorf("%v, %+v", err, found)
	}
	// And then there is nothing left to do.
	if s := d.run(t, local, backup.Options{}); s.Written > 10_000 || s.Unchanged < 2 {
		t.Errorf("%+v", s)
	}
}

// A run that empties packs and is cut short, at whatever point, leaves the
// backups as they were; the next one goes on.
func TestSparseCutShort(t *testing.T) {
	d := newDesk(t)
	h, local := thinned(t, d)
	good, was := d.place, h.dump(t)
	step := int64(1)
	if testing.Short() {
		step = 3
	}
	for n := int64(1); ; n += step {
		place := &faulty{Place: good, after: n%2 == 0}
		place.left.Store(n)
		d.place = place
		_, err := d.tryRun(t, local, backup.Options{})
		d.place = good
		if err != nil && !errors.Is(err, errPlug) {
			t.Fatal(err)
		}
		d.prune(t)
		newest, e := d.open(t).Find(context.Background(), "", time.Time{})
		if e != nil {
			t.Fatal(e)
		}
		if !maps.Equal(d.restore(t, newest.ID).dump(t), was) {
			t.Fatalf("cut short after %d files, the backup %s is not what was", n, newest.ID)
		}
		if err == nil {
			break
		}
	}
	if after := d.size(t); after > 5<<20 {
		t.Errorf("%d octets in the end", after)
	}
}

// What is known of an account that has gone keeps no pack alive.
func TestSparseAccountGone(t *testing.T) {
	h, d := newMemoryHouse(t), newDesk(t)
	h.deliver(t, 1, h.text(3_000_000), h.text(3_000_000), h.text(3_000_000))
	h.deliver(t, 2, h.text(100_000))
	d.run(t, h.local(), backup.Options{})
	if err := h.mailboxes.Delete(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	d.run(t, h.local(), backup.Options{})
	s := d.run(t, h.local(), backup.Options{})
	d.prune(t)
	if after := d.size(t); after > 1<<20 {
		t.Errorf("%d octets after", after)
	}
	same(t, h, d.restore(t, s.ID))
}
