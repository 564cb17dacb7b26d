package packed

import (
	"errors"
	"io"

	"waxwing/mail"
)

// A File is what a Writer writes to, from its beginning.
type File interface {
	io.Writer
	io.ReaderAt
}

// A Writer packs a body as it comes. Whether it compresses is decided by the
// first frame. It is used by one goroutine, but for ReadAt after Finish.
type Writer struct {
	codec    *Codec
	file     File
	compress bool
	size     int64 // octets of the body
	stored   int64 // octets in the file
	frames   []frame
	buf      []byte // the frame that is being filled
	scratch  []byte
	finished bool
	err      error // the first failure of writing
	recent   recent
}

// NewWriter makes a Writer. Without compress all frames stay as they are.
func NewWriter(c *Codec, f File, compress bool) *Writer {
	return &Writer{codec: c, file: f, compress: compress}
}

// Write adds to the body.
func (w *Writer) Write(p []byte) (int, error) {
	if w.finished {
		return 0, errors.New("packed body has been finished")
	}
	n := 0
	for n < len(p) && w.err == nil {
		if w.buf == nil {
			w.buf = make([]byte, 0, FrameSize)
		}
		k := min(len(p)-n, FrameSize-len(w.buf))
		w.buf = append(w.buf, p[n:n+k]...)
		n += k
		w.size += int64(k)
		if len(w.buf) == FrameSize {
			w.flush()
		}
	}
	return n, w.err
}

// flush writes the frame that has been filled.
func (w *Writer) flush() {
	if w.compress && len(w.frames) == 0 {
		w.compress = w.codec.Pays(w.buf)
	}
	out, length := w.buf, uint32(len(w.buf))|asItIs
	if w.compress {
		w.scratch = w.codec.encoder.EncodeAll(w.buf, w.scratch[:0])
		if len(w.scratch) < len(w.buf) {
			out, length = w.scratch, uint32(len(w.scratch))
		}
	}
	if _, w.err = w.file.Write(out); w.err != nil {
		return
	}
	w.frames = append(w.frames, frame{entry{length, checksum(out)}, w.stored})
	w.stored += int64(len(out))
	w.buf = w.buf[:0]
}

// Finish writes what is left, and the table. It gives the octets as stored.
func (w *Writer) Finish() (int64, error) {
	if w.finished || w.err != nil {
		return w.stored, w.err
	}
	if len(w.buf) > 0 {
		if w.flush(); w.err != nil {
			return 0, w.err
		}
	}
	end := index(w.frames, w.size, FrameSize)
	if _, w.err = w.file.Write(end); w.err != nil {
		return 0, w.err
	}
	w.stored += int64(len(end))
	w.finished, w.buf, w.scratch = true, nil, nil
	return w.stored, nil
}

// Size gives the octets of the body so far.
func (w *Writer) Size() mail.ByteCount { return mail.ByteCount(w.size) }

// ReadAt reads what has been written so far.
func (w *Writer) ReadAt(p []byte, off int64) (int, error) {
	return readAt(p, off, w.size, FrameSize, func(i int) ([]byte, error) {
		if i == len(w.frames) {
			return w.buf, nil
		}
		size := int(min(FrameSize, w.size-int64(i)*FrameSize))
		return w.recent.frame(w.codec, w.file, i, w.frames[i], size)
	})
}
