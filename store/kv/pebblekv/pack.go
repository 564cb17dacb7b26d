package pebblekv

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"waxwing/store/kv"
)

// A packer compresses values that are written a second time. It is safe for
// concurrent use.
type packer struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newPacker() (p packer, err error) {
	p.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(64<<10))
	if err != nil {
		return p, fmt.Errorf("make compressor: %w", err)
	}
	p.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		return p, fmt.Errorf("make decompressor: %w", err)
	}
	return p, nil
}

// pack gives value compressed, or nil if that is not worth it.
func (p *packer) pack(value, room []byte) []byte {
	packed := p.encoder.EncodeAll(value, room[:0])
	if len(packed) > len(value)/10*9 || len(packed) > kv.DefaultLimits.Value {
		return nil
	}
	return packed
}

var errPacked = errors.New("it does not decompress to what it was")

// unpack fills b.
func (p *packer) unpack(b, packed []byte) error {
	got, err := p.decoder.DecodeAll(packed, b[:0])
	if err != nil {
		return err
	}
	if len(got) != len(b) {
		return errPacked
	}
	copy(b, got) // onto itself, as a rule
	return nil
}

func (p *packer) close() {
	p.decoder.Close()
}
