package imapserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Why waiting for input ends, besides the network's errors.
var (
	errDraining = errors.New("server is shutting down")
	errTooLong  = errors.New("line is too long")
	errIdle     = errors.New("client was silent for too long")
	errPoked    = errors.New("mailbox has changed")
)

// inputSize is the buffer of a connection that is busy. One that waits for
// long gives it back and holds no more than nap.
const inputSize = 8 << 10

// wideSize is the buffer of a connection that brings messages: some of them
// are read at once.
const wideSize = 32 << 10

// restAfter is how long a connection waits with its buffers in hand.
const restAfter = 5 * time.Second

var (
	inputs     = sync.Pool{New: func() any { b := make([]byte, inputSize); return &b }}
	wideInputs = sync.Pool{New: func() any { b := make([]byte, wideSize); return &b }}
)

// An input reads what the client sends. Before it blocks it calls flush. It
// belongs to the connection's goroutine, but for wake.
type input struct {
	conn  net.Conn                 // TLS upon raw, or raw
	raw   atomic.Pointer[net.Conn] // what wake ends the waiting of: conn, or what is below it
	flush func() error
	rest  func() // gives the output's memory back as well
	ctx   context.Context

	buf  *[]byte // nil while resting
	r, w int     // what has been read and not taken is (*buf)[r:w]

	readBy time.Time // the deadline that conn has, unless it was woken; zero if that is not known
}

// over has it read from another connection, of which no deadline is known.
func (in *input) over(conn net.Conn) { in.conn, in.readBy = conn, time.Time{} }

// buffered tells whether there is input that has not been taken.
func (in *input) buffered() bool { return in.w > in.r }

// discard forgets what is buffered.
func (in *input) discard() { in.r, in.w = 0, 0 }

// wake ends a wait. It is called from other goroutines; whoever is woken
// finds out why.
func (in *input) wake() { _ = (*in.raw.Load()).SetReadDeadline(time.Unix(1, 0)) } // fails on a closed one

// release gives the buffer back.
func (in *input) release() {
	if in.buf != nil && !in.buffered() {
		in.giveBack()
		in.buf, in.r, in.w = nil, 0, 0
	}
}

func (in *input) giveBack() {
	if len(*in.buf) == wideSize {
		wideInputs.Put(in.buf)
	} else {
		inputs.Put(in.buf)
	}
}

// widen makes room for more than a command.
func (in *input) widen() {
	if in.buf != nil && len(*in.buf) == wideSize {
		return
	}
	wide := wideInputs.Get().(*[]byte)
	if in.buf != nil {
		in.w = copy(*wide, (*in.buf)[in.r:in.w])
		in.r = 0
		in.giveBack()
	}
	in.buf = wide
}

// fill reads more of a command, or of a literal; a client may not pause in
// it for longer than patience.
func (in *input) fill(patience time.Duration) error {
	if err := in.flush(); err != nil {
		return err
	}
	in.makeRoom()
	return in.read((*in.buf)[in.w:], time.Now().Add(patience), nil)
}

func (in *input) makeRoom() {
	if in.buf == nil {
		in.buf = inputs.Get().(*[]byte)
	}
	if in.r > 0 {
		in.w = copy(*in.buf, (*in.buf)[in.r:in.w])
		in.r = 0
	}
}

// read reads once into room, which is behind in.w, until the deadline. woken,
// if there is one, is asked after each wake why it was.
func (in *input) read(room []byte, until time.Time, woken func() error) error {
	for {
		if err := in.endBy(until); err != nil {
			return err
		}
		if woken != nil { // after the deadline has been set: a wake that came before would be lost
			if err := woken(); err != nil {
				return err
			}
		}
		n, err := in.conn.Read(room)
		if n > 0 {
			in.w += n
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			if err == nil {
				continue
			}
			return err
		}
		in.readBy = time.Time{}
		if !time.Now().Before(until) {
			return errIdle
		}
	}
}

// endBy sees to it that reading ends at until, or before: whoever is busy need
// not have the deadline moved for each command. What ends too soon is begun again.
func (in *input) endBy(until time.Time) error {
	if !in.readBy.IsZero() && !in.readBy.After(until) {
		return nil
	}
	in.readBy = until
	return in.conn.SetReadDeadline(until)
}

// await waits until there is input, for no longer than until. While it waits
// for long it holds hardly any memory. It returns errDraining when the server
// shuts down, and what poked says when that is not nil.
func (in *input) await(until time.Time, poked func() error) error {
	if in.buffered() {
		return nil
	}
	if err := in.flush(); err != nil {
		return err
	}
	woken := func() error {
		if in.ctx.Err() != nil {
			return errDraining
		}
		if poked != nil {
			return poked()
		}
		return nil
	}
	if soon := time.Now().Add(restAfter); poked == nil && soon.Before(until) {
		in.makeRoom()
		if err := in.read((*in.buf)[in.w:], soon, woken); err != errIdle {
			return err
		}
	}
	in.release()
	in.rest()
	var nap [64]byte
	in.w = 0
	if err := in.read(nap[:], until, woken); err != nil {
		return err
	}
	in.buf = inputs.Get().(*[]byte)
	copy(*in.buf, nap[:in.w])
	return nil
}

// line reads a line and appends it to dst without its end, which is CRLF.
// The line may have at most limit octets.
//
// QUIRK: LF alone is taken as well: people type at a server through tools
// that send it, and nothing here depends on the difference.
func (in *input) line(dst []byte, limit int, patience time.Duration) ([]byte, error) {
	start := len(dst)
	for {
		if in.buffered() {
			have := (*in.buf)[in.r:in.w]
			i := bytes.IndexByte(have, '\n')
			if i >= 0 {
				have = have[:i+1]
			}
			in.r += len(have)
			if len(dst)-start+len(have) > limit+2 {
				return dst, errTooLong
			}
			dst = append(dst, have...)
			if i >= 0 {
				dst = dst[:len(dst)-1]
				if n := len(dst); n > start && dst[n-1] == '\r' {
					dst = dst[:n-1]
				}
				return dst, nil
			}
		}
		if err := in.fill(patience); err != nil {
			return dst, noEOF(err)
		}
	}
}

// copyTo moves n octets to w. An error of w is kept apart: the octets are
// read to their end all the same, so that the dialog can go on.
func (in *input) copyTo(w io.Writer, n int64, patience time.Duration) (writeErr, readErr error) {
	if n > inputSize/2 {
		in.widen()
	}
	for n > 0 {
		if !in.buffered() {
			if err := in.fill(patience); err != nil {
				return writeErr, noEOF(err)
			}
			continue
		}
		part := (*in.buf)[in.r:min(int64(in.w), int64(in.r)+n)]
		in.r += len(part)
		if writeErr == nil {
			_, writeErr = w.Write(part)
		}
		n -= int64(len(part))
	}
	return writeErr, nil
}

// noEOF tells an end in the middle from an end at the right place.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
