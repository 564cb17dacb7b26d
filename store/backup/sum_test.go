package backup

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// A repository of before, whose packs have sums by SHA-256, is checked as it
// is, and goes on.
func TestSumsOfBefore(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	place, err := Dir(filepath.Join(root, "repository"))
	if err != nil {
		t.Fatal(err)
	}
	repo, err := Create(ctx, place, time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	db := memkv.New()
	defer db.Close()
	write := func(n int) {
		err := kv.Apply(ctx, db, 77, func(tx kv.Txn) error {
			tx.Put(fmt.Append(nil, "key", n), bytes.Repeat([]byte{byte(n)}, 1000))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	backUp := func() Snapshot {
		memory, err := OpenMemory(filepath.Join(root, "memory"), repo)
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		s, err := Run(ctx, repo, memory, &Local{DB: db, Blobs: memblob.New(0)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	check := func(snapshots, faults int) {
		t.Helper()
		c, err := Check(ctx, repo, Keys{}, nil)
		if err != nil || c.Snapshots != snapshots || len(c.Faults) != faults {
			t.Errorf("%d snapshots, %v, %v; want %d and %d faults", c.Snapshots, c.Faults, err, snapshots, faults)
		}
	}
	write(1)
	first := backUp()
	check(1, 0)
	path := filepath.Join(place.String(), snapshotName(first.ID))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := decodeOuter(first.ID, b)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b[:len(b)-sha256.Size], []byte(snapshotMagic), []byte(snapshotMagic1), 1)
	for _, p := range s.packs {
		pack, err := os.ReadFile(filepath.Join(place.String(), p.id.name()))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(pack)
		b = bytes.Replace(b, p.sum[:], sum[:], 1)
	}
	sum := sha256.Sum256(b)
	if err := os.WriteFile(path, append(b, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "memory")); err != nil { // which has the new sums
		t.Fatal(err)
	}
	check(1, 0)
	write(2)
	backUp()
	check(2, 0)
	damaged := filepath.Join(place.String(), s.packs[0].id.name())
	pack, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	pack[len(pack)/2] ^= 1
	if err := os.WriteFile(damaged, pack, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Check(ctx, repo, Keys{}, nil)
	if err != nil || len(c.Faults) == 0 {
		t.Errorf("damage in an old pack is not found: %v, %v", c, err)
	}
}
