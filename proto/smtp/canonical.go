package smtp

import "bytes"

// A Canonical looks at the line ends of a message that comes without dots
// (BDAT), or mends them: text consists of lines that end with CR LF
// (RFC 3030 §2), and CR and LF occur only together (RFC 5321 §2.3.8). It does
// no I/O and copies nothing. The zero value is ready.
type Canonical struct {
	// Binary leaves everything as it is. RFC 3030 §3
	Binary bool
	// Normalise turns each bare CR and bare LF into CR LF.
	Normalise bool

	// BareCR and BareLF tell what has been seen so far.
	BareCR, BareLF bool

	cr bool // the last octet used was a CR; not given yet with Normalise
}

// Next gives the next piece of the message and how many octets of buf it has
// used up. The piece shares memory with buf, and may be empty.
func (c *Canonical) Next(buf []byte) (piece []byte, used int) {
	switch {
	case len(buf) == 0:
		return nil, 0
	case c.Binary:
		return buf, len(buf)
	case c.Normalise:
		return c.mended(buf)
	}
	pairs, first := 0, 0
	if c.cr {
		if buf[0] != '\n' {
			c.BareCR = true
		} else {
			first = 1
		}
	}
	for at := first; ; {
		lf := bytes.IndexByte(buf[at:], '\n')
		if lf < 0 {
			break
		}
		lf += at
		if lf == 0 || buf[lf-1] != '\r' {
			c.BareLF = true
		} else {
			pairs++
		}
		at = lf + 1
	}
	if c.cr = buf[len(buf)-1] == '\r'; c.cr {
		pairs++ // not known to be bare yet
	}
	if bytes.Count(buf, crlf[:1]) != pairs {
		c.BareCR = true
	}
	return buf, len(buf)
}

// mended gives what stands before a bare CR or LF, or CR LF in its place.
func (c *Canonical) mended(buf []byte) (piece []byte, used int) {
	if c.cr {
		c.cr = false
		if buf[0] == '\n' {
			return crlf, 1
		}
		c.BareCR = true
		return crlf, 0
	}
	for at := 0; at < len(buf); {
		i := bytes.IndexAny(buf[at:], "\r\n")
		if i < 0 {
			break
		}
		i += at
		switch {
		case buf[i] == '\r' && i+1 == len(buf):
			c.cr = true
			return buf[:i], len(buf)
		case buf[i] == '\r' && buf[i+1] == '\n':
			at = i + 2
			continue
		case i > 0:
			return buf[:i], i
		case buf[i] == '\r':
			c.BareCR = true
		default:
			c.BareLF = true
		}
		return crlf, 1
	}
	return buf, len(buf)
}

// Finish gives what is still to come when the message has ended.
func (c *Canonical) Finish() []byte {
	if !c.cr {
		return nil
	}
	c.cr, c.BareCR = false, true
	if c.Normalise {
		return crlf
	}
	return nil
}
