package downgrade

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
)

// A segment is a stretch of the converted message: text of ours, or octets of
// the message, as they are or changed.
type segment struct {
	text    string
	at, end int64
	how     how
}

type how uint8

const (
	verbatim how = iota
	based        // base64, RFC 2045 §6.8
	quoted       // quoted-printable, RFC 2045 §6.7
	masked       // what cannot go is a question mark
)

func (s segment) reader(src io.ReaderAt) io.Reader {
	if s.text != "" {
		return strings.NewReader(s.text)
	}
	raw := io.NewSectionReader(src, s.at, s.end-s.at)
	if s.how == verbatim {
		return raw
	}
	e := &encoder{from: raw, how: s.how}
	if s.how == quoted {
		e.quoted = quotedprintable.NewWriter(&e.out)
	}
	return e
}

const (
	lineIn  = 57 // octets that make a line of 76 characters
	blockIn = 512 * lineIn
)

// An encoder reads a stretch and gives it encoded.
type encoder struct {
	from   io.Reader
	how    how
	quoted *quotedprintable.Writer
	in     []byte
	out    bytes.Buffer
	begun  bool
	err    error
}

func (e *encoder) Read(p []byte) (int, error) {
	for e.out.Len() == 0 {
		if e.err != nil {
			return 0, e.err
		}
		e.fill()
	}
	return e.out.Read(p)
}

// fill encodes the next block.
func (e *encoder) fill() {
	if e.in == nil {
		e.in = make([]byte, blockIn)
	}
	n, err := io.ReadFull(e.from, e.in)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	e.err = err
	b := e.in[:n]
	switch e.how {
	case based:
		e.base64(b)
	case quoted:
		if _, err := e.quoted.Write(b); err != nil {
			e.err = err
		}
		if e.err == io.EOF {
			if err := e.quoted.Close(); err != nil {
				e.err = err
			}
		}
	case masked:
		for i, c := range b {
			if c >= 0x80 || c == 0 {
				b[i] = '?'
			}
		}
		e.out.Write(b)
	}
}

// base64 writes whole lines; between them, not behind the last one, is CR LF.
func (e *encoder) base64(b []byte) {
	out := e.out.AvailableBuffer()
	for len(b) > 0 {
		if e.begun {
			out = append(out, "\r\n"...)
		}
		e.begun = true
		line := b[:min(lineIn, len(b))]
		out = base64.StdEncoding.AppendEncode(out, line)
		b = b[len(line):]
	}
	e.out.Write(out)
}
