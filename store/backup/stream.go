package backup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// The stream carries what a Sink is told from one process to another, in
// frames: an octet that says what it is, and its fields. After the rows and
// bodies comes the end, or the reason why there is none; a stream without
// either was cut short.
//
//	r key value     k key            lengths as uvarint before the octets
//	L sum size, then d octets (several), and z at its end or x if it cannot be read
//	l sum           m sum            n key
//	E               X text
const (
	streamRow        = 'r'
	streamKnownRow   = 'k'
	streamLarge      = 'L'
	streamData       = 'd'
	streamDataEnd    = 'z'
	streamDataLost   = 'x'
	streamKnownLarge = 'l'
	streamMissing    = 'm'
	streamLostRow    = 'n'
	streamEnd        = 'E'
	streamFailed     = 'X'
)

// streamChunk is what one frame holds of a large body.
const streamChunk = 256 << 10

// An Encoder is a Sink that writes the stream.
type Encoder struct {
	w   *bufio.Writer
	buf []byte
}

// NewEncoder makes a Sink that writes to w. End is called at last.
func NewEncoder(w io.Writer) *Encoder {
	return &Encoder{w: bufio.NewWriterSize(w, streamChunk), buf: make([]byte, 0, 64)}
}

// field writes a length and as many octets.
func (e *Encoder) frame(kind byte, fields ...[]byte) error {
	e.buf = append(e.buf[:0], kind)
	for _, f := range fields {
		e.buf = binary.AppendUvarint(e.buf, uint64(len(f)))
		if _, err := e.w.Write(e.buf); err != nil {
			return err
		}
		if _, err := e.w.Write(f); err != nil {
			return err
		}
		e.buf = e.buf[:0]
	}
	_, err := e.w.Write(e.buf)
	return err
}

// Row implements Sink.
func (e *Encoder) Row(key, value []byte) error { return e.frame(streamRow, key, value) }

// KnownRow implements Sink.
func (e *Encoder) KnownRow(key []byte) error { return e.frame(streamKnownRow, key) }

// KnownLarge implements Sink.
func (e *Encoder) KnownLarge(sum blob.Sum) error { return e.frame(streamKnownLarge, sum[:]) }

// Missing implements Sink.
func (e *Encoder) Missing(sum blob.Sum) error { return e.frame(streamMissing, sum[:]) }

// LostRow implements Sink.
func (e *Encoder) LostRow(key []byte) error { return e.frame(streamLostRow, key) }

// Large implements Sink.
func (e *Encoder) Large(sum blob.Sum, size mail.ByteCount, r io.Reader) error {
	if err := e.frame(streamLarge, sum[:], binary.AppendUvarint(nil, uint64(size))); err != nil {
		return err
	}
	chunk := make([]byte, min(streamChunk, max(1, int64(size))))
	for {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			if err := e.frame(streamData, chunk[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, blob.ErrCorrupt):
			return e.frame(streamDataLost)
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			return e.frame(streamDataEnd)
		default:
			return err
		}
	}
}

// End writes the end, or why there is none.
func (e *Encoder) End(err error) error {
	if err == nil {
		err = e.frame(streamEnd)
	} else {
		err = e.frame(streamFailed, []byte(err.Error()))
	}
	return errors.Join(err, e.w.Flush())
}

// Decode reads a stream and tells a Sink.
func Decode(r io.Reader, to Sink) error {
	d := streamReader{r: bufio.NewReaderSize(r, streamChunk)}
	for {
		kind, err := d.r.ReadByte()
		if err != nil {
			return fmt.Errorf("the stream was cut short: %w", noEOF(err))
		}
		switch kind {
		case streamRow:
			key, err := d.field(&d.key, kv.DefaultLimits.Key)
			if err != nil {
				return err
			}
			value, err := d.last(kv.DefaultLimits.Value)
			if err != nil {
				return err
			}
			if err := to.Row(key, value); err != nil {
				return err
			}
		case streamKnownRow, streamLostRow:
			key, err := d.field(&d.key, kv.DefaultLimits.Key)
			if err != nil {
				return err
			}
			tell := to.KnownRow
			if kind == streamLostRow {
				tell = to.LostRow
			}
			if err := tell(key); err != nil {
				return err
			}
		case streamLarge:
			if err := d.large(to); err != nil {
				return err
			}
		case streamKnownLarge, streamMissing:
			sum, err := d.sum()
			if err != nil {
				return err
			}
			tell := to.KnownLarge
			if kind == streamMissing {
				tell = to.Missing
			}
			if err := tell(sum); err != nil {
				return err
			}
		case streamEnd:
			return nil
		case streamFailed:
			text, err := d.field(&d.value, kv.DefaultLimits.Value)
			if err != nil {
				return err
			}
			return fmt.Errorf("the server says: %s", text)
		default:
			return fmt.Errorf("unknown frame %q in the stream", kind)
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

type streamReader struct {
	r          *bufio.Reader
	key, value []byte
	left       uint64 // of the present chunk of a body
}

// field reads a length and as many octets, into a buffer that is used again.
func (d *streamReader) field(into *[]byte, most int) ([]byte, error) {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return nil, noEOF(err)
	}
	if n > uint64(most) {
		return nil, fmt.Errorf("field of %d octets in the stream", n)
	}
	if uint64(cap(*into)) < n {
		*into = make([]byte, n, max(n, 4<<10))
	}
	b := (*into)[:n]
	_, err = io.ReadFull(d.r, b)
	return b, noEOF(err)
}

// last reads a field whose octets stay in the reader's buffer, and are the
// caller's until the next read.
func (d *streamReader) last(most int) ([]byte, error) {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return nil, noEOF(err)
	}
	if n > uint64(most) {
		return nil, fmt.Errorf("field of %d octets in the stream", n)
	}
	b, err := d.r.Peek(int(n))
	if err != nil {
		return nil, noEOF(err)
	}
	_, err = d.r.Discard(int(n))
	return b, err
}

func (d *streamReader) sum() (sum blob.Sum, err error) {
	b, err := d.field(&d.value, len(sum))
	if err == nil && copy(sum[:], b) < len(sum) {
		err = errors.New("short sum in the stream")
	}
	return sum, err
}

func (d *streamReader) large(to Sink) error {
	sum, err := d.sum()
	if err != nil {
		return err
	}
	b, err := d.field(&d.value, binary.MaxVarintLen64)
	if err != nil {
		return err
	}
	size, n := binary.Uvarint(b)
	if n <= 0 || size > 1<<50 {
		return errors.New("body without a size in the stream")
	}
	body := &streamBody{d: d}
	err = to.Large(sum, mail.ByteCount(size), body)
	if err == nil && !body.ended {
		_, err = io.Copy(io.Discard, body)
		if errors.Is(err, blob.ErrCorrupt) {
			err = nil // the Sink did not want to know
		}
	}
	return err
}

// A streamBody reads the chunks of one large body.
type streamBody struct {
	d     *streamReader
	ended bool
	err   error
}

func (s *streamBody) Read(p []byte) (int, error) {
	for s.err == nil && s.d.left == 0 {
		kind, err := s.d.r.ReadByte()
		switch {
		case err != nil:
			s.err = noEOF(err)
		case kind == streamDataEnd:
			s.ended, s.err = true, io.EOF
		case kind == streamDataLost:
			s.ended, s.err = true, blob.ErrCorrupt
		case kind == streamData:
			s.d.left, err = binary.ReadUvarint(s.d.r)
			if err != nil {
				s.err = noEOF(err)
			}
		default:
			s.err = fmt.Errorf("unknown frame %q in a body", kind)
		}
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.d.r.Read(p[:min(uint64(len(p)), s.d.left)])
	s.d.left -= uint64(n)
	if err != nil {
		s.err = noEOF(err)
	}
	return n, s.err
}
