package fsblob_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/fsblob"
)

func keepBody(t *testing.T, s *fsblob.Store, body []byte, owners ...mail.AccountID) (key blob.Key) {
	t.Helper()
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	_, err = sp.Write(body)
	_, _, err2 := sp.Sum()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, owner := range owners {
		if key, err = sp.Keep(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func packAll(t *testing.T, s *fsblob.Store) (trouble []error) {
	t.Helper()
	err := s.Pack(t.Context(), time.Now().Add(time.Hour), 0, func(_ string, err error) { trouble = append(trouble, err) })
	if err != nil {
		t.Fatal(err)
	}
	return trouble
}

func stats(t *testing.T, s *fsblob.Store, owner mail.AccountID) (all []blob.Stat) {
	t.Helper()
	for stat, err := range s.List(t.Context(), owner) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stat)
	}
	return all
}

// What shrinks is packed and reads as before, also by those who have it open;
// what does not shrink, and what has several owners, stays.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	text := bytes.Repeat([]byte("A line that comes again and again.\r\n"), 20_000)
	shrinks := keepBody(t, s, text, 1)
	stays := keepBody(t, s, noise(500_000), 2)
	shared := keepBody(t, s, text[1:], 3, 4)
	held, err := s.Open(t.Context(), shrinks)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	before := stats(t, s, 1)[0]
	if trouble := packAll(t, s); len(trouble) > 0 {
		t.Fatal(trouble)
	}
	after := stats(t, s, 1)
	if len(after) != 1 || after[0].Size > before.Size/4 || !after[0].Modified.Equal(before.Modified) {
		t.Errorf("before %v, after %v", before, after)
	}
	for _, key := range []blob.Key{stays, shared} {
		if got := stats(t, s, key.Owner); len(got) != 1 || got[0].Size < 499_999 {
			t.Errorf("%v: %v", key, got)
		}
	}
	if got, err := io.ReadAll(held); err != nil || !bytes.Equal(got, text) {
		t.Errorf("read of what was open: %v", err)
	}
	b, err := s.Open(t.Context(), shrinks)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	part := make([]byte, 1000)
	if _, err := b.ReadAt(part, 400_000); err != nil || !bytes.Equal(part, text[400_000:401_000]) {
		t.Error(err)
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, text) || b.Size() != mail.ByteCount(len(text)) {
		t.Errorf("read of what is packed: %v", err)
	}
	// Kept again it stays packed, and counts as new.
	time.Sleep(10 * time.Millisecond)
	keepBody(t, s, text, 1)
	if got := stats(t, s, 1); len(got) != 1 || got[0].Copy == "" || !got[0].Modified.After(before.Modified) {
		t.Errorf("kept again: %v", got)
	}
	if gone, err := s.Reap(t.Context(), after[0]); gone || err != nil {
		t.Errorf("reaped what was kept again: %v, %v", gone, err)
	}
	if gone, err := s.Reap(t.Context(), stats(t, s, 1)[0]); !gone || err != nil {
		t.Errorf("reap: %v, %v", gone, err)
	}
	if _, err := s.Open(t.Context(), shrinks); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("reaped: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "spool")); err != nil || len(left) > 0 {
		t.Errorf("in the spool: %v, %v", left, err)
	}
}

// A crash between giving the packed file its name and removing the other
// leaves both: the blob reads, is deleted as one, and can be kept.
func TestPackCutShort(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	text := bytes.Repeat([]byte("A line that comes again and again.\r\n"), 20_000)
	key := keepBody(t, s, text, 0x12f)
	path := filepath.Join(dir, "2f", "a000000000000012f", key.Sum.String())
	packAll(t, s)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readAll(t, s, key); err != nil {
		t.Error(err)
	}
	keepBody(t, s, text, 0x12f)
	if err := s.Delete(t.Context(), key); err != nil || len(stats(t, s, 0x12f)) != 0 {
		t.Errorf("deleted: %v", err)
	}
}

// Damage is named, is not packed, and is repaired by keeping the body again.
func TestPackDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	text := bytes.Repeat([]byte("A line that comes again and again.\r\n"), 20_000)
	key := keepBody(t, s, text, 0x12f)
	path := filepath.Join(dir, "2f", "a000000000000012f", key.Sum.String())
	if err := os.WriteFile(path, text[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	trouble := packAll(t, s)
	if len(trouble) != 1 || !errors.Is(trouble[0], blob.ErrCorrupt) || !strings.Contains(trouble[0].Error(), path) {
		t.Errorf("packing what is damaged: %v", trouble)
	}
	keepBody(t, s, text, 0x12f)
	if err := os.Remove(filepath.Join(dir, "PACKED")); err != nil {
		t.Fatal(err)
	}
	packAll(t, s)
	stored, err := os.ReadFile(path + ".z")
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range [][]byte{stored[:len(stored)-1], stored[:100], {}, append([]byte{1}, stored[1:]...)} {
		if err := os.WriteFile(path+".z", damage, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := s.Open(t.Context(), key)
		if err == nil {
			_, err = io.Copy(io.Discard, b)
			b.Close()
		}
		if !errors.Is(err, blob.ErrCorrupt) || !strings.Contains(err.Error(), path+".z") {
			t.Errorf("%d octets: %v", len(damage), err)
		}
		keepBody(t, s, text, 0x12f)
		if err := readAll(t, s, key); err != nil {
			t.Errorf("kept again: %v", err)
		}
		if err := os.Remove(path); err != nil { // it lies plain again
			t.Error(err)
		}
	}
}

// On a full disk a spool fails with the reason and leaves nothing; when there
// is room again everything goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("only root can mount a small disk:", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := open(t, dir)
	first := keepBody(t, s, noise(900_000), 1)
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = sp.Write(noise(1_500_000))
	_, _, err2 := sp.Sum()
	if !errors.Is(errors.Join(err, err2), syscall.ENOSPC) {
		t.Errorf("on a full disk: %v, %v", err, err2)
	}
	if _, err := sp.Keep(t.Context(), 1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("kept on a full disk: %v", err)
	}
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "spool")); err != nil || len(left) > 0 {
		t.Errorf("in the spool: %v, %v", left, err)
	}
	if err := readAll(t, s, first); err != nil {
		t.Errorf("what was there before: %v", err)
	}
	if err := s.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := readAll(t, s, keepBody(t, s, noise(1_500_000), 1)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
