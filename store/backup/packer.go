package backup

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Kinds of packs: what lives long, and what is replaced soon.
const (
	dataPack = iota
	metaPack
	packKinds
)

// packInfo is what can be said of a pack without reading it.
type packInfo struct {
	id   packID
	size uint64
	sum  packSum
	raw  uint64 // octets unpacked; 0 if that is not known
}

// A packer puts objects into packs: it gathers them in frames, compresses
// those beside each other, and writes packs behind. Its memory is bounded by
// the packs under way.
type packer struct {
	ctx   context.Context
	place Place
	keys  Keys
	zstd  *zstd.Encoder
	// durable is told of each pack that has been written, one at a time.
	durable func(packInfo, []note) error
	written func(octets int) // of packs, for the progress

	// Room that has been used: fresh one costs more than the copying.
	buffers chan []byte // for frames
	rooms   chan []byte // for sealed packs

	cpu  chan struct{} // a slot for each frame being compressed
	puts chan struct{} // a slot for each pack being finished
	work sync.WaitGroup

	// Held also while a slot is waited for, so those who have one need no
	// more than the others.
	mu   sync.Mutex // guards open
	open [packKinds]*fillingPack

	telling sync.Mutex // one call of durable at a time

	errMu sync.Mutex // guards err
	err   error
}

// A fillingPack is a pack that is being filled.
type fillingPack struct {
	id     packID
	raw    []byte // the frame being filled
	sizes  []int  // raw, of the frames before it
	frames [packFrames][]byte
	busy   sync.WaitGroup // frames being compressed
	notes  []note
}

// A note is what is to be remembered of an object once its pack is durable.
type note struct {
	body bodyKey
	of   uint64 // the partition
	at   ref
}

func newPacker(ctx context.Context, place Place, k Keys, durable func(packInfo, []note) error, written func(int)) (*packer, error) {
	workers := max(1, min(runtime.GOMAXPROCS(0), 8))
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(workers),
		zstd.WithWindowSize(frameSize), zstd.WithEncoderCRC(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &packer{
		ctx: ctx, place: place, keys: k, zstd: z, durable: durable, written: written,
		cpu: make(chan struct{}, workers), puts: make(chan struct{}, 2),
		buffers: make(chan []byte, 4*packFrames), rooms: make(chan []byte, 2),
	}, nil
}

// add puts an object into a pack. The octets are the caller's again. n, if it
// is not nil, is remembered once the pack is durable.
func (p *packer) add(kind int, content []byte, n *note) (ref, error) {
	if len(content) > maxObject {
		return ref{}, fmt.Errorf("an object has %d octets, more than a backup takes", len(content))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failed(); err != nil {
		return ref{}, err
	}
	f := p.open[kind]
	if f != nil && len(f.raw) > 0 && len(f.raw)+len(content) > frameSize {
		if err := p.endFrame(kind); err != nil {
			return ref{}, err
		}
		f = p.open[kind]
	}
	if f == nil {
		f = &fillingPack{id: newPackID()}
		p.open[kind] = f
	}
	if f.raw == nil {
		f.raw = p.buffer(max(frameSize, len(content)))
	}
	at := ref{f.id, uint32(len(f.sizes)), uint32(len(f.raw)), uint32(len(content))}
	f.raw = append(f.raw, content...)
	if n != nil {
		n.at = at
		f.notes = append(f.notes, *n)
	}
	return at, nil
}

// buffer gives room for so many octets.
func (p *packer) buffer(n int) []byte {
	select {
	case b := <-p.buffers:
		if cap(b) >= n {
			return b[:0]
		}
	default:
	}
	return make([]byte, 0, max(n, frameSize+frameSize/64))
}

// giveBack takes such room back, unless it is unusually large.
func (p *packer) giveBack(b []byte) {
	if cap(b) > 2*frameSize {
		return
	}
	select {
	case p.buffers <- b:
	default:
	}
}

// endFrame has a frame compressed, and the pack finished if it is full.
func (p *packer) endFrame(kind int) error {
	f := p.open[kind]
	raw, i := f.raw, len(f.sizes)
	f.raw, f.sizes = nil, append(f.sizes, len(raw))
	select {
	case p.cpu <- struct{}{}:
	case <-p.ctx.Done():
		return p.fail(p.ctx.Err())
	}
	f.busy.Go(func() {
		defer func() { <-p.cpu }()
		f.frames[i] = p.zstd.EncodeAll(raw, p.buffer(p.zstd.MaxEncodedSize(len(raw))))
		p.giveBack(raw)
	})
	if len(f.sizes) == packFrames {
		return p.endPack(kind)
	}
	return nil
}

// endPack has a pack written.
func (p *packer) endPack(kind int) error {
	f := p.open[kind]
	p.open[kind] = nil
	select {
	case p.puts <- struct{}{}:
	case <-p.ctx.Done():
		return p.fail(p.ctx.Err())
	}
	p.work.Go(func() {
		defer func() { <-p.puts }()
		f.busy.Wait()
		if err := p.put(f); err != nil {
			_ = p.fail(err)
		}
	})
	return nil
}

func (p *packer) put(f *fillingPack) error {
	frames := f.frames[:len(f.sizes)]
	var room []byte
	select {
	case room = <-p.rooms:
	default:
	}
	parts, err := p.keys.sealParts(packParts(frames, f.sizes), room)
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	info := packInfo{id: f.id}
	for _, n := range f.sizes {
		info.raw += uint64(n)
	}
	hash := info.sum.hash()
	for _, part := range parts {
		_, _ = hash.Write(part) // never fails
		info.size += uint64(len(part))
	}
	info.sum = sumOf(hash)
	if err := p.place.Put(p.ctx, f.id.name(), parts...); err != nil {
		return fmt.Errorf("write to the backup: %w", err)
	}
	if len(p.keys.Recipients) > 0 {
		select {
		case p.rooms <- parts[0]:
		default:
		}
	}
	for i, frame := range frames {
		p.giveBack(frame)
		frames[i] = nil
	}
	p.written(int(info.size))
	p.telling.Lock()
	defer p.telling.Unlock()
	return p.durable(info, f.notes)
}

// fail remembers the first error.
func (p *packer) fail(err error) error {
	p.errMu.Lock()
	defer p.errMu.Unlock()
	if p.err == nil {
		p.err = err
	}
	return p.err
}

func (p *packer) failed() error {
	p.errMu.Lock()
	defer p.errMu.Unlock()
	return p.err
}

// flush writes what is left and waits until all is durable.
func (p *packer) flush() error {
	p.mu.Lock()
	for kind, f := range p.open {
		if f == nil || p.failed() != nil {
			continue
		}
		if len(f.raw) > 0 {
			_ = p.endFrame(kind)
		}
		if p.open[kind] != nil && p.failed() == nil {
			_ = p.endPack(kind)
		}
	}
	p.mu.Unlock()
	p.work.Wait()
	return p.failed()
}

// close waits for what is under way; without flush, what is not yet written
// is given up.
func (p *packer) close() error {
	_ = p.fail(errors.New("backup has ended"))
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	for _, f := range open {
		if f != nil {
			f.busy.Wait()
		}
	}
	p.work.Wait()
	return p.zstd.Close()
}
