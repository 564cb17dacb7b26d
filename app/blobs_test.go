package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"waxwing/app/config"
	"waxwing/store/kv/memkv"
)

// A server whose large bodies lie elsewhere than those of the others does not
// start, unless it is for a trial; nor does one that was told another place.
func TestOneBlobStoreForAll(t *testing.T) {
	db := memkv.New()
	defer db.Close()
	log := slog.New(slog.DiscardHandler)
	one, two := config.Default(), config.Default()
	one.Data, two.Data = t.TempDir(), t.TempDir()
	for range 2 { // the second time it is known
		blobs, err := openBlobs(one, db, false, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := blobs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openBlobs(two, db, false, log); !errors.Is(err, errOtherBlobs) || !strings.Contains(err.Error(), "one bucket for all") {
		t.Errorf("with bodies elsewhere: %v", err)
	}
	blobs, err := openBlobs(two, db, true, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.Close(); err != nil {
		t.Error(err)
	}
}

// A data directory is one process's, wherever the stores are.
func TestDataIsLocked(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(dir); err == nil {
		t.Error("locked twice")
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	if lock, err = lockData(dir); err != nil {
		t.Fatal(err)
	}
	lock.Close()
}
