package backup

import (
	"bytes"
	"container/list"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	packMagic  = "waxwing pack 1\n"
	packEnd    = "wxwpack1"
	frameSize  = 1 << 20  // raw octets at which a frame is full
	packFrames = 32       // frames at which a pack is full
	maxObject  = 64 << 20 // raw octets of one object
	maxFrame   = maxObject + frameSize
	maxPack    = packFrames * maxFrame
)

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// A packID names a pack. It is chosen at random before anything is in it, so
// that what goes into it can be named at once.
type packID [16]byte

func newPackID() packID {
	var id packID
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func (id packID) String() string { return hex.EncodeToString(id[:]) }

func (id packID) name() string { return packFolder + id.String()[:2] + "/" + id.String() }

func parsePackID(s string) (id packID, ok bool) {
	if len(s) != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil
}

// A ref is where an object lies. Written, its pack is a number in a table.
type ref struct {
	pack   packID
	frame  uint32
	offset uint32
	length uint32
}

func (r ref) appendTo(dst []byte, pack int) []byte {
	dst = binary.AppendUvarint(dst, uint64(pack))
	dst = binary.AppendUvarint(dst, uint64(r.frame))
	dst = binary.AppendUvarint(dst, uint64(r.offset))
	return binary.AppendUvarint(dst, uint64(r.length))
}

// ref reads one, whose pack is in the table.
func (d *decoder) ref(packs []packID) ref {
	n := d.number(uint64(len(packs)))
	r := ref{
		frame:  uint32(d.number(packFrames)),
		offset: uint32(d.number(maxFrame)),
		length: uint32(d.number(maxObject + 1)),
	}
	if !d.bad {
		r.pack = packs[n]
	}
	return r
}

// packParts makes a pack of compressed frames: the parts that follow each other.
func packParts(frames [][]byte, raw []int) [][]byte {
	parts := append(make([][]byte, 0, len(frames)+2), []byte(packMagic))
	parts = append(parts, frames...)
	b := make([]byte, 0, 8*len(frames)+4+len(packEnd))
	for i, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = binary.LittleEndian.AppendUint32(b, uint32(raw[i]))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames)))
	return append(parts, append(b, packEnd...))
}

// A frameAt is where a frame lies in its pack.
type frameAt struct {
	offset      int64
	packed, raw uint32
}

// readTable reads the table at the end of a pack.
func readTable(r io.ReaderAt, size int64) ([]frameAt, error) {
	var tail [packFrames*8 + 4 + len(packEnd)]byte
	const fixed = 4 + len(packEnd)
	n := min(size-int64(len(packMagic)), int64(len(tail)))
	if n < int64(fixed) || size > maxPack {
		return nil, damagedf("a pack has %d octets", size)
	}
	b := tail[:n]
	if m, err := r.ReadAt(b, size-n); m < len(b) {
		return nil, damagedf("end of a pack: %w", err)
	}
	count := binary.LittleEndian.Uint32(b[len(b)-fixed:])
	if string(b[len(b)-len(packEnd):]) != packEnd || count > packFrames || int(count)*8+fixed > len(b) {
		return nil, damagedf("a pack has no table")
	}
	b = b[len(b)-fixed-int(count)*8:]
	frames := make([]frameAt, count)
	at := int64(len(packMagic))
	for i := range frames {
		f := frameAt{at, binary.LittleEndian.Uint32(b[8*i:]), binary.LittleEndian.Uint32(b[8*i+4:])}
		if f.raw > maxFrame || int64(f.packed) > size {
			return nil, damagedf("a frame has %d octets", f.raw)
		}
		at += int64(f.packed)
		frames[i] = f
	}
	if at+int64(count)*8+int64(fixed) != size {
		return nil, damagedf("the frames of a pack do not fill it")
	}
	return frames, nil
}

// readFrame reads and unpacks a frame.
func readFrame(r io.ReaderAt, f frameAt, d *zstd.Decoder) ([]byte, error) {
	packed := make([]byte, f.packed)
	if n, err := r.ReadAt(packed, f.offset); n < len(packed) {
		return nil, damagedf("frame: %w", err)
	}
	var h zstd.Header
	// Short frames do not say their size; the decoder's limit holds for them.
	if err := h.Decode(packed); err != nil || h.HasFCS && h.FrameContentSize != uint64(f.raw) {
		return nil, damagedf("frame is not of the size that the table says")
	}
	raw, err := d.DecodeAll(packed, make([]byte, 0, f.raw))
	if err != nil {
		return nil, damagedf("frame: %w", err)
	}
	if len(raw) != int(f.raw) {
		return nil, damagedf("frame has %d octets, not %d", len(raw), f.raw)
	}
	return raw, nil
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxFrame), zstd.WithDecoderConcurrency(0))
}

// An objects reads objects out of packs, and remembers frames and packs that
// it has read lately. It is safe for concurrent use.
type objects struct {
	ctx    context.Context
	place  Place
	keys   Keys
	sealed bool
	zstd   *zstd.Decoder

	mu     sync.Mutex // guards what follows
	packs  map[packID]*openedPack
	order  *list.List // packIDs, the latest first
	frames map[frameKey]*list.Element
	recent *list.List // *cachedFrame, the latest first
	held   int        // octets in frames
}

type frameKey struct {
	pack  packID
	frame uint32
}

type cachedFrame struct {
	key frameKey
	raw []byte
}

type openedPack struct {
	once   sync.Once
	at     *list.Element
	file   File
	plain  io.ReaderAt
	frames []frameAt
	err    error

	users   int  // guarded by objects.mu, as is evicted
	evicted bool // the last user closes it
}

const (
	maxOpenPacks  = 32
	maxHeldFrames = 96 << 20
)

func newObjects(ctx context.Context, p Place, k Keys, sealed bool) (*objects, error) {
	d, err := newDecoder()
	if err != nil {
		return nil, err
	}
	return &objects{
		ctx: ctx, place: p, keys: k, sealed: sealed, zstd: d,
		packs: make(map[packID]*openedPack), order: list.New(),
		frames: make(map[frameKey]*list.Element), recent: list.New(),
	}, nil
}

// read gives an object, which must not be changed.
func (o *objects) read(r ref) ([]byte, error) {
	raw, err := o.frame(frameKey{r.pack, r.frame})
	if err != nil {
		return nil, fmt.Errorf("pack %v: %w", r.pack, err)
	}
	if uint64(r.offset)+uint64(r.length) > uint64(len(raw)) {
		return nil, damagedf("an object reaches over the end of its frame in pack %v", r.pack)
	}
	return raw[r.offset:][:r.length:r.length], nil
}

func (o *objects) frame(key frameKey) ([]byte, error) {
	o.mu.Lock()
	if e := o.frames[key]; e != nil {
		o.recent.MoveToFront(e)
		o.mu.Unlock()
		return e.Value.(*cachedFrame).raw, nil
	}
	p := o.packs[key.pack]
	if p == nil {
		p = &openedPack{at: o.order.PushFront(key.pack)}
		o.packs[key.pack] = p
	} else {
		o.order.MoveToFront(p.at)
	}
	p.users++
	o.evictPacks()
	o.mu.Unlock()
	defer o.release(p)

	p.once.Do(func() { p.file, p.plain, p.frames, p.err = openPack(o.ctx, o.place, o.keys, o.sealed, key.pack) })
	if p.err != nil {
		return nil, p.err
	}
	if int(key.frame) >= len(p.frames) {
		return nil, damagedf("there is no frame %d", key.frame)
	}
	raw, err := readFrame(p.plain, p.frames[key.frame], o.zstd)
	if err != nil {
		return nil, err
	}
	o.keep(key, raw)
	return raw, nil
}

// release says that a pack is needed no longer.
func (o *objects) release(p *openedPack) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.users--; p.users == 0 && p.evicted && p.file != nil {
		_ = p.file.Close()
	}
}

// keep remembers a frame.
func (o *objects) keep(key frameKey, raw []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.frames[key] == nil {
		o.frames[key] = o.recent.PushFront(&cachedFrame{key, raw})
		o.held += len(raw)
		for o.held > maxHeldFrames && o.recent.Len() > 1 {
			last := o.recent.Remove(o.recent.Back()).(*cachedFrame)
			delete(o.frames, last.key)
			o.held -= len(last.raw)
		}
	}
}

// evictPacks closes packs beyond the limit. o.mu is held.
func (o *objects) evictPacks() {
	for o.order.Len() > maxOpenPacks {
		id := o.order.Remove(o.order.Back()).(packID)
		p := o.packs[id]
		delete(o.packs, id)
		if p.evicted = true; p.users == 0 && p.file != nil {
			_ = p.file.Close()
		}
	}
}

func (o *objects) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.packs {
		if p.file != nil {
			_ = p.file.Close()
		}
	}
	o.packs = nil
	o.zstd.Close()
}

// openPack opens a pack and reads its table.
func openPack(ctx context.Context, place Place, k Keys, sealed bool, id packID) (File, io.ReaderAt, []frameAt, error) {
	f, err := place.Open(ctx, id.name())
	if err != nil {
		return nil, nil, nil, err
	}
	plain, size, err := k.open(sealed, f, f.Size())
	var frames []frameAt
	if err == nil {
		frames, err = readTable(plain, size)
	}
	var magic [len(packMagic)]byte
	if err == nil {
		if n, e := plain.ReadAt(magic[:], 0); n < len(magic) || !bytes.Equal(magic[:], []byte(packMagic)) {
			err = damagedf("not a pack: %v", e)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, nil, err
	}
	return f, plain, frames, nil
}
