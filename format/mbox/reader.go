package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// A Format is one of the ways to keep messages apart.
type Format string

// The formats. Auto finds out.
const (
	Auto Format = "auto"
	RD   Format = "mboxrd"
	O    Format = "mboxo"
	CL   Format = "mboxcl"
	CL2  Format = "mboxcl2"
)

// ErrNotMbox says that a file does not begin as an mbox file does.
var ErrNotMbox = errors.New("not an mbox file: it does not begin with a \"From \" line")

// maxHeader is how much of a header is looked through for flags. What is
// longer counts as body.
const maxHeader = 1 << 20

const window = 64 << 10

// A Reader reads the messages of a file one after the other, in bounded
// memory.
type Reader struct {
	file   io.ReaderAt
	size   int64
	format Format
	in     *bufio.Reader
	at     int64    // offset in the file of what in gives next
	now    *Message // the one that is being read
}

// NewReader reads a file of some size. Auto looks at the beginning of the file
// first.
func NewReader(file io.ReaderAt, size int64, format Format) (*Reader, error) {
	r := &Reader{file: file, size: size, format: format}
	if format == Auto || format == "" {
		var err error
		if r.format, err = detect(file, size); err != nil {
			return nil, err
		}
	}
	r.SeekTo(0)
	return r, nil
}

// Format gives the format that is read.
func (r *Reader) Format() Format { return r.format }

// SeekTo goes to the Offset of a message that has been read before.
func (r *Reader) SeekTo(offset int64) {
	r.now = nil
	r.reset(offset)
}

func (r *Reader) reset(offset int64) {
	r.at = offset
	part := io.NewSectionReader(r.file, offset, math.MaxInt64-offset)
	if r.in == nil {
		r.in = bufio.NewReaderSize(part, window)
		return
	}
	r.in.Reset(part)
}

// A Message is one message of a file, to be read before the next one.
type Message struct {
	Offset int64 // in the file, of its "From " line
	From   From
	Meta   Meta

	r       *Reader
	out     []byte        // to be given next
	pending []byte        // an empty line, which may be the last
	body    *bufio.Reader // where Content-Length tells how long it is
	bodyEnd int64         // offset in the file
	partial bool          // what comes next is in the middle of a line
	lastCR  bool          // what was given last was a CR
	raw     bool          // line ends stay as they are
	noEnd   bool          // the last line end is not the message's
	held    []byte        // that line end
	done    bool
	err     error
}

// Next gives the next message; what is left of the last one is skipped. It
// fails with io.EOF at the end, and with ErrNotMbox at a beginning that is
// none.
func (r *Reader) Next() (*Message, error) {
	if r.now != nil {
		if _, err := io.Copy(io.Discard, r.now); err != nil {
			return nil, err
		}
		r.now = nil
	}
	for {
		offset := r.at
		line, err := r.line()
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil, io.EOF
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if from, ok := ParseFrom(line); ok {
			m := &Message{Offset: offset, From: from, r: r}
			r.now = m
			return m, m.readHeader()
		}
		if len(bytes.TrimRight(line, "\r\n")) > 0 { // empty lines before are met
			return nil, fmt.Errorf("at octet %d: %w", offset, ErrNotMbox)
		}
	}
}

// line takes a line with its end, or as much of it as fits with
// bufio.ErrBufferFull. It is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	r.at += int64(len(line))
	return line, err
}

// atFrom tells whether a message begins here.
func (r *Reader) atFrom() bool {
	p, _ := r.in.Peek(len(fromPrefix))
	if !bytes.Equal(p, fromPrefix) {
		return false
	}
	p, _ = r.in.Peek(maxFrom)
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		p = p[:i]
	}
	_, ok := ParseFrom(p)
	return ok
}

// readHeader reads the header and takes out what is not the message's.
func (m *Message) readHeader() error {
	var header []byte
	for {
		if m.r.atFrom() {
			m.done = true
			break
		}
		line, err := m.r.line()
		header = append(header, line...)
		if errors.Is(err, io.EOF) {
			m.done = true
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		m.partial = err != nil
		if isEmpty(line) && !m.partial {
			header = header[:len(header)-len(line)]
			m.pending = append(m.pending, line...)
			break
		}
		if len(header) > maxHeader {
			break
		}
	}
	clean := m.Meta.take(header, m.r.format)
	m.raw, m.noEnd = m.Meta.raw, m.Meta.noEnd
	if m.pending != nil && !m.Meta.marked && m.Meta.length >= 0 && m.r.endsAt(m.Meta.length) {
		m.bodyEnd = m.r.at + m.Meta.length
		m.body = bufio.NewReaderSize(io.NewSectionReader(m.r.file, m.r.at, m.Meta.length), window)
		m.emit(clean)
		m.emit(m.pending)
		m.pending = nil
		return nil
	}
	m.emit(clean)
	return nil
}

func isEmpty(line []byte) bool {
	return string(line) == "\n" || string(line) == "\r\n"
}

// endsAt tells whether a message ends so many octets from here: RFC 4155 says
// nothing of Content-Length, which lies often enough that it is believed only
// if another message or the end follows.
func (r *Reader) endsAt(length int64) bool {
	if r.format != CL && r.format != CL2 {
		return false
	}
	at := r.at + length
	if at > r.size || at < r.at {
		return false
	}
	var buf [maxFrom]byte
	n, _ := r.file.ReadAt(buf[:], at)
	rest := bytes.TrimLeft(buf[:n], "\r\n")
	if len(rest) == 0 {
		return at+int64(n) >= r.size
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	_, ok := ParseFrom(rest)
	return ok
}

// emit adds whole lines, or the beginning of one, to what is given out.
func (m *Message) emit(text []byte) {
	if len(text) == 0 {
		return
	}
	if len(m.held) > 0 {
		m.out = append(m.out, m.held...)
		m.held = m.held[:0]
	}
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			m.out = append(m.out, text...)
			m.lastCR = text[len(text)-1] == '\r'
			return
		}
		m.out = append(m.out, text[:i]...)
		end := "\r\n"
		if m.raw || i > 0 && text[i-1] == '\r' || i == 0 && m.lastCR {
			end = "\n"
		}
		m.lastCR = false
		text = text[i+1:]
		if len(text) == 0 && m.noEnd {
			m.held = append(m.held[:0], end...)
			return
		}
		m.out = append(m.out, end...)
	}
}

// Read gives the message as it travels, without what is not its own.
func (m *Message) Read(p []byte) (int, error) {
	for len(m.out) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		m.out = m.out[:0]
		m.fill()
	}
	n := copy(p, m.out)
	m.out = m.out[n:]
	if len(m.out) == 0 {
		m.out = nil
	}
	return n, nil
}

// fill reads some more of the body.
func (m *Message) fill() {
	if m.done {
		m.err = io.EOF
		return
	}
	for len(m.out) < window && !m.done && m.err == nil {
		if m.body != nil {
			m.fillByLength()
		} else {
			m.fillByLines()
		}
	}
}

func (m *Message) fillByLines() {
	if !m.partial && m.r.atFrom() {
		m.done = true // the empty line before it is the format's
		return
	}
	line, err := m.r.line()
	if len(line) > 0 {
		m.emit(m.pending)
		m.pending = m.pending[:0]
		switch {
		case m.partial:
			m.emit(line)
		case isEmpty(line):
			m.pending = append(m.pending, line...)
		default:
			m.emit(m.unquote(line))
		}
	}
	m.after(err)
}

// fillByLength reads from a body whose length is known.
func (m *Message) fillByLength() {
	line, err := m.body.ReadSlice('\n')
	if !m.partial {
		line = m.unquote(line)
	}
	m.emit(line)
	m.after(err)
	if m.done {
		m.r.reset(m.bodyEnd)
	}
}

// after notes how a line ended.
func (m *Message) after(err error) {
	m.partial = errors.Is(err, bufio.ErrBufferFull)
	switch {
	case errors.Is(err, io.EOF):
		m.done = true
	case err != nil && !m.partial:
		m.err = err
	}
}

// unquote takes off the ">" that a writer has put before what looks like the
// start of a message.
func (m *Message) unquote(line []byte) []byte {
	if len(line) < 6 || line[0] != '>' {
		return line
	}
	format := m.r.format
	if m.Meta.marked {
		format = RD
	}
	switch format {
	case CL2:
		return line
	case RD:
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromPrefix) {
			return line[1:]
		}
	default:
		if bytes.HasPrefix(line[1:], fromPrefix) {
			return line[1:]
		}
	}
	return line
}
