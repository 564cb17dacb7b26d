package pebblekv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"waxwing/store/kv"
)

// Zeros are written in front of the log while groups are small, and never over it.
func TestBlanks(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := testOpen(t, "store", Options{FS: fs})
	const writers, each, size = 4, 300, 3000
	value := func(w, i int) []byte { return noise(uint64(w*each+i), size) }
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := kv.Apply(t.Context(), s, kv.Partition(w), func(tx kv.Txn) error {
					tx.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), value(w, i))
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	check := func(s *Store) {
		t.Helper()
		for w := range writers {
			err := s.View(t.Context(), kv.Partition(w), func(r kv.Reader) error {
				for i := range each {
					got, err := r.Get(binary.BigEndian.AppendUint32(nil, uint32(i)))
					if err != nil {
						return err
					}
					if !bytes.Equal(got, value(w, i)) {
						t.Errorf("value %d of %d is another", i, w)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	check(s)
	eventually(t, "room is blank in front of the log", func() bool {
		s.log.rooms.mu.Lock()
		defer s.log.rooms.mu.Unlock()
		return s.log.rooms.blanks.to > place(s.log.durable.Load())
	})
	cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 1))})
	end := s.log.end
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := fs.Stat("store/log/" + segmentName(end.segment())); err != nil || info.Size() < int64(end.offset()) {
		t.Errorf("the log ends at %v: %v, %v", end, info.Size(), err)
	}
	for _, left := range []vfs.FS{fs, cut} {
		s := testOpen(t, "store", Options{FS: left})
		check(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing is blanked for large groups, nor where that has failed.
func TestNoBlanks(t *testing.T) {
	r := rooms{of: map[uint32]*room{7: {limit: 8 << 20}}, next: at(7, 5000)}
	r.change = sync.NewCond(&r.mu)
	if from := r.thin(); from != at(7, (5000+blankPiece/2+blankUnit-1)/blankUnit*blankUnit) {
		t.Errorf("blank from %v", from)
	}
	r.blanks.to = at(7, 5000+blankPiece-1000)
	if from := r.thin(); from != r.blanks.to {
		t.Errorf("blank from %v, not from %v", from, r.blanks.to)
	}
	r.blanks.to = at(7, 5000+blankPiece+1000)
	if from := r.thin(); from != 0 {
		t.Errorf("blank from %v though there is enough", from)
	}
	r.blanks.to = at(6, 5000)
	r.next = at(7, 8<<20-blankPiece)
	if from := r.thin(); from != 0 {
		t.Errorf("blank from %v, behind the room", from)
	}
	r.next = at(7, 5000)
	for range 10 * groupsOfLate {
		r.wrote(2 * smallGroup)
	}
	if from := r.thin(); from != 0 {
		t.Errorf("blank from %v for large groups", from)
	}
	for range 10 * groupsOfLate {
		r.wrote(10)
	}
	r.fs = failingFS{vfs.NewMem()}
	r.mu.Lock()
	r.blank(at(7, blankPiece))
	r.mu.Unlock()
	if from := r.thin(); from != 0 || r.blanks.busy != 0 {
		t.Errorf("blank from %v though it has failed", from)
	}
}

// A failingFS lets no file be written again.
type failingFS struct{ vfs.FS }

func (failingFS) OpenReadWrite(string, vfs.DiskWriteCategory, ...vfs.OpenOption) (vfs.File, error) {
	return nil, errors.ErrUnsupported
}

// A disk that fails with zeros fails with the log: it is one file.
func TestBlanksFail(t *testing.T) {
	for name, tt := range map[string]struct {
		op   errorfs.OpKind
		err  error
		told bool
	}{
		"sync": {errorfs.OpFileSyncData, syscall.EIO, true}, "write": {errorfs.OpFileWriteAt, syscall.EIO, true},
		"no room": {errorfs.OpFileWriteAt, syscall.ENOSPC, false},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			f, err := fs.Create(segmentName(7), vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var told error
			r := rooms{
				fs: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind == tt.op {
						return tt.err
					}
					return nil
				})),
				of: map[uint32]*room{7: {limit: 8 << 20}}, next: at(7, 5000), failed: func(err error) { told = err },
			}
			r.change = sync.NewCond(&r.mu)
			r.mu.Lock()
			r.blank(r.thin())
			r.mu.Unlock()
			r.closeBlank()
			if errors.Is(told, tt.err) != tt.told || r.thin() != 0 {
				t.Errorf("told %v; goes on at %v", told, r.thin())
			}
		})
	}
}
