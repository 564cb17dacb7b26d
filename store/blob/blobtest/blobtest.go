// Package blobtest holds the laws that every blob store keeps.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
)

// Limit is the largest blob that the stores given to Run take.
const Limit = 4 << 20

// Run checks the laws on empty stores that open gives, which take blobs of up
// to Limit octets and are closed by whoever opened them.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	laws := []struct {
		name string
		law  func(*testing.T, blob.Store)
	}{
		{"kept bytes come back", comeBack},
		{"spools can be read", spoolsRead},
		{"owners are apart", ownersApart},
		{"limits", limits},
		{"order of calls", order},
		{"nothing is kept by itself", nothingKept},
		{"delete", deletes},
		{"list and reap", reap},
		{"sweep", sweep},
		{"staged", staged},
		{"keep and delete at once", keepAndDelete},
		{"closed", closed},
	}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) { l.law(t, open(t)) })
	}
}

// content gives bytes that do not repeat soon.
func content(size, seed int) []byte {
	b := make([]byte, size)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// spooled gives a finished spool.
func spooled(t *testing.T, s blob.Store, b []byte) blob.Spool {
	t.Helper()
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sp.Write(b); n != len(b) || err != nil {
		t.Fatalf("write %d octets: %d, %v", len(b), n, err)
	}
	sum, size, err := sp.Sum()
	if err != nil || sum != sha256.Sum256(b) || size != mail.ByteCount(len(b)) {
		t.Fatalf("sum: %v of %d, %v", sum, size, err)
	}
	return sp
}

func keep(t *testing.T, s blob.Store, owner mail.AccountID, b []byte) blob.Key {
	t.Helper()
	sp := spooled(t, s, b)
	defer sp.Close()
	key, err := sp.Keep(t.Context(), owner)
	if err != nil || key != (blob.Key{Owner: owner, Sum: sha256.Sum256(b)}) {
		t.Fatalf("keep: %v, %v", key, err)
	}
	return key
}

func read(t *testing.T, s blob.Store, key blob.Key) []byte {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil || b.Size() != mail.ByteCount(len(got)) {
		t.Fatalf("read: %d of %d octets, %v", len(got), b.Size(), err)
	}
	return got
}

func exists(t *testing.T, s blob.Store, key blob.Key) bool {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err == nil {
		b.Close()
		return true
	}
	if !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("open: %v", err)
	}
	return false
}

func list(t *testing.T, s blob.Store, owner mail.AccountID) map[blob.Sum]blob.Stat {
	t.Helper()
	all := map[blob.Sum]blob.Stat{}
	for stat, err := range s.List(t.Context(), owner) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if stat.Key.Owner != owner {
			t.Errorf("list of %v gives %v", owner, stat.Key)
		}
		all[stat.Key.Sum] = stat
	}
	return all
}

func comeBack(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, Limit} {
		want := content(size, size)
		key := keep(t, s, 1, want)
		if got := read(t, s, key); !bytes.Equal(got, want) {
			t.Errorf("%d octets come back changed", size)
		}
		b, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(struct{ io.Reader }{b}, want); size < 1<<20 && err != nil {
			t.Error(err)
		}
		var wg sync.WaitGroup
		for i := range 4 { // at any place, by several at once
			wg.Go(func() {
				p := make([]byte, size/2)
				if n, err := b.ReadAt(p, int64(i*size/8)); n != len(p) || !bytes.Equal(p, want[i*size/8:][:len(p)]) {
					t.Errorf("ReadAt: %d, %v", n, err)
				}
			})
		}
		wg.Wait()
		if n, err := b.ReadAt(make([]byte, 10), int64(size)); n != 0 || err != io.EOF {
			t.Errorf("ReadAt behind the end: %d, %v", n, err)
		}
		b.Close()
	}
}

// What has been written can be read at once, however it was cut up.
func spoolsRead(t *testing.T, s blob.Store) {
	want := content(300_000, 7)
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	check := func(upTo int) {
		for _, off := range []int{0, 1, upTo / 2, max(upTo-100, 0), upTo} {
			p := make([]byte, 70_000)
			n, err := sp.ReadAt(p, int64(off))
			rest := want[off:upTo]
			if wantN := min(len(p), len(rest)); n != wantN || !bytes.Equal(p[:n], rest[:n]) || n < len(p) && err != io.EOF {
				t.Fatalf("with %d written, ReadAt %d gives %d, %v; want %d", upTo, off, n, err, wantN)
			}
		}
	}
	written := 0
	for _, size := range []int{1, 1000, 64 << 10, 5, 100_000, 40_000, 0, 20_000} {
		if _, err := sp.Write(want[written : written+size]); err != nil {
			t.Fatal(err)
		}
		written += size
		check(written)
	}
	if _, _, err := sp.Sum(); err != nil {
		t.Fatal(err)
	}
	check(written)
}

func ownersApart(t *testing.T, s blob.Store) {
	b := content(200_000, 1)
	sp := spooled(t, s, b)
	var all []blob.Key
	for _, owner := range []mail.AccountID{1, 257, 1<<56 - 1, 0xFF02_0000_0000_0003, 1} {
		key, err := sp.Keep(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if exists(t, s, all[0]) || len(list(t, s, 1)) != 0 {
		t.Error("a deleted blob is there")
	}
	for _, key := range all[1:4] {
		if !bytes.Equal(read(t, s, key), b) || len(list(t, s, key.Owner)) != 1 {
			t.Errorf("%v has lost it", key.Owner)
		}
	}
}

func limits(t *testing.T, s blob.Store) {
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if _, err := sp.Write(content(Limit, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Write([]byte{1}); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("one too many: %v", err)
	}
	if _, _, err := sp.Sum(); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("sum of a cut blob: %v", err)
	}
	if _, err := sp.Keep(t.Context(), 1); err == nil {
		t.Error("a cut blob is kept")
	}
}

func order(t *testing.T, s blob.Store) {
	sp, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Keep(t.Context(), 1); err == nil {
		t.Error("Keep before Sum")
	}
	a, _, _ := sp.Sum()
	if b, _, err := sp.Sum(); a != b || err != nil {
		t.Errorf("a second Sum gives %v, %v", b, err)
	}
	if _, err := sp.Write([]byte("x")); err == nil {
		t.Error("Write after Sum")
	}
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
	if _, err := sp.Keep(t.Context(), 1); err == nil {
		t.Error("Keep after Close")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Create(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Create after the context's end: %v", err)
	}
	if _, err := s.Open(ctx, blob.Key{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open after the context's end: %v", err)
	}
}

func nothingKept(t *testing.T, s blob.Store) {
	b := content(100_000, 2)
	if err := spooled(t, s, b).Close(); err != nil {
		t.Fatal(err)
	}
	if exists(t, s, blob.Key{Owner: 1, Sum: sha256.Sum256(b)}) || len(list(t, s, 1)) != 0 {
		t.Error("a spool that nobody kept is there")
	}
}

func deletes(t *testing.T, s blob.Store) {
	b := content(100_000, 3)
	key := keep(t, s, 9, b)
	open, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for range 2 { // the second finds nothing, which is no error
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if exists(t, s, key) {
		t.Error("a deleted blob is there")
	}
	if got, err := io.ReadAll(open); err != nil || !bytes.Equal(got, b) {
		t.Errorf("an open blob is lost with its name: %v", err)
	}
	keep(t, s, 9, b)
	if !bytes.Equal(read(t, s, key), b) {
		t.Error("what is kept again is changed")
	}
}

// about tells whether a size may be that of a few octets: stores add their own.
func about(size mail.ByteCount, octets int) bool {
	return size >= mail.ByteCount(octets) && size <= mail.ByteCount(octets)+100
}

func reap(t *testing.T, s blob.Store) {
	before := time.Now().Add(-time.Minute)
	a, b := keep(t, s, 5, content(10, 1)), keep(t, s, 5, content(20, 2))
	stats := list(t, s, 5)
	if len(stats) != 2 || !about(stats[a.Sum].Size, 10) || !about(stats[b.Sum].Size, 20) {
		t.Fatalf("list: %v", stats)
	}
	for _, stat := range stats {
		if stat.Modified.Before(before) || stat.Modified.After(time.Now().Add(time.Minute)) {
			t.Errorf("kept at %v", stat.Modified)
		}
	}
	time.Sleep(10 * time.Millisecond) // more than the clock of a file system takes for a step
	keep(t, s, 5, content(10, 1))
	if gone, err := s.Reap(t.Context(), stats[a.Sum]); gone || err != nil {
		t.Errorf("a blob that was kept again is reaped: %v, %v", gone, err)
	}
	if gone, err := s.Reap(t.Context(), stats[b.Sum]); !gone || err != nil {
		t.Errorf("reap: %v, %v", gone, err)
	}
	if gone, err := s.Reap(t.Context(), stats[b.Sum]); gone || err != nil {
		t.Errorf("reap again: %v, %v", gone, err)
	}
	if !exists(t, s, a) || exists(t, s, b) {
		t.Error("the wrong one was reaped")
	}
}

func sweep(t *testing.T, s blob.Store) {
	named, garbage := keep(t, s, 5, content(10, 1)), keep(t, s, 5, content(20, 2))
	other := keep(t, s, 6, content(20, 2))
	isNamed := func(sum blob.Sum) (bool, error) { return sum == named.Sum, nil }
	n, octets, err := blob.Sweep(t.Context(), s, 5, time.Now().Add(-time.Hour), isNamed)
	if n != 0 || octets != 0 || err != nil || !exists(t, s, garbage) {
		t.Errorf("a sweep takes what is young: %d, %d, %v", n, octets, err)
	}
	n, octets, err = blob.Sweep(t.Context(), s, 5, time.Now().Add(time.Hour), isNamed)
	if n != 1 || !about(octets, 20) || err != nil {
		t.Errorf("sweep: %d, %d, %v", n, octets, err)
	}
	if !exists(t, s, named) || exists(t, s, garbage) || !exists(t, s, other) {
		t.Error("the sweep has taken the wrong one")
	}
	failure := errors.New("no")
	_, _, err = blob.Sweep(t.Context(), s, 5, time.Now().Add(time.Hour), func(blob.Sum) (bool, error) { return false, failure })
	if !errors.Is(err, failure) || !exists(t, s, named) {
		t.Errorf("a sweep that does not know: %v", err)
	}
}

// staged receives bodies of every size once and gives them to several owners.
func staged(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, blob.Inline - 1, blob.Inline, blob.Inline + 1, 1 << 20} {
		want := content(size, size)
		st := blob.Stage(t.Context(), s)
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 7001)
			if m, err := st.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("write: %d, %v", m, err)
			}
			rest = rest[n:]
		}
		if _, err := st.Keep(t.Context(), 1); err == nil {
			t.Error("Keep before Finish")
		}
		if err := errors.Join(st.Finish(), st.Finish()); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte("x")); err == nil {
			t.Error("Write after Finish")
		}
		if st.Size() != mail.ByteCount(size) || st.Sum() != sha256.Sum256(want) {
			t.Errorf("%d octets: size %d, sum %v", size, st.Size(), st.Sum())
		}
		for range 2 {
			if got, err := io.ReadAll(st.Reader()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d octets come back changed: %v", size, err)
			}
		}
		part := make([]byte, size/2)
		if n, err := st.ReadAt(part, int64(size/4)); n != len(part) || !bytes.Equal(part, want[size/4:][:n]) {
			t.Errorf("ReadAt: %d, %v", n, err)
		}
		if inline := size <= blob.Inline; inline != st.IsInline() || inline != (st.Bytes() != nil) || inline && !bytes.Equal(st.Bytes(), want) {
			t.Errorf("%d octets: inline %v", size, st.IsInline())
		}
		for _, owner := range []mail.AccountID{1, 2} {
			key, err := st.Keep(t.Context(), owner)
			if st.IsInline() {
				if !errors.Is(err, blob.ErrInline) {
					t.Errorf("Keep of what is inline: %v", err)
				}
			} else if err != nil || !bytes.Equal(read(t, s, key), want) {
				t.Errorf("keep: %v", err)
			}
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	st := blob.Stage(t.Context(), s)
	defer st.Close()
	st.Write(content(Limit, 1))
	if _, err := st.Write([]byte{1}); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("one too many: %v", err)
	}
	if err := st.Finish(); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("Finish of what was cut: %v", err)
	}
}

// Keep and Delete of the same content by many: after each Keep that no Delete
// followed the bytes are there, and they are never wrong.
func keepAndDelete(t *testing.T, s blob.Store) {
	b := content(100_000, 4)
	key := blob.Key{Owner: 3, Sum: sha256.Sum256(b)}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for range 15 {
				if i%2 == 0 {
					sp := spooled(t, s, b)
					_, err := sp.Keep(t.Context(), 3)
					_, err2 := sp.Keep(t.Context(), mail.AccountID(100+i)) // nobody deletes this one
					if err := errors.Join(err, err2, sp.Close()); err != nil {
						t.Errorf("keep: %v", err)
					}
				} else if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("delete: %v", err)
				}
				if o, err := s.Open(t.Context(), key); err == nil {
					if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, b) {
						t.Errorf("read: %v", err)
					}
					o.Close()
				}
			}
		})
	}
	wg.Wait()
	for i := 0; i < 6; i += 2 {
		if !bytes.Equal(read(t, s, blob.Key{Owner: mail.AccountID(100 + i), Sum: key.Sum}), b) {
			t.Error("a blob that nobody deleted has changed")
		}
	}
	keep(t, s, 3, b)
	if !exists(t, s, key) {
		t.Error("the last Keep is lost")
	}
}

func closed(t *testing.T, s blob.Store) {
	key := keep(t, s, 1, content(10, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create(t.Context())
	_, err2 := s.Open(t.Context(), key)
	_, err3 := s.Reap(t.Context(), blob.Stat{Key: key})
	for i, err := range []error{err, err2, err3, s.Delete(t.Context(), key), s.Close()} {
		if !errors.Is(err, blob.ErrClosed) {
			t.Errorf("call %d of a closed store: %v", i, err)
		}
	}
	for _, err := range s.List(t.Context(), 1) {
		if !errors.Is(err, blob.ErrClosed) {
			t.Errorf("list of a closed store: %v", err)
		}
	}
}
