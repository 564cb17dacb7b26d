package pebblekv

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzLog changes a log behind which nothing is flushed, at one place, and
// cuts it. What is opened then is a state that there was, whole, or the start
// is refused and says why.
func FuzzLog(f *testing.F) {
	const states = 12
	mem := vfs.NewMem()
	s, err := Open("store", Options{FS: mem, SegmentSize: 40 << 10, MinFree: -1})
	if err != nil {
		f.Fatal(err)
	}
	for range states {
		if _, c, err := step(f.Context(), s, 1); err != nil || c.Wait(f.Context()) != nil {
			f.Fatal(err)
		}
	}
	segments := s.log.segments.numbers()
	f.Cleanup(func() { s.Close() })
	f.Add(uint8(0), uint32(0), byte(1), uint32(1<<20))
	f.Add(uint8(0), uint32(segmentHead+4), byte(0x80), uint32(1<<20))
	f.Add(uint8(0), uint32(500), byte(7), uint32(1<<20))
	f.Add(uint8(1), uint32(3000), byte(255), uint32(9000))
	f.Add(uint8(255), uint32(0), byte(0), uint32(10))
	f.Fuzz(func(t *testing.T, which uint8, offset uint32, xor byte, length uint32) {
		fs := vfs.NewMem()
		if _, err := vfs.Clone(mem, fs, "store", "store"); err != nil {
			t.Fatal(err)
		}
		name := fs.PathJoin("store", logDir, segmentName(segments[int(which)%len(segments)]))
		rewrite(t, fs, name, offset, xor, length)
		s, err := Open("store", Options{FS: fs, MinFree: -1})
		if err != nil {
			var damage *Damage
			if !errors.As(err, &damage) {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		defer s.Close()
		n, err := checkModel(t.Context(), s, 1)
		var damage *Damage
		if err != nil && !errors.As(err, &damage) || n > states {
			t.Errorf("state %d: %v", n, err)
		}
		if err == nil && n < states-1 && int(which)%len(segments) < len(segments)-1 {
			t.Errorf("only state %d is left of %d, of which all but the last was known to be durable", n, states)
		}
	})
}

// rewrite changes one octet of a file, and keeps only so many.
func rewrite(t *testing.T, fs vfs.FS, name string, offset uint32, xor byte, length uint32) {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := r.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if int(offset) < len(b) {
		b[offset] ^= xor
	}
	w, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b[:min(len(b), int(length))]); err != nil {
		t.Fatal(err)
	}
	w.Close()
}
