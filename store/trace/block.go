package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
)

// version is the first octet of every value.
const version = 1

// blockOctets is how many octets of steps a block has at most, which one step
// never has. It and its words are within the limit of a value.
const blockOctets = 60 << 10

// A block is steps that were taken one after the other, of any messages. It
// has two rows: its steps,
//
//	version, 1 if they are compressed (S2), the steps
//
// and what they are found by,
//
//	version, time of the oldest step u64, octets of the row of steps u32,
//	hashes of words u32, ascending
//
// Both have the time of the newest step in their keys. All numbers are
// little-endian, but for those in keys.
type block struct {
	steps          []byte
	words          []uint32
	oldest, newest int64 // nanoseconds since 1970
}

// takes tells whether there is room for a step.
func (b *block) takes(step []byte) bool { return len(b.steps)+len(step) <= blockOctets }

// add puts e into the block, of which step is the written form.
func (b *block) add(e *Event, step []byte) {
	at := e.Time.UnixNano()
	if len(b.steps) == 0 {
		b.oldest, b.newest = at, at
	}
	b.oldest, b.newest = min(b.oldest, at), max(b.newest, at)
	b.steps = append(b.steps, step...)
	e.words(func(word string) {
		if h, ok := hashOf(word); ok {
			b.words = append(b.words, h)
		}
	})
}

// value gives the row of the block's steps.
func (b *block) value() []byte {
	if packed := s2.Encode(nil, b.steps); len(packed) < len(b.steps) {
		return append([]byte{version, 1}, packed...)
	}
	return append([]byte{version, 0}, b.steps...)
}

// index gives the row of the block's words; octets is how long that of its
// steps is.
func (b *block) index(octets int) []byte {
	slices.Sort(b.words)
	b.words = slices.Compact(b.words)
	row := append(make([]byte, 0, indexHead+4*len(b.words)), version)
	row = binary.LittleEndian.AppendUint64(row, uint64(b.oldest))
	row = binary.LittleEndian.AppendUint32(row, uint32(octets))
	for _, w := range b.words {
		row = binary.LittleEndian.AppendUint32(row, w)
	}
	return row
}

// maxUnpacked is how large the steps of a block may be.
const maxUnpacked = 256 << 10

// decode reads the row of a block's steps.
func decode(row []byte) ([]Event, error) {
	if len(row) < 2 || row[0] != version {
		return nil, errors.New("steps are of an unknown version")
	}
	if row[1] == 0 {
		return decodeSteps(row[2:])
	}
	if n, err := s2.DecodedLen(row[2:]); err != nil || n > maxUnpacked {
		return nil, errDamaged
	}
	steps, err := s2.Decode(nil, row[2:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return decodeSteps(steps)
}

const indexHead = 13

// parseIndex gives what the row of a block's words begins with.
func parseIndex(row []byte) (oldest time.Time, octets int64, err error) {
	if len(row) < indexHead || row[0] != version {
		return oldest, 0, errors.New("index of steps is of an unknown version")
	}
	oldest = time.Unix(0, int64(binary.LittleEndian.Uint64(row[1:])))
	return oldest, int64(binary.LittleEndian.Uint32(row[9:])), nil
}

// has tells whether the row of a block's words has one of those wanted, which
// are in order.
func has(index []byte, wanted []uint32) bool {
	words := index[min(indexHead, len(index)):]
	for len(words) >= 4 && len(wanted) > 0 {
		switch w := binary.LittleEndian.Uint32(words); {
		case w == wanted[0]:
			return true
		case w < wanted[0]:
			words = words[4:]
		default:
			wanted = wanted[1:]
		}
	}
	return false
}

// place is where a block stands: time of its newest step 8, writer 4,
// number 4.
func place(nanoseconds int64, writer, number uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(max(nanoseconds, 0)))
	b = binary.BigEndian.AppendUint32(b, writer)
	return binary.BigEndian.AppendUint32(b, number)
}

func timeOf(place []byte) time.Time {
	if len(place) < 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(place)))
}
