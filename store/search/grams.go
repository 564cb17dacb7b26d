package search

import "math/bits"

// Grams are numbered by a hash of three octets.
const (
	gramBits = 16
	allGrams = 1 << gramBits
	gramSize = 3
)

type gram uint16

func hashGram(three uint32) gram { return gram(three * 0x9E3779B1 >> (32 - gramBits)) }

// A gramSet collects the grams of a text. It is an abstract.Sink.
type gramSet struct {
	seen [allGrams / 64]uint64
	last uint32 // the last octets of the text
	n    int    // how many of them there are, gramSize-1 at most
	list []gram // those seen, in the order in which they were met
}

// Write adds a piece of text.
func (s *gramSet) Write(piece []byte) {
	last := s.last
	for len(piece) > 0 && s.n < gramSize-1 {
		last = last<<8 | uint32(piece[0])
		piece = piece[1:]
		s.n++
	}
	for _, c := range piece {
		last = (last<<8 | uint32(c)) & 0xffffff
		g := hashGram(last)
		if bit := uint64(1) << (g % 64); s.seen[g/64]&bit == 0 {
			s.seen[g/64] |= bit
			s.list = append(s.list, g)
		}
	}
	s.last = last
}

// End ends a text.
func (s *gramSet) End() { s.last, s.n = 0, 0 }

// Enough is never: a text is indexed whole, whatever its length.
func (s *gramSet) Enough() bool { return false }

// reset empties the set.
func (s *gramSet) reset() {
	for _, g := range s.list {
		s.seen[g/64] = 0
	}
	s.list = s.list[:0]
	s.End()
}

// maxGrams bounds how many grams of a string are looked up: they are taken
// evenly, since a string's beginning may be that of many.
const maxGrams = 16

// gramsOf gives grams that a text with the folded needle has, the first ones
// from all over it; none for a needle that is too short.
func gramsOf(needle []byte) []gram {
	n := len(needle) - gramSize + 1
	if n <= 0 {
		return nil
	}
	var list []gram
	have := make(map[gram]bool)
	for i := 0; i < 256 && len(have) < min(n, maxGrams); i++ {
		// The bits turned round: the beginning, the middle, the quarters.
		at := int(bits.Reverse8(uint8(i))) * n / 256
		g := hashGram(uint32(needle[at])<<16 | uint32(needle[at+1])<<8 | uint32(needle[at+2]))
		if !have[g] {
			have[g] = true
			list = append(list, g)
		}
	}
	return list
}
