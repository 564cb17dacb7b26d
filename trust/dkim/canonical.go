package dkim

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
)

// A Form is a canonicalization. RFC 6376 §3.4
type Form uint8

// Simple bears almost no change on the way, Relaxed bears changed white space.
const (
	Simple Form = iota
	Relaxed
)

// String gives the word of RFC 6376.
func (f Form) String() string {
	if f == Relaxed {
		return "relaxed"
	}
	return "simple"
}

// AppendField appends a field in its canonical form, without the line end after
// it. The field comes with its name, and with or without its last line end.
// RFC 6376 §3.4.1, §3.4.2
func (f Form) AppendField(b, field []byte) []byte {
	field = bytes.TrimSuffix(field, crlf)
	if f == Simple {
		return append(b, field...)
	}
	colon := bytes.IndexByte(field, ':')
	if colon < 0 {
		return append(b, field...)
	}
	name := bytes.TrimRight(field[:colon], " \t")
	b = append(b, bytes.ToLower(name)...)
	b = append(b, ':')
	start, space := len(b), false
	for _, c := range field[colon+1:] {
		switch c {
		case ' ', '\t':
			space = true
		case '\r', '\n': // unfolded
		default:
			if space && len(b) > start {
				b = append(b, ' ')
			}
			space = false
			b = append(b, c)
		}
	}
	return b
}

var crlf = []byte("\r\n")

// A Body hashes a body in canonical form as it is written, and its beginnings.
type Body struct {
	form  Form
	lines int // line ends that are held back, since they may be the last
	cr    bool
	space bool // white space that is held back, since a line end may follow
	begun bool // something other than line ends has come
	full  hash.Hash
	parts []*beginning
	n     int64 // octets in canonical form so far
	buf   []byte
}

// A beginning is the hash of a body's first octets, for l=.
type beginning struct {
	length int64
	hash   hash.Hash
	sum    []byte // once so much has come
}

// NewBody gives one for a form, with SHA-256.
func NewBody(f Form) *Body {
	return &Body{form: f, full: sha256.New(), buf: make([]byte, 0, 4096)}
}

// at gets ready for the hash of the first octets.
func (h *Body) at(length int64) *beginning {
	for _, b := range h.parts {
		if b.length == length {
			return b
		}
	}
	b := &beginning{length: length, hash: sha256.New()}
	h.parts = append(h.parts, b)
	return b
}

// flush hashes what was gathered.
func (h *Body) flush() {
	h.full.Write(h.buf)
	for _, b := range h.parts {
		if left := b.length - h.n; left > 0 {
			b.hash.Write(h.buf[:min(left, int64(len(h.buf)))])
		}
	}
	h.n += int64(len(h.buf))
	h.buf = h.buf[:0]
}

// put takes canonical octets.
func (h *Body) put(p []byte) {
	for len(p) > 0 {
		if len(h.buf) == cap(h.buf) {
			h.flush()
		}
		n := min(len(p), cap(h.buf)-len(h.buf))
		h.buf = append(h.buf, p[:n]...)
		p = p[n:]
	}
}

// release puts what was held back, now that an octet of a line follows.
func (h *Body) release() {
	for ; h.lines > 0; h.lines-- {
		h.put(crlf)
	}
	if h.space {
		h.put([]byte{' '})
		h.space = false
	}
	if h.cr {
		h.put([]byte{'\r'})
		h.cr = false
	}
	h.begun = true
}

// Write takes the next octets of the body.
func (h *Body) Write(p []byte) {
	for len(p) > 0 {
		c := p[0]
		switch {
		case c == '\r':
			if h.cr { // one that was no line end's
				h.release()
			}
			h.cr, p = true, p[1:]
		case c == '\n' && h.cr:
			h.cr, h.space = false, false
			h.lines++
			p = p[1:]
		case h.form == Relaxed && (c == ' ' || c == '\t'):
			if h.cr {
				h.release()
			}
			h.space, p = true, p[1:]
		default:
			n := h.run(p)
			h.release()
			h.put(p[:n])
			p = p[n:]
		}
	}
}

// run gives the length of what needs no thought at the beginning of p, at least
// 1.
func (h *Body) run(p []byte) int {
	if h.form == Simple {
		if n := bytes.IndexByte(p, '\r'); n >= 0 {
			return n
		}
		return len(p)
	}
	for i, c := range p {
		if c > ' ' {
			continue
		}
		if c == '\r' || c == '\t' || c == ' ' && (i+1 == len(p) || p[i+1] == ' ' || p[i+1] == '\t' || p[i+1] == '\r') {
			return i // a single space between words stays as it is
		}
	}
	return len(p)
}

// Finish ends the body. It is called once.
func (h *Body) Finish() {
	if h.cr {
		h.release()
	}
	// RFC 6376 §3.4.3: an empty body is one line end; §3.4.4: or nothing.
	if h.form == Simple || h.begun {
		h.put(crlf)
	}
	h.flush()
	for _, b := range h.parts {
		b.sum = b.hash.Sum(nil)
	}
}

// Check compares a finished body with what a signature says of it. The error
// is a *Mismatch. covered is less than total if there is a rest that is not
// signed.
func (h *Body) Check(s Signature) (covered, total int64, err error) {
	sum, covered := h.full.Sum(nil), h.n
	if s.Length >= 0 {
		if s.Length > h.n {
			return 0, h.n, &Mismatch{Never: true, Reason: "it covers more than the body has"}
		}
		sum, covered = h.at(s.Length).sum, s.Length
	}
	if subtle.ConstantTimeCompare(sum, s.BodyHash) != 1 {
		return 0, h.n, &Mismatch{Reason: "the body is not the one that was signed"}
	}
	return covered, h.n, nil
}

// Sum gives the hash of a finished body.
func (h *Body) Sum() []byte { return h.full.Sum(nil) }

// Expect makes a body ready for Check of a signature; before anything is
// written.
func (h *Body) Expect(s Signature) {
	if s.Length >= 0 {
		h.at(s.Length)
	}
}

// A Mismatch says what of a message is not what a signature says.
type Mismatch struct {
	Reason string
	Never  bool // the signature was never right
}

func (m *Mismatch) Error() string { return m.Reason }
