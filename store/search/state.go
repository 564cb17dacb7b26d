package search

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
)

// Every value begins with the version of its format. Segments of format 1 have
// no grams of texts without their marks, and states of format 1 may name such.
const (
	stateFormat   = 2
	segmentFormat = 2
	leaseFormat   = 1
)

// A state says how far an account's index reaches.
//
//	version, through u64, sum 32, varint seconds of the last pruning,
//	{segment u64, u32 emails}...
type state struct {
	through  mail.EmailID // all emails up to this one are indexed
	sum      blob.Sum     // of the body of through, so that it is known again
	pruned   int64        // when what is purged was last looked for
	segments []segmentRef // by the numbers of their emails
	old      bool         // some of them may be of format 1
}

type segmentRef struct {
	id   uint64 // at random
	docs int
}

var (
	stateKey = []byte{keys.IndexState}
	leaseKey = []byte{'w'}
)

func (s *state) encode() []byte {
	format := byte(stateFormat)
	if s.old {
		format = 1
	}
	b := binary.BigEndian.AppendUint64([]byte{format}, uint64(s.through))
	b = append(b, s.sum[:]...)
	b = binary.AppendVarint(b, s.pruned)
	for _, r := range s.segments {
		b = binary.BigEndian.AppendUint64(b, r.id)
		b = binary.BigEndian.AppendUint32(b, uint32(r.docs))
	}
	return b
}

func decodeState(b []byte) (state, error) {
	var s state
	if b == nil {
		return s, nil
	}
	if len(b) < 41 || b[0] < 1 || b[0] > stateFormat {
		return s, fmt.Errorf("state: %w", errCorrupt)
	}
	s.old = b[0] == 1
	s.through = mail.EmailID(binary.BigEndian.Uint64(b[1:]))
	copy(s.sum[:], b[9:])
	var n int
	if s.pruned, n = binary.Varint(b[41:]); n <= 0 || (len(b)-41-n)%12 != 0 {
		return s, fmt.Errorf("state: %w", errCorrupt)
	}
	for b = b[41+n:]; len(b) > 0; b = b[12:] {
		r := segmentRef{binary.BigEndian.Uint64(b), int(binary.BigEndian.Uint32(b[8:]))}
		if r.docs < 1 || r.docs > maxDocs {
			return s, fmt.Errorf("state: %w", errCorrupt)
		}
		s.segments = append(s.segments, r)
	}
	return s, nil
}

// A segment tells which emails it is of and how its postings are cut.
//
//	version, uvarint emails, their numbers as distances,
//	uvarint those that may have any text, their places,
//	uvarint blocks, their first grams u16
type segment struct {
	id     uint64
	emails []mail.EmailID
	wild   []uint16 // places of emails that could not be read: they may have any text
	blocks []gram   // the first gram of each
	old    bool     // it is of format 1
}

func emailsKey(segment uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keys.IndexEmails}, segment)
}

func postingsKey(segment uint64, first gram) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64([]byte{keys.IndexPostings}, segment), uint16(first))
}

func abstractKey(id mail.EmailID) []byte {
	return binary.BigEndian.AppendUint64([]byte{keys.IndexAbstract}, uint64(id))
}

func (s *segment) encode() []byte {
	format := byte(segmentFormat)
	if s.old {
		format = 1
	}
	b := binary.AppendUvarint([]byte{format}, uint64(len(s.emails)))
	last := mail.EmailID(0)
	for _, id := range s.emails {
		b = binary.AppendUvarint(b, uint64(id-last))
		last = id
	}
	b = binary.AppendUvarint(b, uint64(len(s.wild)))
	for _, p := range s.wild {
		b = binary.BigEndian.AppendUint16(b, p)
	}
	b = binary.AppendUvarint(b, uint64(len(s.blocks)))
	for _, g := range s.blocks {
		b = binary.BigEndian.AppendUint16(b, uint16(g))
	}
	return b
}

func decodeSegment(r segmentRef, b []byte) (*segment, error) {
	bad := fmt.Errorf("segment: %w", errCorrupt)
	if len(b) == 0 || b[0] < 1 || b[0] > segmentFormat {
		return nil, bad
	}
	s := &segment{id: r.id, old: b[0] == 1}
	b = b[1:]
	number := func() uint64 {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			b = nil
			return 1 << 62
		}
		b = b[k:]
		return n
	}
	if number() != uint64(r.docs) {
		return nil, bad
	}
	last := mail.EmailID(0)
	s.emails = make([]mail.EmailID, r.docs)
	for i := range s.emails {
		gap := number()
		if gap == 0 || gap >= 1<<62 {
			return nil, bad
		}
		last += mail.EmailID(gap)
		s.emails[i] = last
	}
	short := func(most int) ([]uint16, bool) {
		n := number()
		if n > uint64(most) || uint64(len(b)) < 2*n {
			return nil, false
		}
		list := make([]uint16, n)
		for i := range list {
			list[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		b = b[2*n:]
		return list, true
	}
	var ok bool
	if s.wild, ok = short(r.docs); !ok || slices.ContainsFunc(s.wild, func(p uint16) bool { return int(p) >= r.docs }) {
		return nil, bad
	}
	blocks, ok := short(allGrams)
	if !ok || len(b) > 0 {
		return nil, bad
	}
	for _, g := range blocks {
		s.blocks = append(s.blocks, gram(g))
	}
	return s, nil
}

// block gives the first gram of the block that a gram would be in; false if
// it is in none.
func (s *segment) block(g gram) (gram, bool) {
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i] > g })
	if i == 0 {
		return 0, false
	}
	return s.blocks[i-1], true
}
