package migrate

import (
	"bytes"
	"io"
	"os"
)

// inMemory is the size up to which a message is held in memory.
const inMemory = 1 << 20

// A crlfReader gives text with each line end as CRLF.
type crlfReader struct {
	from   io.Reader
	buf    []byte
	out    []byte
	lastCR bool
	err    error
}

func newCRLFReader(from io.Reader) *crlfReader {
	return &crlfReader{from: from, buf: make([]byte, 32<<10)}
}

func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		var n int
		n, c.err = c.from.Read(c.buf)
		c.out = c.convert(c.buf[:n])
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *crlfReader) convert(text []byte) []byte {
	out, last := toCRLF(text, c.lastCR)
	c.lastCR = last
	return out
}

// toCRLF converts text whose last octet before was a CR or not; it tells
// whether its own is. What needs no conversion is given as it is.
func toCRLF(text []byte, lastCR bool) ([]byte, bool) {
	if len(text) == 0 {
		return nil, lastCR
	}
	var out []byte
	from := 0
	for i := 0; ; i++ {
		j := bytes.IndexByte(text[i:], '\n')
		if j < 0 {
			break
		}
		i += j
		if i > 0 && text[i-1] == '\r' || i == 0 && lastCR {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(text)+len(text)/16+16)
		}
		out = append(append(out, text[from:i]...), '\r', '\n')
		from = i + 1
	}
	last := text[len(text)-1] == '\r'
	if out == nil {
		return text, last
	}
	return append(out, text[from:]...), last
}

// A spool holds one message: in memory, or in a file that has no name.
type spool struct {
	buf  bytes.Buffer // not embedded: its ReadFrom knows no bounds
	file *os.File
	size int64
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(p) > inMemory {
		f, err := os.CreateTemp("", "waxwing-message-")
		if err != nil {
			return 0, err
		}
		_ = os.Remove(f.Name())
		s.file = f
		if _, err := f.Write(s.buf.Bytes()); err != nil {
			return 0, err
		}
		s.buf = bytes.Buffer{}
	}
	s.size += int64(len(p))
	if s.file != nil {
		return s.file.Write(p)
	}
	return s.buf.Write(p)
}

// text gives what has been written, from its start.
func (s *spool) text() io.ReadSeeker {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return bytes.NewReader(s.buf.Bytes())
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}
