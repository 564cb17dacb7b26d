package fsblob_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/store/blob"
	"waxwing/store/blob/blobtest"
	"waxwing/store/blob/fsblob"
)

func open(t *testing.T, dir string) *fsblob.Store {
	t.Helper()
	s, err := fsblob.Open(dir, fsblob.Options{MaxSize: blobtest.Limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, blob.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func TestLaws(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, filepath.Join(t.TempDir(), "a", "blobs")) })
}

// keep keeps a body of n octets and gives its key and path.
func keep(t *testing.T, s *fsblob.Store, dir string, n int) (blob.Key, string) {
	t.Helper()
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if _, err := io.WriteString(sp, strings.Repeat("x", n)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sp.Sum(); err != nil {
		t.Fatal(err)
	}
	key, err := sp.Keep(t.Context(), 0x12f)
	if err != nil {
		t.Fatal(err)
	}
	return key, filepath.Join(dir, "2f", "a000000000000012f", key.Sum.String())
}

func readAll(t *testing.T, s *fsblob.Store, key blob.Key) error {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, err = io.Copy(io.Discard, b)
	return err
}

// Damage is noticed by whoever reads any of it, however little, and repaired by
// keeping the body again.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	key, path := keep(t, s, dir, 1000)
	for _, damage := range []string{strings.Repeat("x", 999) + "y", "", "xxx"} {
		if err := errors.Join(readAll(t, s, key), readSome(t, s, key)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := readAll(t, s, key); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("%d octets: %v", len(damage), err)
		}
		if err := readSome(t, s, key); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("some of %d octets: %v", len(damage), err)
		}
		keep(t, s, dir, 1000)
	}
	if err := errors.Join(readAll(t, s, key), readSome(t, s, key)); err != nil {
		t.Errorf("kept again: %v", err)
	}
}

func readSome(t *testing.T, s *fsblob.Store, key blob.Key) error {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for range 2 {
		_, err = b.ReadAt(make([]byte, 1), 0)
	}
	return err
}

// Opening removes what a crash has left in the spool, and keeps what is kept.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	key, _ := keep(t, s, dir, 1000)
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sp.Write([]byte("half a mess"))
	if _, err := fsblob.Open(dir, fsblob.Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	s.Close()
	s = open(t, dir)
	left, err := os.ReadDir(filepath.Join(dir, "spool"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
	if err := readAll(t, s, key); err != nil {
		t.Error(err)
	}
	if err := sp.Close(); err != nil {
		t.Errorf("close of a spool that is gone: %v", err)
	}
}

func TestNewerLayout(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte("waxwing fsblob 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fsblob.Open(dir, fsblob.Options{}); err == nil || !strings.Contains(err.Error(), "fsblob 2") {
		t.Errorf("opened: %v", err)
	}
}

// Files that are not ours are left alone.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, path := keep(t, s, dir, 10)
	for _, name := range []string{"README", strings.Repeat("A", 64), strings.Repeat("z", 64)} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, err := range s.List(t.Context(), 0x12f) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d blobs", n)
	}
}
