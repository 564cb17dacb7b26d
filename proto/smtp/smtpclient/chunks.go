package smtpclient

import (
	"context"
	"errors"
	"io"

	"waxwing/mail"
	"waxwing/proto/smtp"
)

const (
	// chunkSize is how much goes with one BDAT. Trouble at the peer's can be
	// told only after a chunk. RFC 3030 §2
	chunkSize = 256 << 10
	// chunksAhead is how many may wait for their replies.
	chunksAhead = 4
)

// inChunks sends the message with BDAT, but for the reply to the last chunk.
// A refusal ends it: no more is sent, and the replies to what was sent ahead
// are read. RFC 3030 §2
func (t *transaction) inChunks(ctx context.Context, body io.Reader) error {
	c := t.c
	lines := smtp.Canonical{Binary: t.mail.Binary, Normalise: true}
	source := &canonical{from: body, lines: &lines, buf: make([]byte, block)}
	chunk := make([]byte, chunkSize)
	ahead := 1
	if c.extensions.Has(smtp.Pipelining) && !c.lmtp {
		ahead = chunksAhead
	}
	waiting := 0
	for {
		n, err := io.ReadFull(source, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		c.within(ctx, blockTimeout)
		c.out = smtp.Bdat{Size: mail.ByteCount(n), Last: last}.Append(c.out)
		c.out = append(c.out, chunk[:n]...)
		if err := c.flush(ctx, "message"); err != nil {
			return err
		}
		if last {
			return t.chunkReplies(ctx, waiting, 1)
		}
		if waiting++; waiting == ahead {
			if err := t.chunkReplies(ctx, 1, waiting-1); err != nil {
				return err
			}
			waiting--
		}
	}
}

// chunkReplies reads the replies to n chunks that are not the last one. A
// refusal of one of them is that of the message; after it the replies to what
// else was sent ahead are read, which do not matter. RSET is said before
// anything else then.
func (t *transaction) chunkReplies(ctx context.Context, n, after int) error {
	c := t.c
	for i := range n {
		_, err := c.expect(ctx, "message", 2, finalTimeout)
		if err == nil {
			continue
		}
		for range n - i - 1 + after {
			if c.broken != nil {
				break
			}
			_, _ = c.readReply(ctx, "message", finalTimeout) // it breaks the connection if it fails
		}
		return err
	}
	return nil
}

// A canonical reader mends the line ends of a text: none of its lines may end
// otherwise than with CR LF. RFC 3030 §2
type canonical struct {
	from  io.Reader
	lines *smtp.Canonical
	buf   []byte
	raw   []byte // of buf, not mended yet
	piece []byte // mended, not read yet
	crlf  bool   // whether what was given so far ends with CR LF, or is empty
	begun bool
	err   error
}

func (r *canonical) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		switch {
		case len(r.raw) > 0:
			piece, used := r.lines.Next(r.raw)
			r.piece, r.raw = piece, r.raw[used:]
		case r.err != nil:
			return 0, r.end()
		default:
			n, err := r.from.Read(r.buf)
			r.raw, r.err = r.buf[:n], err
		}
	}
	n := copy(p, r.piece)
	r.crlf, r.begun = r.piece[n-1] == '\n', true
	r.piece = r.piece[n:]
	return n, nil
}

// end gives what is missing at the end: the rest of the last line end.
func (r *canonical) end() error {
	if r.err != io.EOF {
		return r.err
	}
	if piece := r.lines.Finish(); piece != nil {
		r.piece = piece
		return nil
	}
	if r.begun && !r.crlf && !r.lines.Binary {
		r.piece, r.crlf = []byte("\r\n"), true
		return nil
	}
	return io.EOF
}
