package packed

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"waxwing/store/blob"
)

// FrameSize is the size of the frames that Writer makes: what is read at
// least, however small the part that is wanted.
const FrameSize = 256 << 10

const (
	minFrameSize = 4 << 10
	maxFrameSize = 4 << 20 // what a reader takes from others

	entrySize  = 8
	footerSize = 28
	version    = 1
	magic      = "waxpack"

	asItIs = 1 << 31 // in a frame's length
)

// A Codec compresses and expands frames. It is safe for concurrent use.
type Codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// NewCodec makes a codec. It starts no goroutines.
func NewCodec() (*Codec, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(FrameSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	// Several expand at once; each holds a frame and its window.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(4), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxFrameSize))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &Codec{e, d}, nil
}

// Pays tells by a sample whether compressing is worth its while: whether an
// eighth is saved.
func (c *Codec) Pays(sample []byte) bool {
	return len(c.encoder.EncodeAll(sample, make([]byte, 0, len(sample)))) <= len(sample)-len(sample)/8
}

// expand gives a frame that was compressed from so many octets.
func (c *Codec) expand(stored []byte, size int) ([]byte, error) {
	plain, err := c.decoder.DecodeAll(stored, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", blob.ErrCorrupt, err)
	}
	if len(plain) != size {
		return nil, fmt.Errorf("%w: a frame of %d octets holds %d", blob.ErrCorrupt, size, len(plain))
	}
	return plain, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// An entry tells of one frame as it is stored.
type entry struct {
	length uint32 // with asItIs
	crc    uint32
}

func (e entry) stored() int  { return int(e.length &^ asItIs) }
func (e entry) asItIs() bool { return e.length&asItIs != 0 }

// index gives table and footer.
func index(frames []frame, size int64, frameSize int) []byte {
	dst := make([]byte, 0, len(frames)*entrySize+footerSize)
	for _, f := range frames {
		dst = binary.BigEndian.AppendUint32(dst, f.length)
		dst = binary.BigEndian.AppendUint32(dst, f.crc)
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	dst = binary.BigEndian.AppendUint32(dst, uint32(frameSize))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(frames)))
	dst = binary.BigEndian.AppendUint32(dst, checksum(dst))
	return append(append(dst, version), magic...)
}
