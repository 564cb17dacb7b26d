package pebblekv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"waxwing/store/kv"
)

// eventually waits for what background work brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// text is a value that compresses well, always the same for one seed.
func text(seed, n int) []byte {
	return bytes.Repeat(noise(uint64(seed), 64), n/64)
}

// filled makes a store with values in many small segments, all of which Pebble
// has durably.
func filled(t *testing.T, fs vfs.FS, dir string, n, size int) *Store {
	s := testOpen(t, dir, Options{FS: fs, SegmentSize: 128 << 10, MinFree: -1})
	t.Cleanup(func() { s.Close() })
	for i := range n {
		err := kv.Apply(t.Context(), s, kv.Partition(i%3), func(tx kv.Txn) error {
			tx.Put(fmt.Appendf(nil, "v%04d", i), text(i, size))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	flushAll(t, s)
	return s
}

func flushAll(t *testing.T, s *Store) {
	t.Helper()
	if err := s.keeper.note(place(s.log.durable.Load())); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
}

func checkFilled(r kv.Reader, p, n, size int, there func(i int) bool) error {
	for i := p; i < n; i += 3 {
		v, err := r.Get(fmt.Appendf(nil, "v%04d", i))
		switch {
		case there(i) && (err != nil || !bytes.Equal(v, text(i, size))):
			return fmt.Errorf("value %d: %d octets, %w", i, len(v), err)
		case !there(i) && !errors.Is(err, kv.ErrNotFound):
			return fmt.Errorf("deleted value %d: %v", i, err)
		}
	}
	return nil
}

// Segments that are mostly dead are emptied and removed; what lived in them is
// still there, compressed, also after a start that has nothing but the disk.
// A view that began before keeps its state, and its segments.
func TestCollect(t *testing.T) {
	mem := vfs.NewCrashableMem()
	const n, size = 600, 4 << 10
	s := filled(t, mem, "data/store", n, size)
	before := s.Sizes()
	if before.Segments < 10 {
		t.Fatalf("only %d segments", before.Segments)
	}
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- s.View(t.Context(), 1, func(r kv.Reader) error {
			close(inside)
			<-leave
			return checkFilled(r, 1, n, size, func(int) bool { return true })
		})
	}()
	<-inside
	there := func(i int) bool { return i%10 < 3 }
	for p := range 3 {
		err := kv.Apply(t.Context(), s, kv.Partition(p), func(tx kv.Txn) error {
			for i := p; i < n; i += 3 {
				if !there(i) {
					tx.Delete(fmt.Appendf(nil, "v%04d", i))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	flushAll(t, s)
	s.keeper.churn.Store(1 << 30) // small segments, few values
	prompt(s.keeper.collect)
	time.Sleep(20 * time.Millisecond)
	if got := s.Sizes().Segments; got < before.Segments {
		t.Errorf("%d of %d segments are left while a view may read them", got, before.Segments)
	}
	close(leave)
	if err := <-left; err != nil {
		t.Errorf("the old view: %v", err)
	}
	// A look that came before the flush had been noted finds nothing settled;
	// what is deleted later prompts the next.
	sizes := func() Sizes {
		s.keeper.churn.Store(1 << 30)
		prompt(s.keeper.collect)
		return s.Sizes()
	}
	eventually(t, "segments removed", func() bool { return sizes().Segments < before.Segments/2 })
	eventually(t, "values compressed", func() bool { return sizes().Octets < before.Octets/3 })
	check := func(s *Store) {
		t.Helper()
		for p := range 3 {
			err := s.View(t.Context(), kv.Partition(p), func(r kv.Reader) error {
				return checkFilled(r, p, n, size, there)
			})
			if err != nil {
				t.Errorf("partition %d: %v", p, err)
			}
		}
	}
	check(s)
	again := testOpen(t, "data/store", Options{FS: mem.CrashClone(vfs.CrashCloneCfg{}), MinFree: -1})
	defer again.Close()
	check(again)
	if err := s.Checkpoint(t.Context(), "data/copy"); err != nil {
		t.Fatal(err)
	}
	copied := testOpen(t, "data/copy", Options{FS: mem, MinFree: -1})
	defer copied.Close()
	check(copied)
}

// A value whose deletion is not durable yet is dead in Pebble's memory only:
// its segment must wait.
func TestCollectWaitsForTheDisk(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var hold sync.Mutex
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") {
			hold.Lock()
			defer hold.Unlock()
		}
		return nil
	}))
	const n, size = 100, 4 << 10
	s := filled(t, fs, "data/store", n, size)
	hold.Lock()
	for p := range 3 {
		_, err := s.Update(t.Context(), kv.Partition(p), func(tx kv.Txn) error { tx.DeleteRange(nil, nil); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() { done <- s.keeper.collectOne(1) }()
	select {
	case err := <-done:
		t.Errorf("collected before the deletion is durable: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	hold.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again := testOpen(t, "data/store", Options{FS: after, MinFree: -1})
	defer again.Close()
	for p := range 3 {
		err := again.View(t.Context(), kv.Partition(p), func(r kv.Reader) error {
			return checkFilled(r, p, n, size, func(int) bool { return true })
		})
		if err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
}

// change alters one octet of a file.
func change(t *testing.T, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}

// A value that the disk has changed is an error that tells where, and no other
// value is harmed; its segment stays.
func TestDamagedValue(t *testing.T) {
	dir := t.TempDir()
	const n, size = 100, 4 << 10
	s := filled(t, vfs.Default, dir, n, size)
	held, closer, err := s.db.Get(prefixed(1, []byte("v0004")))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := parseReference(held)
	if err != nil {
		t.Fatal(err)
	}
	closer.Close()
	change(t, filepath.Join(dir, "log", segmentName(ref.place.segment())), int64(ref.place.offset())+77)
	err = s.View(t.Context(), 1, func(r kv.Reader) error {
		if _, err := r.Get([]byte("v0007")); err != nil {
			t.Error(err)
		}
		_, err := r.Get([]byte("v0004"))
		return err
	})
	var damage *Damage
	if !errors.As(err, &damage) || damage.Partition != 1 || string(damage.Key) != "v0004" ||
		damage.File != segmentName(ref.place.segment()) || damage.Offset != int64(ref.place.offset()) {
		t.Errorf("a damaged value gives %v", err)
	}
	// The same where it is read with those beside it.
	var keys [][]byte
	for i := range 20 {
		keys = append(keys, fmt.Appendf(nil, "v%04d", i))
	}
	for _, keys := range [][][]byte{keys, keys[3:6]} {
		damage = nil
		err = s.View(t.Context(), 1, func(r kv.Reader) error { return kv.GetInto(r, keys, new(kv.Room)) })
		if !errors.As(err, &damage) || string(damage.Key) != "v0004" || damage.Offset != int64(ref.place.offset()) {
			t.Errorf("%d values with a damaged one give %v", len(keys), err)
		}
	}
	// Who asks to be spared gets all others, and is told.
	for name, read := range map[string]func(r kv.Reader) (got int, err error){
		"Get":          func(r kv.Reader) (int, error) { v, err := r.Get([]byte("v0004")); return 5 - len(v), err },
		"GetMany":      func(r kv.Reader) (int, error) { return countValues(r.GetMany(keys[:16])) },
		"GetMany, all": func(r kv.Reader) (int, error) { return countValues(r.GetMany(keys)) },
		"GetInto": func(r kv.Reader) (int, error) {
			var room kv.Room
			err := kv.GetInto(r, keys, &room)
			return countValues(room.Values, err)
		},
		"Scan": func(r kv.Reader) (n int, err error) {
			for it, err := range r.Scan([]byte("v0000"), []byte("v0020"), kv.ScanOptions{}) {
				if err != nil {
					return n, err
				}
				n += min(len(it.Value), 1)
			}
			return n, nil
		},
	} {
		var told []string
		err := s.View(t.Context(), 1, func(r kv.Reader) error {
			kv.Spare(r, func(key []byte, err error) {
				if !errors.Is(err, kv.ErrDamaged) {
					t.Errorf("%s tells %v", name, err)
				}
				told = append(told, string(key))
			})
			n, err := read(r)
			if n != map[string]int{"Get": 5, "GetMany": 4, "GetMany, all": 6, "GetInto": 6, "Scan": 6}[name] { // of the seven that are left
				t.Errorf("%s gives %d values", name, n)
			}
			return err
		})
		if err != nil || len(told) != 1 || told[0] != "v0004" {
			t.Errorf("%s: told %q, %v", name, told, err)
		}
	}
	if _, err := s.keeper.empty(ref.place.segment()); !errors.As(err, &damage) {
		t.Errorf("collecting the segment gives %v", err)
	}
}

// countValues counts those that are not empty.
func countValues(values [][]byte, err error) (int, error) {
	n := 0
	for _, v := range values {
		n += min(len(v), 1)
	}
	return n, err
}

// Damage in what a start has to read stops it, unless it is the end of the
// log, where what is not whole was never acknowledged.
func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	s := testOpen(t, dir, Options{MinFree: -1})
	var places []place
	for i := range 20 {
		c, err := s.Update(t.Context(), 1, func(tx kv.Txn) error {
			tx.Put([]byte{byte(i)}, noise(uint64(i), 3000))
			return nil
		})
		if err != nil || c.Wait(t.Context()) != nil {
			t.Fatal(err)
		}
		places = append(places, c.(*commit).place)
	}
	// As after kill -9: nothing has been flushed.
	clone := func() string {
		to := filepath.Join(t.TempDir(), "store")
		if _, err := vfs.Clone(vfs.Default, vfs.Default, dir, to); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for _, tt := range []struct {
		record int
		offset int64
		lost   int // values at the end; -1: the start is refused
	}{
		{3, 20, -1}, {3, 50, -1}, {18, 3, -1}, {18, 50, -1},
		{19, 3, 1}, {19, 50, 1}, {19, 2000, 1},
	} {
		to := clone()
		change(t, filepath.Join(to, "log", segmentName(1)), int64(places[tt.record].offset())+tt.offset)
		again, err := Open(to, Options{MinFree: -1})
		if tt.lost < 0 {
			var damage *Damage
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), "log is damaged") {
				t.Errorf("record %d, octet %d changed: %v", tt.record, tt.offset, err)
			}
			if err == nil {
				again.Close()
			}
			continue
		}
		if err != nil {
			t.Errorf("record %d, octet %d changed: %v", tt.record, tt.offset, err)
			continue
		}
		err = again.View(t.Context(), 1, func(r kv.Reader) error {
			n := 0
			for _, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
				if err != nil {
					return err
				}
				n++
			}
			if n != 20-tt.lost {
				return fmt.Errorf("%d values", n)
			}
			return nil
		})
		if err != nil {
			t.Errorf("record %d, octet %d changed: %v", tt.record, tt.offset, err)
		}
		again.Close()
	}
	s.Close()
}
