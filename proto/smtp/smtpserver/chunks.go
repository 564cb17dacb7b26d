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

// errAbandoned says that another command came where the next piece of the
// message should have.
var errAbandoned = errors.New("message abandoned between two chunks")

// bdat takes a message that comes in pieces. RFC 3030 §2
//
// The Session's Data reads through all of them: between two, its Read says
// 250 for the one and waits for the command that announces the next.
func (c *conn) bdat(ctx context.Context, cmd smtp.Command) {
	c.chunked(ctx, cmd)
}

// chunked takes a message whose first piece is announced by cmd.
func (c *conn) chunked(ctx context.Context, cmd smtp.Command) {
	s := &chunks{c: c, ctx: ctx}
	s.lines.Binary = c.state.binary
	s.lines.Normalise = c.options.Newlines == NormaliseBareNewlines
	defer s.closeFetched()
	s.begin(cmd)
	c.take(ctx, s)
	if s.instead == nil || c.quit {
		return
	}
	switch s.instead.(type) {
	case smtp.Reset, smtp.Hello, smtp.Quit:
		c.instead = s.instead
	default:
		// RFC 3030 §2: DATA and BDAT do not mix; what was sent is gone.
		c.refuse(refuse(503, 5, 5, 1, "The message was under way in chunks and is abandoned"))
	}
}

// chunks is a message after BDAT or BURL.
type chunks struct {
	c     *conn
	ctx   context.Context
	lines smtp.Canonical

	size    mail.ByteCount // of the chunk
	left    mail.ByteCount // of it, not read yet
	last    bool
	total   mail.ByteCount // of all chunks so far
	fetched io.ReadCloser  // what BURL's chunk is read from; else the connection
	buf     []byte

	failed  error        // refuses the chunk
	instead smtp.Command // came in place of the next chunk
}

func (s *chunks) bare() bool  { return s.lines.BareCR || s.lines.BareLF }
func (s *chunks) whole() bool { return s.last }

// begin begins a chunk. What refuses it is told by next, so that the octets
// that are on their way are skipped.
func (s *chunks) begin(cmd smtp.Command) {
	s.closeFetched()
	s.size, s.left = 0, 0
	s.c.in.enlarge()
	switch cmd := cmd.(type) {
	case smtp.Bdat:
		s.size, s.left, s.last = cmd.Size, cmd.Size, cmd.Last
		if s.total += s.size; s.total > s.c.options.MaxSize {
			s.failed = tooLarge // RFC 1870 §6.3
		} else if s.size == 0 && !s.last && !s.c.mayIdle() {
			s.failed = errAbandoned
		}
	case smtp.Burl:
		s.last = cmd.Last
		s.fetched, s.failed = s.c.fetch(s.ctx, cmd)
	}
}

func (s *chunks) closeFetched() {
	if s.fetched != nil {
		_ = s.fetched.Close() // it was only read
		s.fetched = nil
	}
}

func (s *chunks) next(readBy time.Time) (piece []byte, end bool, err error) {
	switch {
	case s.failed != nil:
		return nil, false, s.failed
	case s.fetched != nil || len(s.buf) > 0:
		return s.nextFetched()
	case s.left == 0 && s.last:
		if piece := s.lines.Finish(); piece != nil {
			return piece, false, nil
		}
		return nil, true, nil
	case s.left == 0:
		s.c.reply(ok(250, 0, 0, fmt.Sprintf("%d octets received", int64(s.size))))
		return nil, false, s.await(readBy)
	}
	in := &s.c.in
	if len(in.buffered()) == 0 {
		s.c.deadline = readBy
		return nil, false, noEOF(in.more())
	}
	raw := in.buffered()
	raw = raw[:min(len(raw), int(min(s.left, largeBuffer)))]
	piece, used := s.lines.Next(raw)
	in.r += used
	s.left -= mail.ByteCount(used)
	return piece, false, nil
}

// nextFetched reads what a URL has led to.
func (s *chunks) nextFetched() (piece []byte, end bool, err error) {
	if len(s.buf) == 0 {
		chunk := make([]byte, 32<<10)
		n, err := s.fetched.Read(chunk)
		s.buf = chunk[:n]
		if err == io.EOF {
			s.closeFetched()
		} else if err != nil {
			return nil, false, urlFailed(err)
		}
		s.total += mail.ByteCount(n)
		s.size += mail.ByteCount(n)
		if s.fetched == nil && n == 0 {
			return nil, false, nil
		}
	}
	piece, used := s.lines.Next(s.buf)
	s.buf = s.buf[used:]
	return piece, false, nil
}

// await reads commands up to the one that announces the next chunk.
func (s *chunks) await(readBy time.Time) error {
	c := s.c
	for !c.quit && c.failed == nil {
		c.deadline = c.commandDeadline()
		if readBy.Before(c.deadline) {
			c.deadline = readBy
		}
		line, err := c.in.line(smtp.MaxLine)
		switch {
		case errors.Is(err, errLineTooLong), errors.Is(err, errBareLF):
			c.readFailed(err)
			continue
		case err != nil:
			return noEOF(err)
		}
		if c.log.Enabled(s.ctx, slog.LevelDebug) {
			c.log.Debug("smtp command", "line", redact(line))
		}
		cmd, err := smtp.Parse(line)
		if err != nil {
			c.unparsed(line, err)
			continue
		}
		switch cmd.(type) {
		case smtp.Bdat:
			s.begin(cmd)
			return nil
		case smtp.Burl:
			if c.options.Fetch == nil {
				c.refuse(notImplemented)
				continue
			}
			s.begin(cmd)
			return nil
		case smtp.Noop, smtp.Help:
			if !c.mayIdle() {
				continue
			}
			if _, ok := cmd.(smtp.Help); ok {
				c.help(s.ctx, cmd)
			} else {
				c.noop(s.ctx, cmd)
			}
		case smtp.Verify, smtp.Expand, smtp.Turn:
			// They change nothing (RFC 5321 §4.1.4), and what the Session knows
			// cannot be asked while it reads.
			if c.mayIdle() {
				c.aside(s.ctx, cmd)
			}
		default:
			s.instead = cmd
			return errAbandoned
		}
	}
	if c.failed != nil {
		return c.failed
	}
	return errAbandoned
}

// aside answers what has nothing to do with the message that is under way.
func (c *conn) aside(ctx context.Context, cmd smtp.Command) {
	if _, is := cmd.(smtp.Turn); is {
		c.turn(ctx, cmd)
		return
	}
	c.reply(ok(252, 0, 0, "Cannot look that up within a message")) // RFC 5321 §3.5.3
}

// skip reads the rest of the chunk. RFC 3030 §2: what fails is answered after
// the chunk has been read and thrown away.
func (s *chunks) skip(d *dataReader, limit mail.ByteCount) error {
	s.closeFetched()
	stuck, err := s.c.skipChunk(s.left, limit, d.readBy)
	s.left, d.stuck = 0, stuck
	return err
}

// skipChunk reads octets and throws them away. It tells whether they are too
// many to be waited for.
func (c *conn) skipChunk(left, limit mail.ByteCount, readBy func(time.Time) time.Time) (stuck bool, err error) {
	if left > limit {
		return true, nil
	}
	in := &c.in
	for left > 0 {
		if len(in.buffered()) == 0 {
			c.deadline = readBy(time.Now())
			if err := in.more(); err != nil {
				return false, noEOF(err)
			}
		}
		n := min(len(in.buffered()), int(left))
		in.r += n
		left -= mail.ByteCount(n)
	}
	return false, nil
}

// refuseChunk refuses a BDAT that came at the wrong time, after the octets
// that it announces: clients may have sent several ahead. RFC 3030 §2
func (c *conn) refuseChunk(b smtp.Bdat, r *smtp.Refusal) {
	c.in.enlarge()
	d := &dataReader{c: c, started: time.Now()}
	stuck, err := c.skipChunk(b.Size, c.options.MaxSize+drainExtra, d.readBy)
	if err != nil {
		c.readFailed(err)
		return
	}
	if c.options.LMTP && b.Last && c.state.mail && c.state.recipients == 0 {
		c.reset() // no recipients, no replies: RFC 2033 §4.3
	} else {
		c.refuse(r, obs.Size, int64(b.Size))
	}
	c.quit = c.quit || stuck
}
