package imapserver

import (
	"bytes"
	"io"

	"waxwing/format/message"
	"waxwing/proto/imap"
)

// decoded makes the piece for BINARY and BINARY.SIZE: a part without its
// transfer encoding. Its size has to be known before its first octet is sent,
// so that a part is decoded twice: once to count, once to send.
// RFC 3516 §4.3, RFC 9051 §6.4.5
func (s *source) decoded(item *imap.FetchItem) (piece, error) {
	if err := s.openBody(); err != nil {
		return piece{}, err
	}
	off, end, encoding := int64(0), int64(s.body.Size()), ""
	if numbers := item.Section.Part; len(numbers) > 0 {
		p := findPart(&s.message.Root, numbers)
		if p == nil {
			if item.Kind == imap.FetchBinarySize {
				return piece{kind: pieceNumber}, nil
			}
			return piece{kind: pieceNil}, nil
		}
		off, end = p.Body, min(p.End, end)
		if !p.IsMultipart() && !p.IsMessage() { // those may have none. RFC 2045 §6.4
			encoding = p.Encoding
		}
	}
	raw := func() io.Reader { return io.NewSectionReader(s.body, off, max(end-off, 0)) }
	open := raw
	switch encoding {
	case "", "7bit", "8bit", "binary":
	case "base64", "quoted-printable":
		open = func() io.Reader { return message.DecodeBody(raw(), encoding) }
	default:
		return piece{}, &imap.Refusal{Code: imap.CodeUnknownCTE, Text: "Transfer encoding is not known"}
	}
	var count counter
	if _, err := io.Copy(&count, open()); err != nil {
		return piece{}, err
	}
	if item.Kind == imap.FetchBinarySize {
		return piece{kind: pieceNumber, n: count.n}, nil
	}
	from, n := cut(0, count.n, item.Partial)
	return piece{kind: pieceDecoded, open: open, off: from, n: n, binary: count.nul}, nil
}

// A counter counts what is written to it, and looks for NUL, which only a
// literal8 may hold.
type counter struct {
	n   int64
	nul bool
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.nul = c.nul || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}
