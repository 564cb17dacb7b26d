package smtpserver

import (
	"context"
	"errors"
	"io"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
)

// A message may take ten minutes and then as long as its bytes need at this
// rate, so that nobody holds a connection by sending one byte at a time.
const (
	slowDataGrace = 10 * time.Minute
	slowDataRate  = 512 // octets a second
)

// drainExtra is how much more than the largest message is read from someone
// who sends too much, before the connection is closed on them.
const drainExtra = 64 << 20

// bareNewline refuses a message that different servers would read as
// different messages. RFC 5321 §2.3.8: CR and LF occur only together.
var bareNewline = refuse(550, 5, 6, 11, "Message contains a bare CR or LF; lines end with CR LF")

// data takes the message. RFC 5321 §4.1.1.4
func (c *conn) data(ctx context.Context, _ smtp.Command) {
	c.reply(smtp.Reply{Code: 354, Text: "End data with <CR><LF>.<CR><LF>"})
	c.in.enlarge()
	d := &dataReader{c: c, started: time.Now()}
	d.dot.Normalise = c.options.Newlines == NormaliseBareNewlines

	reply, err := c.session.Data(ctx, d)
	whole := d.err == io.EOF
	// The dialog goes on only after the end of the message, whatever the
	// Session wanted of it. RFC 5321 §4.2.5
	lost := d.skip()
	c.forget() // RFC 5321 §4.1.1.4: the buffers are cleared either way

	switch {
	case lost != nil:
		c.readFailed(lost)
	case d.fault != nil:
		c.refuse(d.fault, obs.Size, int64(d.size))
	case err != nil:
		c.refuse(err, obs.Size, int64(d.size))
	case !whole:
		c.refuse(errors.New("session accepted a message that it has not read"))
	default:
		c.errors, c.idle, c.refusedRecipients = 0, 0, 0
		c.log.Debug("message taken", obs.Size, int64(d.size), obs.Reply, reply, obs.Took, time.Since(d.started))
		c.reply(reply)
	}
	if !d.ended {
		c.quit = true
	}
}

// A dataReader gives the message to the Session. It is not read ahead of it.
type dataReader struct {
	c       *conn
	dot     smtp.Unstuffer
	piece   []byte // still to be read, in the input's buffer
	size    mail.ByteCount
	started time.Time

	err   error         // what Read says from now on
	fault *smtp.Refusal // why the message is refused, once its end is reached
	ended bool          // the final dot has been seen
}

// Read gives the message as Session.Data is promised it.
func (d *dataReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(d.piece) == 0 {
		if d.next(); d.err != nil {
			return 0, d.err
		}
	}
	n := copy(p, d.piece)
	d.piece = d.piece[n:]
	return n, nil
}

// WriteTo gives the message in pieces of the input's buffer, without a copy.
func (d *dataReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if len(d.piece) == 0 {
			if d.next(); d.err != nil {
				break
			}
		}
		k, err := w.Write(d.piece)
		n += int64(k)
		d.piece = d.piece[k:]
		if err != nil {
			return n, err
		}
	}
	if d.err == io.EOF {
		return n, nil
	}
	return n, d.err
}

// next finds the next piece, or sets err.
func (d *dataReader) next() {
	for d.err == nil && len(d.piece) == 0 {
		piece, err := d.take()
		d.size += mail.ByteCount(len(piece))
		switch {
		case err != nil:
			d.err = err
		case d.size > d.c.options.MaxSize:
			d.fault = tooLarge
			d.err = d.fault
		case !d.dot.Normalise && (d.dot.BareCR || d.dot.BareLF):
			d.fault = bareNewline
			d.err = d.fault
		case d.ended:
			d.err = io.EOF
		default:
			d.piece = piece
		}
	}
}

// take gives one piece of the message, which may be empty, or reads more.
func (d *dataReader) take() ([]byte, error) {
	in := &d.c.in
	piece, used, end := d.dot.Next(in.buffered())
	in.r += used
	if end {
		d.ended = true
		return nil, nil
	}
	if used > 0 {
		return piece, nil
	}
	d.c.deadline = d.readBy(time.Now())
	err := in.more()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // never to be taken for the end
	}
	return nil, err
}

// readBy is when the next bytes must have come.
func (d *dataReader) readBy(now time.Time) time.Time {
	idle := now.Add(d.c.options.DataTimeout)
	slow := d.started.Add(slowDataGrace + time.Duration(d.size/slowDataRate)*time.Second)
	if slow.Before(idle) {
		return slow
	}
	return idle
}

// skip reads what the Session has not, up to the end of the message, and
// says what has kept it from getting there.
func (d *dataReader) skip() error {
	d.piece = nil
	// The reader gives nothing more, should the Session have kept it.
	failed := d.err
	if d.err == nil {
		d.err = errors.New("the message was not wanted any more")
	}
	if failed != nil && failed != io.EOF && d.fault == nil {
		return failed
	}
	limit := d.c.options.MaxSize + drainExtra
	for !d.ended {
		piece, err := d.take()
		if err != nil {
			return err
		}
		if d.size += mail.ByteCount(len(piece)); d.size > limit {
			d.fault = tooLarge
			return nil
		}
	}
	// Of two faults the same one is told, however the message came.
	if d.fault != nil && d.size > d.c.options.MaxSize {
		d.fault = tooLarge
	}
	return nil
}
