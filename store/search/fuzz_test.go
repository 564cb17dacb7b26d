package search

import (
	"bytes"
	"slices"
	"testing"
)

// Whatever is read back from the store, it is refused or can be gone through.
func FuzzRecords(f *testing.F) {
	s := segment{id: 1, emails: nil, blocks: []gram{0, 7}}
	s.emails = append(s.emails, 3, 4, 9)
	f.Add(s.encode(), uint16(3))
	st := state{through: 9, segments: []segmentRef{{1, 3}}}
	f.Add(st.encode(), uint16(3))
	var block []byte
	w := blockWriter{docs: 20, emit: func(_ gram, b []byte) error { block = bytes.Clone(b); return nil }}
	_ = w.put(5, []uint16{1, 19})
	_ = w.put(9, []uint16{0, 1, 2, 3, 4, 5})
	_ = w.flush()
	f.Add(block, uint16(20))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		docs := int(n)%maxDocs + 1
		if s, err := decodeState(b); err == nil && b != nil {
			if again, err := decodeState(s.encode()); err != nil || !slices.Equal(again.segments, s.segments) {
				t.Fatalf("%x: %v", b, err)
			}
		}
		if s, err := decodeSegment(segmentRef{1, docs}, b); err == nil {
			if again, err := decodeSegment(segmentRef{1, docs}, s.encode()); err != nil || !slices.Equal(again.emails, s.emails) {
				t.Fatalf("%x: %v", b, err)
			}
			for _, g := range []gram{0, 5, allGrams - 1} {
				s.block(g)
			}
		}
		r, err := readBlock(gram(n), b, docs)
		for more := true; err == nil && more; {
			if more, err = r.next(); err == nil && more {
				_ = r.each(func(place int) {
					if place < 0 || place >= docs {
						t.Fatalf("place %d of %d", place, docs)
					}
				})
			}
		}
		for _, g := range []gram{0, gram(n), allGrams - 1} {
			_, _ = find(gram(n), b, docs, g)
		}
	})
}

// What is written can be found, dense or sparse, in one block or many.
func TestPostings(t *testing.T) {
	for _, docs := range []int{1, 65, 1000, maxDocs} {
		type kept struct {
			first gram
			block []byte
		}
		var blocks []kept
		w := blockWriter{docs: docs, emit: func(first gram, b []byte) error {
			blocks = append(blocks, kept{first, bytes.Clone(b)})
			return nil
		}}
		lists := map[gram][]uint16{}
		for g := gram(3); g < 60_000; g += 113 {
			for p := int(g) % docs; p < docs; p += 1 + int(g)%97 {
				lists[g] = append(lists[g], uint16(p))
			}
			if err := w.put(g, lists[g]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		s := segment{}
		for _, k := range blocks {
			s.blocks = append(s.blocks, k.first)
		}
		for i := range 2 * 530 { // each, and the one behind it
			g := gram(3 + i/2*113 + i%2)
			first, ok := s.block(g)
			var got places
			if ok {
				var err error
				if got, err = find(first, blocks[slices.Index(s.blocks, first)].block, docs, g); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for _, p := range lists[g] {
				if got == nil || !got.has(int(p)) {
					t.Fatalf("%d emails: gram %d is not in %d", docs, g, p)
				}
				n++
			}
			if got != nil && got.count() != n {
				t.Fatalf("%d emails: gram %d is in %d, want %d", docs, g, got.count(), n)
			}
		}
	}
}
