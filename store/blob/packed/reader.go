package packed

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"waxwing/mail"
	"waxwing/store/blob"
)

// A Reader reads a packed body. ReadAt is safe for concurrent use if that of
// the source is.
type Reader struct {
	codec     *Codec
	source    io.ReaderAt
	size      int64
	frameSize int
	frames    []frame
	recent    recent
}

// A frame is where one frame lies.
type frame struct {
	entry
	at int64
}

// Open opens a packed body of so many octets as stored. One that is damaged or
// cut gives blob.ErrCorrupt.
func Open(c *Codec, source io.ReaderAt, stored int64) (*Reader, error) {
	var footer [footerSize]byte
	if stored < footerSize {
		return nil, fmt.Errorf("%w: %d octets are too few", blob.ErrCorrupt, stored)
	}
	if err := readFull(source, footer[:], stored-footerSize); err != nil {
		return nil, err
	}
	if string(footer[21:]) != magic {
		return nil, fmt.Errorf("%w: the end is missing", blob.ErrCorrupt)
	}
	if footer[20] != version {
		return nil, fmt.Errorf("a packed body has version %d; this program knows %d", footer[20], version)
	}
	r := &Reader{codec: c, source: source,
		size:      int64(binary.BigEndian.Uint64(footer[:])),
		frameSize: int(binary.BigEndian.Uint32(footer[8:])),
	}
	count := int64(binary.BigEndian.Uint32(footer[12:]))
	table := count * entrySize
	switch {
	case r.frameSize < minFrameSize || r.frameSize > maxFrameSize,
		r.size < 0 || count != (r.size+int64(r.frameSize)-1)/int64(r.frameSize),
		table > stored-footerSize:
		return nil, fmt.Errorf("%w: the footer contradicts itself", blob.ErrCorrupt)
	}
	index := make([]byte, table, table+footerSize)
	if err := readFull(source, index, stored-footerSize-table); err != nil {
		return nil, err
	}
	index = append(index, footer[:16]...)
	if checksum(index) != binary.BigEndian.Uint32(footer[16:]) {
		return nil, fmt.Errorf("%w: the table of frames is damaged", blob.ErrCorrupt)
	}
	if err := r.readTable(index[:table], stored-footerSize-table); err != nil {
		return nil, err
	}
	return r, nil
}

// readTable reads the table. The frames before it have that many octets.
func (r *Reader) readTable(table []byte, octets int64) error {
	r.frames = make([]frame, 0, len(table)/entrySize)
	at := int64(0)
	for ; len(table) > 0; table = table[entrySize:] {
		f := frame{entry{binary.BigEndian.Uint32(table), binary.BigEndian.Uint32(table[4:])}, at}
		plain := r.plain(len(r.frames))
		if f.stored() > plain || f.asItIs() && f.stored() != plain {
			return fmt.Errorf("%w: the table of frames is wrong", blob.ErrCorrupt)
		}
		at += int64(f.stored())
		r.frames = append(r.frames, f)
	}
	if at != octets {
		return fmt.Errorf("%w: %d octets of frames instead of %d", blob.ErrCorrupt, octets, at)
	}
	return nil
}

// plain gives the octets that a frame has of the body.
func (r *Reader) plain(i int) int {
	return int(min(int64(r.frameSize), r.size-int64(i)*int64(r.frameSize)))
}

// readFull reads all of p; the end of the source is damage.
func readFull(source io.ReaderAt, p []byte, off int64) error {
	n, err := source.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too soon", blob.ErrCorrupt)
	}
	return err
}

// Size gives the octets of the body.
func (r *Reader) Size() mail.ByteCount { return mail.ByteCount(r.size) }

// ReadAt reads a part of the body. Damage in that part gives blob.ErrCorrupt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	return readAt(p, off, r.size, r.frameSize, func(i int) ([]byte, error) {
		return r.recent.frame(r.codec, r.source, i, r.frames[i], r.plain(i))
	})
}

// readAt puts together what frames hold of a body.
func readAt(p []byte, off, size int64, frameSize int, frame func(int) ([]byte, error)) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	n := 0
	for n < len(p) {
		if off >= size {
			return n, io.EOF
		}
		i := off / int64(frameSize)
		b, err := frame(int(i))
		if err != nil {
			return n, err
		}
		k := copy(p[n:], b[off-i*int64(frameSize):])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// recent keeps the frame that was read last: most readers come again for its
// rest.
type recent struct {
	mu    sync.Mutex // guards what follows
	index int
	plain []byte // nil for none; never changed
}

func (r *recent) frame(c *Codec, source io.ReaderAt, i int, f frame, size int) ([]byte, error) {
	r.mu.Lock()
	index, plain := r.index, r.plain
	r.mu.Unlock()
	if plain != nil && index == i {
		return plain, nil
	}
	stored := make([]byte, f.stored())
	if err := readFull(source, stored, f.at); err != nil {
		return nil, err
	}
	if checksum(stored) != f.crc {
		return nil, fmt.Errorf("%w: the frame at %d is damaged", blob.ErrCorrupt, f.at)
	}
	plain = stored
	if !f.asItIs() {
		var err error
		if plain, err = c.expand(stored, size); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index, r.plain = i, plain
	return plain, nil
}
