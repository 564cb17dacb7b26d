package dkim

import "bytes"

// MaxHeader is how much header is kept. Nothing is verified beyond it.
const MaxHeader = 1 << 20

// A Head gathers the header of a message that is written to it, to the octet.
type Head struct {
	// Octets are the header with the empty line that ends it. They are
	// complete when Ended, and gone when TooLarge.
	Octets   []byte
	Ended    bool
	TooLarge bool
}

// Write takes the next octets of a message and gives those that belong to the
// body. ended is true for the write that ends the header.
func (h *Head) Write(p []byte) (body []byte, ended bool) {
	if h.Ended {
		return p, false
	}
	whole, from := p, 0 // mostly it comes in one piece
	if len(h.Octets) > 0 {
		from = max(0, len(h.Octets)-3)
		h.Octets = append(h.Octets, p...)
		whole = h.Octets
	}
	end := endOfHeader(whole, from)
	switch {
	case end > MaxHeader, end < 0 && len(whole) > MaxHeader:
		h.TooLarge, h.Ended, h.Octets = true, true, nil
		return whole[max(end, 0):], true
	case end < 0:
		if len(h.Octets) == 0 {
			h.Octets = bytes.Clone(p)
		}
		return nil, false
	}
	h.Octets, h.Ended = bytes.Clone(whole[:end]), true // what it stands in may be large
	return whole[end:], true
}

// End ends a message that has no body; ended is true if it had none.
func (h *Head) End() (ended bool) {
	if h.Ended {
		return false
	}
	if !bytes.HasSuffix(h.Octets, crlf) {
		h.Octets = append(h.Octets, crlf...)
	}
	h.Ended = true
	return true
}

// endOfHeader gives where the body begins, or -1.
func endOfHeader(b []byte, from int) int {
	if bytes.HasPrefix(b, crlf) {
		return 2
	}
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}
