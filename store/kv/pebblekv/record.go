package pebblekv

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"

	"waxwing/store/kv"
)

// A place is an octet of the log: the segment's number in the upper half, the
// offset in the lower. Later places are higher.
type place uint64

func at(segment, offset uint32) place { return place(segment)<<32 | place(offset) }

func (p place) segment() uint32 { return uint32(p >> 32) }
func (p place) offset() uint32  { return uint32(p) }
func (p place) String() string  { return fmt.Sprintf("%08d.log:%d", p.segment(), p.offset()) }

// castagnoli is what all checksums of the log are made with.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// The head of a segment.
//
//	0  magic "waxwing\x02"
//	8  number of this segment
//	12 where the records of the segment before it end
//	16 checksum of what is before
const (
	segmentMagic = "waxwing\x02"
	segmentHead  = 20
)

// A segmentHeader is the head of a segment. It is written once the segment
// before it is durable to its end.
type segmentHeader struct{ number, previousEnd uint32 }

func (h segmentHeader) append(b []byte) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, h.number)
	b = binary.LittleEndian.AppendUint32(b, h.previousEnd)
	return binary.LittleEndian.AppendUint32(b, checksum(b[start:]))
}

func parseSegmentHeader(b []byte) (h segmentHeader, ok bool) {
	if len(b) < segmentHead || string(b[:8]) != segmentMagic ||
		checksum(b[:16]) != binary.LittleEndian.Uint32(b[16:]) {
		return h, false
	}
	h.number = binary.LittleEndian.Uint32(b[8:])
	h.previousEnd = binary.LittleEndian.Uint32(b[12:])
	return h, true
}

// The head of a record.
//
//	0  magic "wxr\x02"
//	4  checksum of what follows, to 36
//	8  where the record lies: segment
//	12 and offset
//	16 octets of the batch, in Pebble's form
//	20 octets of the values behind it
//	24 checksum of the batch
//	28 up to where the log was durable when this was written: segment
//	32 and offset
//
// Then come the batch and the values that it refers to, whose checksums are in
// the batch.
const (
	recordMagic = "wxr\x02"
	recordHead  = 36
)

// maxRecordPart bounds what is believed of a head: far above what the limits
// of transactions allow.
const maxRecordPart = 64 << 20

type recordHeader struct {
	place    place
	batch    uint32 // octets
	values   uint32 // octets
	batchSum uint32
	durable  place
}

func (h recordHeader) length() int64 { return recordHead + int64(h.batch) + int64(h.values) }

// put writes the head into b, which has room for it.
func (h recordHeader) put(b []byte) {
	copy(b, recordMagic)
	for i, v := range [...]uint32{
		h.place.segment(), h.place.offset(), h.batch, h.values, h.batchSum,
		h.durable.segment(), h.durable.offset(),
	} {
		binary.LittleEndian.PutUint32(b[8+4*i:], v)
	}
	binary.LittleEndian.PutUint32(b[4:], checksum(b[8:recordHead]))
}

// parseRecordHeader reads the head of the record that should lie at p.
func parseRecordHeader(b []byte, p place) (h recordHeader, ok bool) {
	if len(b) < recordHead || string(b[:4]) != recordMagic ||
		checksum(b[8:recordHead]) != binary.LittleEndian.Uint32(b[4:]) {
		return h, false
	}
	var v [7]uint32
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(b[8+4*i:])
	}
	h = recordHeader{place: at(v[0], v[1]), batch: v[2], values: v[3], batchSum: v[4], durable: at(v[5], v[6])}
	return h, h.place == p && h.batch >= batchrepr.HeaderLen && h.batch <= maxRecordPart && h.values <= maxRecordPart
}

// What Pebble holds under a key: a tag, then the value or where it lies.
const (
	tagPlain  = 0 // the value follows
	tagLog    = 1 // a reference follows
	tagPacked = 2 // a reference follows, to the value as zstd
)

// A reference says where in the log a value lies. In the batch of a record
// the segment is 0 and the offset is that within the values of the record.
type reference struct {
	tag    byte
	place  place
	length uint32 // octets in the log
	whole  uint32 // octets of the value
	sum    uint32 // checksum of the octets in the log
}

const referenceLen = 21

func (r reference) put(b []byte) {
	b[0] = r.tag
	for i, v := range [...]uint32{r.place.segment(), r.place.offset(), r.length, r.whole, r.sum} {
		binary.LittleEndian.PutUint32(b[1+4*i:], v)
	}
}

// parseReference reads what Pebble holds, unless it is plain.
func parseReference(b []byte) (r reference, err error) {
	if len(b) != referenceLen || b[0] != tagLog && b[0] != tagPacked {
		return r, fmt.Errorf("value of %d octets is of no known kind", len(b))
	}
	var v [5]uint32
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(b[1+4*i:])
	}
	r = reference{tag: b[0], place: at(v[0], v[1]), length: v[2], whole: v[3], sum: v[4]}
	limit := uint32(kv.DefaultLimits.Value)
	if r.length > limit || r.whole > limit || r.tag == tagLog && r.length != r.whole {
		return r, fmt.Errorf("reference to %d octets, %d in the log", r.whole, r.length)
	}
	return r, nil
}

// A record is a transaction on its way into the log.
type record struct {
	head   []byte // room for the head, and the batch
	values []byte // what the batch refers to
}

// maxKept is how large the buffers of a record may be to be used again: fifty
// messages that come with one command fit.
const maxKept = 1 << 20

var records = sync.Pool{New: func() any { return new(record) }}

func newRecord() *record { return records.Get().(*record) }

// release lets the buffers be used again.
func (r *record) release() {
	if cap(r.head) > maxKept || cap(r.values) > maxKept {
		return
	}
	r.head, r.values = r.head[:0], r.values[:0]
	records.Put(r)
}

// add takes a value that the batch is to refer to.
func (r *record) add(tag byte, stored []byte, whole int) reference {
	ref := reference{
		tag: tag, place: place(len(r.values)),
		length: uint32(len(stored)), whole: uint32(whole), sum: checksum(stored),
	}
	r.values = append(r.values, stored...)
	return ref
}

// close makes the record of the batch, all but its head.
func (r *record) close(batch []byte) (length int64, sum uint32) {
	var room [recordHead]byte
	r.head = append(append(r.head[:0], room[:]...), batch...)
	return int64(len(r.head) + len(r.values)), checksum(r.head[recordHead:])
}

// movePlace adds the place of a record's values to a reference in its batch.
func movePlace(ref []byte, values place) {
	p := values + place(binary.LittleEndian.Uint32(ref[5:]))
	binary.LittleEndian.PutUint32(ref[1:], p.segment())
	binary.LittleEndian.PutUint32(ref[5:], p.offset())
}

// A storedValue is one that a record in the log carries.
type storedValue struct {
	key []byte
	raw []byte // the reference in the batch, to be changed in place
	ref reference
}

// storedValues goes through a batch as it lies in the log and calls fn for
// all values that are behind it.
func storedValues(batch []byte, values uint32, fn func(storedValue) error) error {
	for r := batchrepr.Read(batch); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return err
		}
		if kind != pebble.InternalKeyKindSet || len(value) == 0 || value[0] == tagPlain {
			continue
		}
		ref, err := parseReference(value)
		if err != nil {
			return err
		}
		if ref.place.segment() != 0 || uint64(ref.place)+uint64(ref.length) > uint64(values) {
			return fmt.Errorf("reference to %v, behind the record", ref.place)
		}
		if err := fn(storedValue{key: key, raw: value, ref: ref}); err != nil {
			return err
		}
	}
}
