package smtp

import "bytes"

var crlf = []byte("\r\n")

// An Unstuffer finds the end of a message among the bytes that follow DATA
// and takes the transparency of RFC 5321 §4.5.2 away. It does no I/O and
// copies nothing. The zero value is ready, at the start of a message.
//
// Only CR LF "." CR LF ends a message, where the first CR LF may be that of
// the DATA command. RFC 5321 §4.1.1.4. A CR or LF alone is text, is noticed,
// and begins no line in which a dot could mean anything.
type Unstuffer struct {
	// Normalise turns each bare CR and bare LF into CR LF. They begin a line
	// then, whose first dot is taken away, but never end the message.
	Normalise bool

	// BareCR and BareLF tell what has been seen so far.
	BareCR, BareLF bool

	line lineState
	cr   bool // the last byte given was a CR; never with Normalise
}

type lineState uint8

const (
	hardStart lineState = iota // after a true CR LF
	softStart                  // after a bare one that was made a CR LF
	midLine
)

// Next takes the bytes that are there and gives the next piece of the message,
// how many bytes it has used up, and whether the message has ended. The piece
// shares memory with buf. When nothing is used and the message has not ended,
// more bytes are needed; that is never so with three bytes or more.
func (u *Unstuffer) Next(buf []byte) (piece []byte, used int, end bool) {
	if len(buf) == 0 {
		return nil, 0, false
	}
	start := 0
	if buf[0] == '.' && u.line != midLine {
		if u.line == hardStart {
			switch {
			case len(buf) == 1 || len(buf) == 2 && buf[1] == '\r':
				return nil, 0, false
			case buf[1] == '\r' && buf[2] == '\n':
				return nil, 3, true
			}
		}
		u.line, u.cr = midLine, false
		start = 1
	}
	if u.Normalise {
		return u.normalised(buf, start)
	}
	return u.verbatim(buf, start)
}

// verbatim gives everything up to the next line that begins with a dot.
func (u *Unstuffer) verbatim(buf []byte, start int) (piece []byte, used int, end bool) {
	if u.cr && buf[0] != '\n' {
		u.BareCR = true
	}
	pairs, stop := 0, len(buf)
	u.line = midLine
	for at := start; ; {
		lf := bytes.IndexByte(buf[at:], '\n')
		if lf < 0 {
			break
		}
		lf += at
		at = lf + 1
		switch {
		case lf > 0 && buf[lf-1] == '\r':
			pairs++
		case lf > 0 || !u.cr:
			u.BareLF = true
			continue
		}
		if at == len(buf) || buf[at] == '.' {
			u.line, stop = hardStart, at
			break
		}
	}
	piece = buf[start:stop]
	u.cr = len(piece) > 0 && piece[len(piece)-1] == '\r'
	if u.cr {
		pairs++ // not known to be bare yet
	}
	// Counting is faster than looking at each.
	if bytes.Count(piece, crlf[:1]) != pairs {
		u.BareCR = true
	}
	return piece, stop, false
}

// normalised gives one line, or what stands before or for a bare CR or LF.
func (u *Unstuffer) normalised(buf []byte, start int) (piece []byte, used int, end bool) {
	for at := start; at < len(buf); {
		i := bytes.IndexByte(buf[at:], '\n')
		line := buf[at:]
		if i >= 0 {
			line = line[:i+1]
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 && cr != len(line)-2 || cr >= 0 && i < 0 {
			return u.aroundCR(buf, start, at+cr)
		} else if cr < 0 && i >= 0 {
			return u.aroundBare(buf, start, at+i, &u.BareLF)
		}
		at += len(line)
		switch {
		case i < 0:
			u.line = midLine
		case at == len(buf) || buf[at] == '.':
			u.line = hardStart
			return buf[start:at], at, false
		}
	}
	return buf[start:], len(buf), false
}

// aroundCR deals with a CR that is bare or the last byte that is there.
func (u *Unstuffer) aroundCR(buf []byte, start, cr int) (piece []byte, used int, end bool) {
	if cr+1 < len(buf) {
		return u.aroundBare(buf, start, cr, &u.BareCR)
	}
	if cr > 0 {
		u.line = midLine
	}
	return buf[start:cr], cr, false
}

// aroundBare gives what stands before the bare byte, or CR LF in its place.
func (u *Unstuffer) aroundBare(buf []byte, start, bare int, seen *bool) (piece []byte, used int, end bool) {
	if bare > start || start > 0 {
		u.line = midLine
		return buf[start:bare], bare, false
	}
	*seen = true
	u.line = softStart
	return crlf, 1, false
}

// A Stuffer prepares a message for DATA: it adds the transparency of
// RFC 5321 §4.5.2 and makes every bare CR and bare LF a CR LF, since neither
// may be sent (RFC 5321 §2.3.8). The zero value is ready.
type Stuffer struct {
	midLine bool
	cr      bool // a CR has been taken and not yet written
}

// Append appends src as it goes over the wire.
func (s *Stuffer) Append(dst, src []byte) []byte {
	for len(src) > 0 {
		if s.cr {
			dst = append(dst, '\r', '\n')
			s.cr, s.midLine = false, false
			if src[0] == '\n' {
				src = src[1:]
				continue
			}
		}
		if src[0] == '.' && !s.midLine {
			dst = append(dst, '.')
		}
		line, lf := src, bytes.IndexByte(src, '\n')
		if lf >= 0 {
			line = src[:lf+1]
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 && (lf < 0 || cr != lf-1) {
			dst = append(dst, line[:cr]...)
			s.cr = true
			src = src[cr+1:]
			continue
		} else if cr < 0 && lf >= 0 {
			dst = append(append(dst, line[:lf]...), '\r', '\n')
		} else {
			dst = append(dst, line...)
		}
		s.midLine = lf < 0
		src = src[len(line):]
	}
	return dst
}

// Finish appends the end of the message. The message gets a last CR LF if it
// has none. RFC 5321 §4.1.1.4
func (s *Stuffer) Finish(dst []byte) []byte {
	if s.cr || s.midLine {
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '.', '\r', '\n')
}
