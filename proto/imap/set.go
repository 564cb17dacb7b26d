package imap

import (
	"slices"
	"strconv"

	"waxwing/mail"
)

// A SeqNum is a message sequence number: a place in the session's view of
// the selected mailbox, from 1. RFC 9051 §2.3.1.2
type SeqNum uint32

// Star stands in a Range for "*", the largest number in use.
const Star = 0

// A Range is From:To in either order, both included; either may be Star.
type Range struct{ From, To uint32 }

// A Set is a sequence-set as the client wrote it. Whether its numbers are
// sequence numbers or UIDs is said by the command it belongs to.
type Set struct {
	Ranges []Range
	// Saved is "$", the result of the last SEARCH that was saved; Ranges is
	// empty then. RFC 5182 §2.1
	Saved bool
}

// maxRanges bounds how many ranges one set may have.
const maxRanges = 100_000

// ParseSet reads a sequence-set.
func ParseSet(text string) (Set, error) {
	s := scanner{b: []byte(text)}
	set := s.set()
	s.end()
	return set, s.err
}

func (s *scanner) set() Set {
	if s.accept('$') {
		return Set{Saved: true}
	}
	var set Set
	for !s.failed() {
		r := Range{From: s.seqNumber()}
		r.To = r.From
		if s.accept(':') {
			r.To = s.seqNumber()
		}
		set.Ranges = append(set.Ranges, r)
		if !s.accept(',') {
			break
		}
		if len(set.Ranges) >= maxRanges {
			s.fail("sequence set is too long")
		}
	}
	return set
}

func (s *scanner) seqNumber() uint32 {
	if s.accept('*') {
		return Star
	}
	return s.nzNumber()
}

// String gives the set as it is written.
func (set Set) String() string {
	if set.Saved {
		return "$"
	}
	var b []byte
	for i, r := range set.Ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSeqNumber(b, r.From)
		if r.To != r.From {
			b = append(b, ':')
			b = appendSeqNumber(b, r.To)
		}
	}
	return string(b)
}

func appendSeqNumber(b []byte, n uint32) []byte {
	if n == Star {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// Resolve gives the ranges in ascending order, merged, with Star replaced by
// largest. "5:*" with a largest of 3 is 3:5, as RFC 9051 §6.4.9 has it.
func (set Set) Resolve(largest uint32) []Range {
	out := make([]Range, 0, len(set.Ranges))
	for _, r := range set.Ranges {
		if r.From == Star {
			r.From = largest
		}
		if r.To == Star {
			r.To = largest
		}
		if r.From > r.To {
			r.From, r.To = r.To, r.From
		}
		out = append(out, r)
	}
	if len(out) < 2 {
		return out
	}
	slices.SortFunc(out, func(a, b Range) int {
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
	merged := out[:1]
	for _, r := range out[1:] {
		last := &merged[len(merged)-1]
		if last.To == 1<<32-1 || r.From <= last.To+1 {
			last.To = max(last.To, r.To)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}

// AppendNumbers writes ascending numbers as a sequence-set, runs as ranges.
func AppendNumbers[N ~uint32](dst []byte, numbers []N) []byte {
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(numbers[i]), 10)
		if j > i {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(numbers[j]), 10)
		}
		i = j + 1
	}
	return dst
}

// AppendUIDSet writes UIDs as a uid-set, runs as ranges. The order is kept,
// as COPYUID needs it. RFC 4315 §3
func AppendUIDSet(dst []byte, uids []mail.UID) []byte { return AppendNumbers(dst, uids) }
