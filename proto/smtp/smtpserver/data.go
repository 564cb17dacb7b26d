package smtpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	if c.state.binary {
		// RFC 3030 §3: the transaction must be reset after this.
		c.reset()
		c.refuse(refuse(503, 5, 5, 1, "A BINARYMIME message is sent with BDAT"))
		return
	}
	c.reply(smtp.Reply{Code: 354, Text: "End data with <CR><LF>.<CR><LF>"})
	c.in.enlarge()
	dots := &dotted{c: c}
	dots.dot.Normalise = c.options.Newlines == NormaliseBareNewlines
	c.take(ctx, dots)
}

// A source knows how a message comes over the wire, and where it ends.
type source interface {
	// next gives a piece of the message, which may be empty, or reads more;
	// readBy is when that must have come. Nothing follows the end.
	next(readBy time.Time) (piece []byte, end bool, err error)
	// bare tells whether a CR or LF was seen that stands alone.
	bare() bool
	// skip reads up to where the dialog goes on, whatever the Session wanted
	// of the message; more than limit octets of it are not read.
	skip(d *dataReader, limit mail.ByteCount) error
	// whole tells whether the reply stands for the whole message.
	whole() bool
}

// take hands the message to the Session and says what has become of it.
func (c *conn) take(ctx context.Context, from source) {
	d := &dataReader{c: c, from: from, started: time.Now()}
	replies, err := c.hand(ctx, d)
	whole := d.err == io.EOF
	// The dialog goes on only after the end of the message, whatever the
	// Session wanted of it. RFC 5321 §4.2.5
	lost := d.skip()
	recipients := c.state.recipients
	c.forget() // RFC 5321 §4.1.1.4: the buffers are cleared either way

	if lost == nil && d.fault == nil && err == nil && !whole {
		err = errors.New("session accepted a message that it has not read")
	}
	switch {
	case errors.Is(lost, errAbandoned):
	case lost != nil:
		c.readFailed(lost)
	case d.fault != nil:
		c.refuseAll(d, recipients, d.fault)
	case err != nil:
		c.refuseAll(d, recipients, err)
	default:
		c.errors, c.idle, c.refusedRecipients = 0, 0, 0
		if c.log.Enabled(ctx, slog.LevelDebug) {
			c.log.Debug("message taken", obs.Size, int64(d.size), obs.Reply, replies[0], obs.Took, time.Since(d.started))
		}
		for _, r := range replies {
			c.reply(r)
		}
	}
	if lost == nil && d.stuck {
		c.quit = true
	}
}

// hand gives the message to the Session, which has one answer, or with LMTP
// one for each recipient.
func (c *conn) hand(ctx context.Context, d *dataReader) ([]smtp.Reply, error) {
	if !c.options.LMTP {
		reply, err := c.session.Data(ctx, d)
		return []smtp.Reply{reply}, err
	}
	each, ok := c.session.(Distributor)
	if !ok {
		return nil, errors.New("session cannot answer for each recipient")
	}
	replies, err := each.DataEach(ctx, d)
	if err == nil && len(replies) != c.state.recipients {
		err = fmt.Errorf("session has %d answers for %d recipients", len(replies), c.state.recipients)
	}
	return replies, err
}

// refuseAll refuses the message, with LMTP for each recipient.
// RFC 2033 §4.2, §4.3
func (c *conn) refuseAll(d *dataReader, recipients int, err error) {
	c.refuse(err, obs.Size, int64(d.size))
	if !c.options.LMTP || !d.from.whole() {
		return
	}
	for range recipients - 1 {
		if c.quit {
			return
		}
		c.say(err, obs.Size, int64(d.size))
	}
}

// A dataReader gives the message to the Session. It is not read ahead of it.
type dataReader struct {
	c       *conn
	from    source
	piece   []byte // still to be read, in the input's buffer
	size    mail.ByteCount
	started time.Time

	err   error         // what Read says from now on
	fault *smtp.Refusal // why the message is refused, once its end is reached
	ended bool          // the end has been seen
	stuck bool          // the end is too far away: the connection is given up
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
		piece, end, err := d.from.next(d.readBy(time.Now()))
		d.size += mail.ByteCount(len(piece))
		d.ended = d.ended || end
		switch {
		case err != nil:
			d.err = err
			_ = errors.As(err, &d.fault) // a source may refuse, too
		case d.size > d.c.options.MaxSize:
			d.fault = tooLarge
			d.err = d.fault
		case d.from.bare() && d.c.options.Newlines != NormaliseBareNewlines:
			d.fault = bareNewline
			d.err = d.fault
		case end:
			d.err = io.EOF
		default:
			d.piece = piece
		}
	}
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

// skip reads what the Session has not, up to where the dialog goes on, and
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
	if err := d.from.skip(d, d.c.options.MaxSize+drainExtra); err != nil {
		return err
	}
	// Of two faults the same one is told, however the message came.
	if d.fault != nil && d.size > d.c.options.MaxSize {
		d.fault = tooLarge
	}
	return nil
}

// dotted is a message after DATA.
type dotted struct {
	c   *conn
	dot smtp.Unstuffer
}

func (s *dotted) bare() bool  { return s.dot.BareCR || s.dot.BareLF }
func (s *dotted) whole() bool { return true }

func (s *dotted) next(readBy time.Time) (piece []byte, end bool, err error) {
	in := &s.c.in
	piece, used, end := s.dot.Next(in.buffered())
	in.r += used
	if end || used > 0 {
		return piece, end, nil
	}
	s.c.deadline = readBy
	return nil, false, noEOF(in.more())
}

func (s *dotted) skip(d *dataReader, limit mail.ByteCount) error {
	for !d.ended {
		piece, end, err := s.next(d.readBy(time.Now()))
		if err != nil {
			return err
		}
		d.ended = end
		if d.size += mail.ByteCount(len(piece)); d.size > limit {
			d.fault, d.stuck = tooLarge, true
			return nil
		}
	}
	return nil
}

// noEOF makes the end of the connection never be taken for that of a message.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
