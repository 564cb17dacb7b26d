package dkim

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// A Body hashes a body in canonical form as it is written, and its beginnings.
type Body struct {
	form  Form
	lines int // line ends that are held back, since they may be the last
	cr    bool
	space bool // white space that is held back, since a line end may follow
	begun bool // something other than line ends has come
	full  hash.Hash
	sum   []byte // of the full body, once it has ended
	parts []*beginning
	n     int64     // octets in canonical form so far, but for those that are gathered
	few   [512]byte // short pieces, gathered
	used  int       // of them
}

// A beginning is the hash of a body's first octets, for l=.
type beginning struct {
	length int64
	hash   hash.Hash
	sum    []byte // once so much has come
}

// NewBody gives one for a form, with SHA-256.
func NewBody(f Form) *Body { return &Body{form: f, full: sha256.New()} }

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

// hash hashes canonical octets.
func (h *Body) hash(p []byte) {
	h.full.Write(p)
	for _, b := range h.parts {
		if left := b.length - h.n; left > 0 {
			b.hash.Write(p[:min(left, int64(len(p)))])
		}
	}
	h.n += int64(len(p))
}

// flush hashes what was gathered.
func (h *Body) flush() {
	h.hash(h.few[:h.used])
	h.used = 0
}

// put takes canonical octets.
func (h *Body) put(p []byte) {
	if len(p) > len(h.few)-h.used {
		h.flush()
	}
	if len(p) > len(h.few) {
		h.hash(p)
		return
	}
	h.used += copy(h.few[h.used:], p)
}

var single = []byte{' '}

// release puts what was held back, now that an octet of a line follows.
func (h *Body) release() {
	for ; h.lines > 0; h.lines-- {
		h.put(crlf)
	}
	if h.space {
		h.put(single)
		h.space = false
	}
	if h.cr {
		h.put(crlf[:1])
		h.cr = false
	}
	h.begun = true
}

// piece is how much of a body is looked at, once and fast, to find out whether
// each of its octets has to be; small is how much of it where that is so.
const piece, small = 4 << 10, 512

// Write takes the next octets of the body.
func (h *Body) Write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), piece)
		if h.form == Simple || tidy(p[:n]) {
			h.write(p[:n], true)
			p = p[n:]
			continue
		}
		for end := len(p) - n; len(p) > end; {
			n := min(len(p)-end, small)
			h.write(p[:n], tidy(p[:n]))
			p = p[n:]
		}
	}
}

// write takes some octets, which may be tidy.
func (h *Body) write(p []byte, tidy bool) {
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
			n := h.run(p, tidy)
			h.release()
			h.put(p[:n])
			p = p[n:]
		}
	}
}

// run gives the length of what stays as it is at the beginning of p, at least 1:
// p does not begin with white space or CR. It ends with what may stand at the end
// of a body.
func (h *Body) run(p []byte, tidy bool) int {
	n := len(p)
	if !tidy {
		n = unchanged(p)
	}
	for n > 1 {
		switch {
		case p[n-1] == ' ' && h.form == Relaxed, p[n-1] == '\r':
			n--
		case p[n-1] == '\n' && p[n-2] == '\r':
			n -= 2
		default:
			return n
		}
	}
	return 1
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
	h.sum = h.full.Sum(nil)
	for _, b := range h.parts {
		b.sum = b.hash.Sum(nil)
	}
}

// Check compares a finished body with what a signature says of it. The error
// is a *Mismatch. covered is less than total if there is a rest that is not
// signed.
func (h *Body) Check(s Signature) (covered, total int64, err error) {
	sum, covered := h.sum, h.n
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
func (h *Body) Sum() []byte { return h.sum }

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

// unchanged gives where the first octet is, from the second on, that the relaxed
// form may change.
func unchanged(p []byte) int {
	for i := 1; i < len(p); i++ {
		switch c := p[i]; {
		case c > ' ':
		case c == '\t', c == ' ' && p[i-1] == ' ', c == '\r' && (p[i-1] == ' ' || i+1 == len(p) || p[i+1] != '\n'):
			return i
		}
	}
	return len(p)
}

// tidy tells whether the relaxed form leaves octets as they are, but for where
// they begin and end: no tabs, no two spaces, none before a line end, no CR alone.
func tidy(p []byte) bool {
	if bytes.IndexByte(p, '\t') >= 0 {
		return false
	}
	for at := 0; ; at++ {
		n := bytes.IndexByte(p[at:], '\r')
		if n < 0 {
			break
		}
		at += n
		if at > 0 && p[at-1] == ' ' || at+1 < len(p) && p[at+1] != '\n' {
			return false
		}
	}
	return !spaces(p)
}

// spaces tells whether two spaces follow one another.
func spaces(p []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for len(p) > 8 {
		// Zero where both an octet and the next are spaces.
		x := (binary.LittleEndian.Uint64(p) ^ ' '*each) | (binary.LittleEndian.Uint64(p[1:]) ^ ' '*each)
		if (x-each)&^x&high != 0 {
			return true
		}
		p = p[8:]
	}
	for i := 1; i < len(p); i++ {
		if p[i] == ' ' && p[i-1] == ' ' {
			return true
		}
	}
	return false
}
