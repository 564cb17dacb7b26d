package pop3server

import (
	"bytes"
	"io"

	"waxwing/mail"
)

// copyMessage sends a message as the lines of a multi-line response,
// dot-stuffed, up to but not including the final ".". With lines >= 0 it
// sends the header, the empty line and that many lines of the body.
// RFC 1939 §3, §7
//
// Octets are sent as they are stored, so that sizes are exact; a message that
// does not end with CRLF (no mail from SMTP, but what IMAP clients APPEND)
// gets one, because the "." has to begin a line. A bare LF ends a line too
// when it comes to dots: to some clients it does.
func copyMessage(w io.Writer, r io.ReaderAt, size mail.ByteCount, lines int) error {
	s := stuffer{w: w}
	t := top{lines: lines, header: true}
	b := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(b)
	for offset := int64(0); offset < int64(size); {
		chunk := b[:min(int64(size)-offset, bufferSize)]
		if lines >= 0 && len(chunk) > 8<<10 {
			chunk = chunk[:8<<10] // a header, as a rule
		}
		if n, err := r.ReadAt(chunk, offset); n < len(chunk) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		offset += int64(len(chunk))
		done := false
		if lines >= 0 {
			chunk, done = t.cut(chunk)
		}
		if err := s.write(chunk); err != nil {
			return err
		}
		if done {
			break
		}
	}
	return s.end()
}

// A stuffer puts a dot before each line that begins with one. It holds back
// the last octet, because what ends the message depends on it.
type stuffer struct {
	w     io.Writer
	last  [2]byte // octets before the next
	began bool
}

var lineFeedDot = []byte("\n.")

func (s *stuffer) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := s.release(); err != nil {
		return err
	}
	if b[0] == '.' && (!s.began || s.last[1] == '\n') {
		if _, err := s.w.Write(lineFeedDot[1:]); err != nil {
			return err
		}
	}
	for from := 0; ; {
		i := bytes.Index(b[from:], lineFeedDot)
		if i < 0 {
			break
		}
		// Everything up to the dot, and the dot; then b begins with the dot
		// again, which is not looked at a second time.
		if _, err := s.w.Write(b[:from+i+2]); err != nil {
			return err
		}
		b, from = b[from+i+1:], 1
	}
	if _, err := s.w.Write(b[:len(b)-1]); err != nil {
		return err
	}
	if len(b) > 1 {
		s.last[0] = b[len(b)-2]
	} else {
		s.last[0] = s.last[1]
	}
	s.last[1], s.began = b[len(b)-1], true
	return nil
}

// release writes the octet that was held back.
func (s *stuffer) release() error {
	if !s.began {
		return nil
	}
	_, err := s.w.Write(s.last[1:])
	return err
}

// end writes the octet that was held back so that a CRLF ends the message.
func (s *stuffer) end() error {
	if !s.began {
		return nil
	}
	ending := []byte{s.last[1], '\r', '\n'}
	switch {
	case s.last == [2]byte{'\r', '\n'}:
		ending = ending[2:]
	case s.last[1] == '\n', s.last[1] == '\r':
		ending = ending[1:]
	}
	_, err := s.w.Write(ending)
	return err
}

// A top finds where TOP has to stop.
type top struct {
	header bool // still in the header
	inLine bool // the current line has something in it
	lines  int  // of the body, still to come
}

// cut gives the beginning of b that belongs to the top, and whether it ends
// there.
func (t *top) cut(b []byte) (chunk []byte, done bool) {
	rest := b
	for len(rest) > 0 {
		if !t.header && t.lines == 0 {
			return b[:len(b)-len(rest)], true
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			t.inLine = t.inLine || len(rest) > 1 || rest[0] != '\r'
			return b, false
		}
		empty := !t.inLine && (i == 0 || i == 1 && rest[0] == '\r')
		switch {
		case !t.header:
			t.lines--
		case empty:
			t.header = false
		}
		t.inLine = false
		rest = rest[i+1:]
	}
	return b, !t.header && t.lines == 0
}
