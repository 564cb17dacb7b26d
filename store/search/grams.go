package search

import (
	"math/bits"

	"waxwing/format/casemap"
)

// Grams are numbered by a hash of three octets.
const (
	gramBits = 16
	allGrams = 1 << gramBits
	gramSize = 3
)

type gram uint16

func hashGram(three uint32) gram { return gram(three * 0x9E3779B1 >> (32 - gramBits)) }

// A gramTable has, for each gram, which of 64 emails have it.
type gramTable [allGrams]uint64

// A gramSet notes the grams of an email's texts, and those of the texts without
// their combining marks. It is an abstract.Sink.
type gramSet struct {
	table *gramTable
	email uint64 // its bit there
	text  lastOctets
	bare  lastOctets // of the text without marks
}

// lastOctets are those that the next gram begins with.
type lastOctets struct {
	last uint32 // two octets
	n    int    // how many of them there are
}

// Write adds a piece of text. Without its marks it has other grams only next to
// them.
func (s *gramSet) Write(piece []byte) {
	for len(piece) > 0 {
		from, to := casemap.NextMark(piece)
		if run := piece[:from]; from > 0 {
			before := s.text
			s.text = s.add(s.text, run)
			if s.bare != before {
				s.bare = s.add(s.bare, run[:min(from, gramSize-1)])
			}
			if s.bare == before || from >= gramSize-1 {
				s.bare = s.text
			}
		}
		s.text = s.add(s.text, piece[from:to])
		piece = piece[to:]
	}
}

// add adds the grams of a text that goes on.
func (s *gramSet) add(at lastOctets, piece []byte) lastOctets {
	for len(piece) > 0 && at.n < gramSize-1 {
		at.last = at.last<<8 | uint32(piece[0])
		piece = piece[1:]
		at.n++
	}
	last, table, email := at.last, s.table, s.email
	for _, c := range piece {
		last = (last<<8 | uint32(c)) & 0xffffff
		table[hashGram(last)] |= email
	}
	at.last = last & 0xffff
	return at
}

// End ends a text.
func (s *gramSet) End() { s.text, s.bare = lastOctets{}, lastOctets{} }

// Enough is never: a text is indexed whole, whatever its length.
func (s *gramSet) Enough() bool { return false }

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
		g := gramAt(needle, at)
		if !have[g] {
			have[g] = true
			list = append(list, g)
		}
	}
	return list
}

// gramAt gives the gram of the octets from at on.
func gramAt(b []byte, at int) gram {
	return hashGram(uint32(b[at])<<16 | uint32(b[at+1])<<8 | uint32(b[at+2]))
}
