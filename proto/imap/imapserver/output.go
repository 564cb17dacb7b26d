package imapserver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// The output's buffer: written out when it holds flushAt, so that a response
// rarely makes it grow.
const (
	outputSize = 32 << 10
	flushAt    = 24 << 10
)

var outputs = sync.Pool{New: func() any { b := make([]byte, 0, outputSize); return &b }}

// An output collects responses. Commands append to b after begin; room writes
// it out when it is full. The first failure sticks, and makes the rest cheap.
type output struct {
	conn    net.Conn
	timeout time.Duration
	pooled  *[]byte // the buffer as it came from outputs, nil while resting
	b       []byte
	err     error
	written int64
	writeBy time.Time // the deadline that conn has
}

// over has it write to another connection, of which no deadline is known.
func (o *output) over(conn net.Conn) { o.conn, o.writeBy = conn, time.Time{} }

// late is how much later than it should a write may end: the deadline is not
// moved for each.
const late = time.Second / 2

// begin makes sure that there is a buffer.
func (o *output) begin() {
	if o.pooled == nil {
		o.pooled = outputs.Get().(*[]byte)
		o.b = (*o.pooled)[:0]
	}
}

// rest gives the buffer back when it is empty.
func (o *output) rest() {
	if o.pooled != nil && len(o.b) == 0 {
		outputs.Put(o.pooled)
		o.pooled, o.b = nil, nil
	}
}

// flush writes what has been collected.
func (o *output) flush() error {
	if o.err != nil || len(o.b) == 0 {
		o.b = o.b[:0]
		return o.err
	}
	if by := time.Now().Add(o.timeout); by.After(o.writeBy) {
		o.writeBy = by.Add(late)
		o.err = o.conn.SetWriteDeadline(o.writeBy)
	}
	if o.err == nil {
		_, o.err = o.conn.Write(o.b)
	}
	o.written += int64(len(o.b))
	if cap(o.b) > 2*outputSize { // one huge response shall not stay
		o.b = (*o.pooled)[:0]
	} else {
		o.b = o.b[:0]
	}
	return o.err
}

// room writes out when enough has been collected. It gives the first failure.
func (o *output) room() error {
	if len(o.b) >= flushAt {
		return o.flush()
	}
	return o.err
}

// line writes a line that is not on a hot path.
func (o *output) line(format string, args ...any) {
	o.begin()
	o.b = fmt.Appendf(o.b, format, args...)
	o.b = append(o.b, '\r', '\n')
}

// tagged writes the answer to a command.
func (o *output) tagged(tag, status, code, text string) {
	o.begin()
	b := append(append(append(o.b, tag...), ' '), status...)
	if code != "" {
		b = append(append(append(b, " ["...), code...), ']')
	}
	o.b = append(append(append(b, ' '), text...), '\r', '\n')
}

// count writes "* n WORD".
func (o *output) count(n int, word string) {
	o.begin()
	o.b = append(o.b, "* "...)
	o.b = strconv.AppendInt(o.b, int64(n), 10)
	o.b = append(o.b, ' ')
	o.b = append(o.b, word...)
	o.b = append(o.b, '\r', '\n')
}

// copyAt writes n octets of r from off as the octets of a literal, through the
// buffer and not more than a buffer at a time.
func (o *output) copyAt(r io.ReaderAt, off, n int64) error {
	o.begin()
	for n > 0 {
		if cap(o.b)-len(o.b) < 4<<10 {
			if err := o.flush(); err != nil {
				return err
			}
		}
		room := o.b[len(o.b):cap(o.b)]
		room = room[:min(int64(len(room)), n)]
		got, err := r.ReadAt(room, off)
		withoutNUL(room[:got])
		o.b = o.b[:len(o.b)+got]
		off, n = off+int64(got), n-int64(got)
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// copyFrom writes the n octets that r gives.
func (o *output) copyFrom(r io.Reader, n int64) error {
	o.begin()
	for n > 0 {
		if cap(o.b)-len(o.b) < 4<<10 {
			if err := o.flush(); err != nil {
				return err
			}
		}
		room := o.b[len(o.b):cap(o.b)]
		got, err := io.ReadFull(r, room[:min(int64(len(room)), n)])
		o.b = o.b[:len(o.b)+got]
		n -= int64(got)
		if err != nil {
			return err
		}
	}
	return nil
}

// withoutNUL replaces NUL, which no literal may hold, by 0x80, as other
// servers do: sizes stay what they were. BINARY gives the octets themselves.
// RFC 9051 §4.3.1, §9 CHAR8
func withoutNUL(b []byte) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return
		}
		b[i] = 0x80
		b = b[i+1:]
	}
}
