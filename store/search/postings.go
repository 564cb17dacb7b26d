package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

var errCorrupt = errors.New("search index is corrupt")

// Postings of a segment: for each gram the emails that have it, as their places
// in the segment's list. They are cut into blocks of some blockSize octets:
//
//	version, {uvarint distance from the last gram, uvarint how many,
//	  bitmap, where they are an eighth of the segment or more,
//	  else uvarint distances of places}...
//
// The first distance of a block counts from the gram of its key.
const (
	postingsFormat = 1
	blockSize      = 8 << 10
)

// A set of places in a segment.
type places []uint64

func newPlaces(docs int) places { return make(places, (docs+63)/64) }

// allPlaces gives all of a segment.
func allPlaces(docs int) places {
	p := newPlaces(docs)
	for i := range p {
		p[i] = ^uint64(0)
	}
	if rest := docs % 64; rest != 0 {
		p[len(p)-1] = 1<<rest - 1
	}
	return p
}

func (p places) add(i int)      { p[i/64] |= 1 << (i % 64) }
func (p places) has(i int) bool { return p[i/64]&(1<<(i%64)) != 0 }

func (p places) count() int {
	n := 0
	for _, w := range p {
		n += bits.OnesCount64(w)
	}
	return n
}

func (p places) any() bool { return slices.ContainsFunc(p, func(w uint64) bool { return w != 0 }) }

func (p places) or(other places) {
	for i := range p {
		p[i] |= other[i]
	}
}

func (p places) and(other places) {
	for i := range p {
		p[i] &= other[i]
	}
}

// asBitmap tells how n places of a segment are written.
func asBitmap(n, docs int) bool { return n >= (docs+7)/8 }

// A blockWriter cuts postings into blocks.
type blockWriter struct {
	docs  int
	first gram // of the block
	last  gram
	b     []byte
	emit  func(first gram, block []byte) error
}

// put adds the places of a gram, in order; grams come in order.
func (w *blockWriter) put(g gram, list []uint16) error {
	if len(w.b) >= blockSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.b) == 0 {
		w.b, w.first, w.last = append(w.b, postingsFormat), g, g
	}
	w.b = binary.AppendUvarint(w.b, uint64(g-w.last))
	w.b = binary.AppendUvarint(w.b, uint64(len(list)))
	w.last = g
	if asBitmap(len(list), w.docs) {
		from := len(w.b)
		w.b = append(w.b, make([]byte, (w.docs+7)/8)...)
		for _, p := range list {
			w.b[from+int(p/8)] |= 1 << (p % 8)
		}
		return nil
	}
	last := -1
	for _, p := range list {
		w.b = binary.AppendUvarint(w.b, uint64(int(p)-last-1))
		last = int(p)
	}
	return nil
}

func (w *blockWriter) flush() error {
	if len(w.b) == 0 {
		return nil
	}
	err := w.emit(w.first, w.b)
	w.b = w.b[:0]
	return err
}

// A blockReader goes through the grams of a block.
type blockReader struct {
	b    []byte
	docs int
	gram gram
	n    int
	list []byte // the places of gram, as they are written
}

func readBlock(first gram, b []byte, docs int) (blockReader, error) {
	if len(b) == 0 || b[0] != postingsFormat {
		return blockReader{}, fmt.Errorf("postings: %w", errCorrupt)
	}
	return blockReader{b: b[1:], docs: docs, gram: first}, nil
}

// next turns to the next gram; false at the end.
func (r *blockReader) next() (bool, error) {
	if len(r.b) == 0 {
		return false, nil
	}
	gap, k := binary.Uvarint(r.b)
	if k <= 0 || uint64(r.gram)+gap >= allGrams {
		return false, fmt.Errorf("postings: %w", errCorrupt)
	}
	n, m := binary.Uvarint(r.b[k:])
	if m <= 0 || n > uint64(r.docs) {
		return false, fmt.Errorf("postings: %w", errCorrupt)
	}
	r.gram, r.n = r.gram+gram(gap), int(n)
	r.b = r.b[k+m:]
	size := (r.docs + 7) / 8
	if !asBitmap(r.n, r.docs) {
		size = varints(r.b, r.n)
	}
	if size > len(r.b) {
		return false, fmt.Errorf("postings: %w", errCorrupt)
	}
	r.list, r.b = r.b[:size], r.b[size:]
	return true, nil
}

// varints gives how many octets n varints take; more than there are, if they
// are cut.
func varints(b []byte, n int) int {
	for i, c := range b {
		if n == 0 {
			return i
		}
		if c < 0x80 {
			n--
		}
	}
	if n > 0 {
		return len(b) + 1
	}
	return len(b)
}

// each gives the places of the gram that it is at, in order.
func (r *blockReader) each(fn func(place int)) error {
	if asBitmap(r.n, r.docs) {
		for i, c := range r.list {
			for ; c != 0; c &= c - 1 {
				place := i*8 + bits.TrailingZeros8(c)
				if place >= r.docs {
					return fmt.Errorf("postings: %w", errCorrupt)
				}
				fn(place)
			}
		}
		return nil
	}
	place := -1
	for b := r.list; len(b) > 0; {
		gap, k := binary.Uvarint(b)
		if k <= 0 || gap > uint64(r.docs) {
			return fmt.Errorf("postings: %w", errCorrupt)
		}
		if place += 1 + int(gap); place >= r.docs {
			return fmt.Errorf("postings: %w", errCorrupt)
		}
		fn(place)
		b = b[k:]
	}
	return nil
}

// find gives the places of a gram in a block; nil if it has none.
func find(first gram, b []byte, docs int, g gram) (places, error) {
	r, err := readBlock(first, b, docs)
	if err != nil {
		return nil, err
	}
	for {
		more, err := r.next()
		if err != nil || !more || r.gram > g {
			return nil, err
		}
		if r.gram == g {
			p := newPlaces(docs)
			return p, r.each(p.add)
		}
	}
}
