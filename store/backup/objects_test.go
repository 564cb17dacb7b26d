package backup

import (
	"encoding/binary"
	"sync"
	"testing"
)

// More packs than stay open are read from several sides, and none is closed
// under its reader.
func TestManyPacks(t *testing.T) {
	place, err := Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	z := encoder(t)
	const packs = 2*maxOpenPacks + 3
	for i := range packs {
		id := packID{byte(i)}
		raw := binary.LittleEndian.AppendUint64(nil, uint64(i))
		if err := place.Put(t.Context(), id.name(), packParts([][]byte{z.EncodeAll(raw, nil)}, []int{len(raw)})...); err != nil {
			t.Fatal(err)
		}
	}
	o, err := newObjects(t.Context(), place, Keys{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	var work sync.WaitGroup
	for side := range 4 {
		work.Go(func() {
			for n := range 500 {
				i := (n*7 + side*13) % packs
				o.mu.Lock() // nothing is remembered, so that all is read again
				clear(o.frames)
				o.mu.Unlock()
				b, err := o.read(ref{packID{byte(i)}, 0, 0, 8})
				if err != nil || binary.LittleEndian.Uint64(b) != uint64(i) {
					t.Errorf("pack %d: %v, %x", i, err, b)
				}
			}
		})
	}
	work.Wait()
}
