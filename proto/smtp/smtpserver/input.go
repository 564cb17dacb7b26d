package smtpserver

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"waxwing/proto/smtp"
)

// The sizes of read buffers: the small one while commands are read, so that
// an idle connection costs little, the large one for messages and for AUTH.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// maxSkip is how much of an over-long line is read and thrown away before
// the connection is given up.
const maxSkip = 64 << 10

// Errors of input.line. The first two have to be answered as the line would
// be; what is left of it is then skipped.
var (
	errLineTooLong = errors.New("line too long")
	errBareLF      = errors.New("bare LF in an unfinished line")
	errEndless     = errors.New("line never ends")
	errTLSHello    = errors.New("TLS without STARTTLS")
)

var smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// An input reads lines from a connection. Lines end with CR LF and with
// nothing else.
type input struct {
	fill func(p []byte) (int, error) // reads at least one byte, or fails

	buf     []byte // small or large, from its pool
	r, w    int    // buf[r:w] is not used yet
	skip    bool   // up to the next CR LF nothing is of interest
	skipped int
}

func newInput(fill func([]byte) (int, error)) input {
	return input{fill: fill, buf: smallBuffers.Get().(*[smallBuffer]byte)[:]}
}

func (in *input) buffered() []byte { return in.buf[in.r:in.w] }

// more reads at least one byte. There must be room after at most a move.
func (in *input) more() error {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.buf) {
		return io.ErrShortBuffer
	}
	n, err := in.fill(in.buf[in.w:])
	in.w += n
	return err
}

// line gives the next line without its CR LF. It is valid until the next
// call.
func (in *input) line(limit int) ([]byte, error) {
	if in.skip {
		if err := in.skipLine(); err != nil {
			return nil, err
		}
	}
	in.fit(limit)
	scanned, bare := 0, false
	for {
		b := in.buffered()
		for scanned < len(b) {
			lf := bytes.IndexByte(b[scanned:], '\n')
			if lf < 0 {
				scanned = len(b)
				break
			}
			lf += scanned
			scanned = lf + 1
			if lf == 0 || b[lf-1] != '\r' {
				bare = true
				continue
			}
			in.r += lf + 1
			if lf-1 > max(limit, lineLimit(b)) {
				return nil, errLineTooLong
			}
			return b[:lf-1], nil
		}
		switch {
		case isTLSHello(b):
			return nil, errTLSHello
		case len(b) > limit+1 && limit < lineLimit(b):
			limit = lineLimit(b)
			in.fit(limit)
		case len(b) > limit+1:
			in.skip, in.skipped = true, 0
			return nil, errLineTooLong
		case bare:
			// Whoever ends lines with LF alone shall learn it now and not
			// after the time-out. What was sent is not executed.
			in.skip, in.skipped = true, 0
			return nil, errBareLF
		}
		if err := in.more(); err != nil {
			return nil, err
		}
	}
}

// skipLine throws away what is left of a line, within bounds.
func (in *input) skipLine() error {
	for {
		b := in.buffered()
		if end := bytes.Index(b, []byte("\r\n")); end >= 0 {
			in.r += end + 2
			in.skip = false
			return nil
		}
		keep := 0 // a CR may be half of the end
		if len(b) > 0 && b[len(b)-1] == '\r' {
			keep = 1
		}
		in.r = in.w - keep
		if in.skipped += len(b) - keep; in.skipped > maxSkip {
			return errEndless
		}
		if err := in.more(); err != nil {
			return err
		}
	}
}

// fit makes sure that a line within the limit and its CR LF have room, and
// gives up a large buffer that is no longer needed.
func (in *input) fit(limit int) {
	if in.w == in.r {
		in.r, in.w = 0, 0
	}
	switch {
	case limit+2 > smallBuffer:
		in.enlarge()
	case len(in.buf) == largeBuffer && in.w-in.r <= smallBuffer/2:
		in.swap(smallBuffers.Get().(*[smallBuffer]byte)[:])
	}
}

// enlarge makes room for a message.
func (in *input) enlarge() {
	if len(in.buf) == smallBuffer {
		in.swap(largeBuffers.Get().(*[largeBuffer]byte)[:])
	}
}

func (in *input) swap(to []byte) {
	n := copy(to, in.buffered())
	in.release()
	in.buf, in.r, in.w = to, 0, n
}

// discard forgets what has been read and not used.
func (in *input) discard() { in.r, in.w, in.skip = 0, 0, false }

// release gives the buffer back; the input is then at its end.
func (in *input) release() {
	switch len(in.buf) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(in.buf))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(in.buf))
	}
	in.buf, in.r, in.w = nil, 0, 0
}

// lineLimit gives the limit of the line that begins with b.
func lineLimit(b []byte) int {
	if len(b) >= 5 && bytes.EqualFold(b[:5], []byte("AUTH ")) {
		return smtp.MaxAuthLine
	}
	return smtp.MaxLine
}

// isTLSHello recognises a client that begins with TLS. RFC 8446 §5.1
func isTLSHello(b []byte) bool { return len(b) > 1 && b[0] == 0x16 && b[1] == 3 }
