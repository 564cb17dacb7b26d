package imapserver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/klauspost/compress/flate"

	"waxwing/proto/imap"
)

// compress is COMPRESS. An argument that is not known is BAD; what is active already
// is NO, with the code that says so. RFC 4978 §3
func (c *conn) compress(_ context.Context, cmd imap.Compress) (reply, error) {
	switch {
	case cmd.Mechanism != "DEFLATE":
		return reply{}, &imap.SyntaxError{Text: "Compression mechanism is not known"}
	case c.compressed:
		return reply{}, &imap.Refusal{Code: "COMPRESSIONACTIVE", Text: "DEFLATE is active already"}
	}
	return reply{text: "DEFLATE active", then: c.startCompression}, nil
}

// startCompression puts the layer between the connection and the dialog. What
// the client sent before it was told OK is none of it. RFC 4978 §3
func (c *conn) startCompression() error {
	c.in.discard()
	d := newDeflated(c.out.conn, c.info.Log)
	c.in.over(d)
	c.out.over(d)
	c.compressed = true
	var raw net.Conn = d
	c.in.raw.Store(&raw)
	return nil
}

// A deflated is a connection under DEFLATE.
//
// A decompressor cannot be woken: once a read of its input has failed it is of
// no use. So a goroutine lives as long as the connection, which reads and
// decompresses; what it has got the dialog reads from a pipe, which can be
// given deadlines. Answers are compressed a buffer at a time, and nothing is
// kept of them but what the next may refer to: a connection that waits holds
// no compressor.
type deflated struct {
	net.Conn // below
	log      *slog.Logger
	reader   net.Conn
	writer   net.Conn
	ended    chan struct{}
	dict     []byte // the end of what was written last
}

// deflateDict is how far an answer may refer back.
const deflateDict = 8 << 10

func newDeflated(below net.Conn, log *slog.Logger) *deflated {
	d := &deflated{Conn: below, log: log, ended: make(chan struct{})}
	d.reader, d.writer = net.Pipe()
	go d.inflate()
	return d
}

// inflate decompresses what comes, until the connection ends or is none of
// DEFLATE any more. It reads no further ahead than what has been asked for. A
// panic, which is a bug of ours, ends this connection alone.
func (d *deflated) inflate() {
	defer close(d.ended)
	defer d.writer.Close() //nolint:errcheck // the reader sees the end
	defer func() {
		if r := recover(); r != nil {
			logPanic(d.log, r)
		}
	}()
	z := inflater{in: bufio.NewReader(patient{d.Conn}), out: d.writer}
	_ = z.run() // whatever ends it ends the dialog
}

// A patient reads past deadlines that were meant for the dialog.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.Conn.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := p.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
}

func (d *deflated) Read(b []byte) (int, error)        { return d.reader.Read(b) }
func (d *deflated) SetReadDeadline(t time.Time) error { return d.reader.SetReadDeadline(t) }

// Write compresses b and writes it out: the client can read all of it.
// RFC 4978 §4
func (d *deflated) Write(b []byte) (int, error) {
	w := &counted{w: d.Conn}
	if err := flate.StatelessDeflate(w, b, false, d.dict); err != nil {
		return 0, err
	}
	d.dict = append(d.dict[:0], b[max(0, len(b)-deflateDict):]...)
	return len(b), w.err
}

// A counted keeps the first failure.
type counted struct {
	w   io.Writer
	err error
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// Close ends the connection and waits for the goroutine.
func (d *deflated) Close() error {
	err := d.Conn.Close()
	_ = d.reader.Close() // never fails
	<-d.ended
	return err
}
