package charset

import (
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/transform"
)

// newISO2022KR decodes ISO-2022-KR (RFC 1557) by way of EUC-KR: between SO and
// SI octets get their high bit, and the designator is left out.
func newISO2022KR() transform.Transformer {
	return transform.Chain(&shift{}, korean.EUCKR.NewDecoder())
}

type shift struct {
	korean bool
	escape int // octets of ESC $ ) C seen
}

const designator = "\x1b$)C"

func (s *shift) Reset() { *s = shift{} }

func (s *shift) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		c := src[nSrc]
		if c == designator[s.escape] {
			s.escape = (s.escape + 1) % len(designator)
			continue
		}
		s.escape = 0
		switch c {
		case 0x0e:
			s.korean = true
			continue
		case 0x0f:
			s.korean = false
			continue
		case '\n': // each line starts in ASCII, RFC 1557
			s.korean = false
		}
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		if s.korean && c > ' ' && c < 0x7f {
			c |= 0x80
		}
		dst[nDst] = c
		nDst++
	}
	return nDst, nSrc, nil
}
