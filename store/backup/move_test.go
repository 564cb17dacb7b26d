package backup_test

import (
	"context"
	"testing"

	"waxwing/store/backup"
	"waxwing/store/kv"
	"waxwing/test/bucket"
	"waxwing/test/engine"
)

// A backup moves a store from one engine to another and back, large bodies into a
// bucket and out of it, and nothing of it changes. On PostgreSQL, too, what was not written is not read again.
func TestMove(t *testing.T) {
	old := newMemoryHouse(t)
	old.fill(t)
	first := newDesk(t)
	s := first.run(t, old.local(), backup.Options{})
	db := engine.New(t)
	shared, ok := db.(interface {
		Versions(context.Context, []kv.Partition) ([]string, error)
	})
	if !ok {
		tracker := backup.Track(db)
		db, shared = tracker, tracker
	}
	moved := newHouse(t, db, bucket.New(t))
	target := backup.Target{DB: moved.db, Blobs: moved.blobs, Moved: true}
	if _, err := backup.Restore(t.Context(), first.open(t), first.keys, s.ID, target, nil); err != nil {
		t.Fatal(err)
	}
	same(t, old, moved)
	verify(t, moved)

	local := moved.local()
	local.Versions = shared.Versions
	second := newDesk(t)
	all := second.run(t, local, backup.Options{})
	again := second.run(t, local, backup.Options{})
	if again.Unchanged != all.Partitions || again.Read > 1000 {
		t.Errorf("unchanged, and yet: %+v", again)
	}
	moved.deliver(t, 2, moved.text(500))
	again = second.run(t, local, backup.Options{})
	if again.Unchanged != all.Partitions-1 {
		t.Errorf("one account has changed: %+v", again)
	}
	same(t, moved, second.restore(t, again.ID))
}
